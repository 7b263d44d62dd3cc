"""Runs a service as a process: everything its `__main__.py` calls. Logs, traces, exit codes, metrics."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
import uvloop

from servicekit.config import ConfigError, load
from servicekit.errors import AppError
from servicekit.grpc.server import GrpcServer
from servicekit.http.ops import ops_app
from servicekit.http.server import HttpServer
from servicekit.process.lifecycle import Part, StartFailed, StopForced, Tasks, run
from servicekit.readiness import MEASURE_EVERY, measure, readiness
from servicekit.shared_settings import ProcessSettings
from servicekit.telemetry import logs, traces

Build = Callable[[Mapping[str, str]], Sequence[Part] | Awaitable[Sequence[Part]]]
"""A service's composition root: the environment in, its parts out, in the order of their start."""

OK, FAILED, MISCONFIGURED = 0, 1, 2


def main(service: str, build: Build, *, environ: Mapping[str, str] | None = None) -> int:
    """Set up logs and traces, build the parts inside a running loop, run them until a signal.

    Where `METRICS_LISTEN` is set, `/metrics`, `/healthz` and `/readyz` are served there once everything has
    started, until it stops. While a part's `check_ready` raises, `/readyz` is 503, and the gRPC health
    service answers NOT_SERVING for `ready`.

    Answers the exit code: 0 stopped in order, 1 did not start or was forced, 2 the settings are wrong.
    `__main__.py` is `sys.exit(main("catalog", build))`.
    """
    env = os.environ if environ is None else environ
    _collect_seldom()
    logs.configure(service, ProcessSettings())
    log = structlog.get_logger(__name__)
    try:
        settings = load(ProcessSettings, env)
        logs.configure(service, settings)
        traces.configure(service, settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(service, build, env, settings.metrics_listen))
    except ConfigError as error:
        log.error("wrong settings", problem=str(error))  # noqa: TRY400  # a stack would hide the list
        return MISCONFIGURED
    except (StartFailed, StopForced, AppError) as error:
        log.error("ended", reason=str(error))  # noqa: TRY400  # the message is for the operator
        return FAILED
    finally:
        traces.shutdown()
    return OK


def _collect_seldom() -> None:
    """Make the garbage collector run seldom.

    What the imports have made lives as long as the process: the collector need not traverse it. What requests
    make is freed by reference counts, but for the cycles in tracebacks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _live(service: str, build: Build, env: Mapping[str, str], listen: str) -> None:
    built = build(env)
    parts = [*(await built if inspect.isawaitable(built) else built)]
    ready = readiness(parts)
    for part in parts:
        if isinstance(part, GrpcServer):
            part.ready = ready
    parts.append(Tasks().every(MEASURE_EVERY, lambda: measure(ready), "measure readiness"))
    if listen:
        # The last to start and the first to stop: `/readyz` answers only while everything else runs.
        parts.append(HttpServer(ops_app(ready), listen))
    await run(service, parts)
