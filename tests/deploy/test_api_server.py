"""A real API server takes every overlay, with warnings as errors; nothing of it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.deploy.api_server import CannotBuildError, Kubectl, api_server, downloaded, programs
from tests.deploy.manifests import INSTEAD, VARIANTS, kustomization

pytestmark = [pytest.mark.api_server, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(2400)]

KINDS = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases/keda.sh_*.yaml",
    "sigs.k8s.io/gateway-api@v1.6.0": "config/crd/standard/*_httproutes.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/*_p*s.yaml"
    ),
}
"""Kinds that a cluster may lack: the Go modules that have their schemas, and where."""

CASES = [(name.partition(",")[0], components, None) for name, components in VARIANTS.items()]
CASES += [(overlay, (), (own, other)) for overlay, own, other in INSTEAD]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kubectl(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kubectl]:
    try:
        binaries = programs()
        schemas = [file for module, files in KINDS.items() for file in sorted(downloaded(module).glob(files))]
    except CannotBuildError as error:
        pytest.skip(f"NOT CHECKED by a real API server: {error}")
    async with api_server(binaries, tmp_path_factory.mktemp("api-server")) as running:
        for schema in schemas:
            running("apply", "--server-side", "-f", schema)
        running("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        yield running


@pytest.mark.parametrize(("overlay", "components", "instead"), CASES)
async def test_an_api_server_takes_it(
    kubectl: Kubectl, overlay: str, components: tuple[str, ...], instead: tuple[str, str] | None
) -> None:
    # What cannot be changed is made anew: the one before was another overlay.
    kubectl("delete", "jobs,statefulsets", "--all", "--namespace=rushes", "--wait=false")
    with kustomization(overlay, components, instead) as folder:
        kubectl("apply", "--warnings-as-errors", "-k", folder)
        kubectl("diff", "-k", folder)  # applied again, it changes nothing
        kubectl("apply", "--warnings-as-errors", "--server-side", "--force-conflicts", "-k", folder)
