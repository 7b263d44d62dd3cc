# Everything people and CI run. `make` lists the targets; each sets up what it needs by itself.

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCKED := uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
SERVICES := $(patsubst services/%/pyproject.toml,%,$(wildcard services/*/pyproject.toml))
PACKAGES := libs services cli tools bench tests
BASE ?= origin/main
# Tests wait for other processes much of the time: four workers keep two cores busy.
WORKERS ?= 4

export UV_PYTHON_DOWNLOADS := never
export PYTHONDONTWRITEBYTECODE :=
# The environment is this folder's, whichever one the caller's shell stands in.
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo up down doctor test test-fast lint types protos docs check check-protos check-manifests check-bench check-images format bench images kind kind-down clean delete-data

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Rushes needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another one with make PYTHON=python3.11 …")'
	@echo "Setting up $(VENV): a minute or two, this once …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# What runs, without what only tests and builds need.
$(VENV)/.ready: $(LOCKED) | $(UV)
	@$(UV) sync --frozen --inexact --no-dev --quiet
	@touch $@

$(VENV)/.ready-dev: $(LOCKED) | $(UV)
	@$(UV) sync --frozen --inexact --quiet
	@touch $@ $(VENV)/.ready

demo: $(VENV)/.ready ## Photos to a finished video on this machine (PHOTOS=folder for your own)
	@$(BIN)/rushes demo $(PHOTOS)

up: $(VENV)/.ready ## Start the whole system and keep it running; Ctrl-C stops it
	@$(BIN)/rushes up

down: $(VENV)/.ready ## Stop a system that was left running
	@$(BIN)/rushes down

doctor: $(VENV)/.ready ## What is missing or wrong here, and the way out
	@$(BIN)/rushes doctor

test: $(VENV)/.ready-dev ## Every test, on real parts
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not bench and not api_server and not images"

test-fast: $(VENV)/.ready-dev ## The tests that start no server: the inner loop
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not bench and not api_server and not images and not e2e and not servers"

lint: $(VENV)/.ready-dev ## Style, formatting, layering, protos
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/lint-imports --no-logo --config .importlinter
	@$(BIN)/buf lint libs/contracts/rushes/contracts.binpb

format: $(VENV)/.ready-dev ## Put the code into its form
	@$(BIN)/ruff check --fix $(PACKAGES)
	@$(BIN)/ruff format $(PACKAGES)

types: $(VENV)/.ready-dev ## Strict types
	@$(BIN)/mypy libs/servicekit/servicekit libs/events/events libs/mediakit/mediakit $(foreach name,$(SERVICES),services/$(name)/$(name)) cli/rushes_cli tools bench

protos: $(VENV)/.ready-dev ## Generate libs/contracts from protos/
	@$(BIN)/python tools/protos.py
	@$(BIN)/python -m tools.docs

docs: $(VENV)/.ready-dev ## Write what is read from the code or from one list: tables, ConfigMaps, alerts, the dashboard
	@$(BIN)/python -m tools.docs

check-protos: $(VENV)/.ready-dev ## Generated code and documents are fresh, and no contract breaks those of BASE
	@$(BIN)/python tools/protos.py --check
	@$(BIN)/python -m tools.docs --check
	@if git cat-file -e $(BASE):libs/contracts/rushes/contracts.binpb 2>/dev/null; then \
		git show $(BASE):libs/contracts/rushes/contracts.binpb > $(VENV)/base.binpb && \
		$(BIN)/buf breaking libs/contracts/rushes/contracts.binpb --against $(VENV)/base.binpb && \
		echo "No contract breaks those of $(BASE)."; \
	else echo "No contracts at $(BASE) to compare with."; fi

check: lint types check-protos test ## What CI checks, but for check-manifests, check-bench, check-images and the demo

check-manifests: $(VENV)/.ready-dev ## A real Kubernetes API server takes every overlay (built by Go, once; minutes)
	@$(BIN)/pytest -q -m api_server tests/deploy

check-bench: $(VENV)/.ready-dev ## Every benchmark runs (what it measures is not judged)
	@$(BIN)/pytest -q -m bench

check-images: $(VENV)/.ready-dev ## Every image's environment is made, and starts (two of them are in make test)
	@$(BIN)/pytest -q -m images

bench: $(VENV)/.ready-dev ## Measure against what a user would use instead
	@$(BIN)/python -m bench

images: ## Build the services' images (ONLY="catalog minio", TAG=…, NETWORK=host, BUILD_ARGS="NAME=VALUE …", ENGINE=buildah)
	@$(PYTHON) -m tools.images $(ONLY) --tag "$(TAG)" --engine "$(ENGINE)" --network "$(NETWORK)" $(BUILD_ARGS:%=--build-arg=%)

kind: $(VENV)/.ready-dev ## Everything in a kind cluster on this machine, with the sandbox, and one job
	@$(BIN)/python -m tools.kind up

kind-down: $(VENV)/.ready-dev ## Remove that cluster with its data
	@$(BIN)/python -m tools.kind down

clean: ## Remove the environment and every cache; the data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) -name __pycache__ -type d -prune -exec rm -rf {} +

delete-data: $(VENV)/.ready ## Delete .rushes, with every clip that was paid for; not while a system runs on it
	@$(BIN)/rushes delete-data
