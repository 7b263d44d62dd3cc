"""Decides which service processes a stack has, on which ports, and with which environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import CommandError
from servicekit.embedded.process import free_port, remembered_port, reserve_port

SERVICES = ("catalog", "generator", "downloader", "stitcher", "gateway", "sandbox")
REPLICABLE = ("catalog", "generator", "downloader", "stitcher", "gateway")
"""The sandbox with its data folder must be one process, and so must the catalog on SQLite."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class StackOptions:
    port: int = 0
    """Of the REST API; 0 takes a free one."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    """The caller's environment: it may name a real provider, an external NATS, S3 store or database."""


@dataclass(frozen=True)
class ServiceProcessSpec:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    health: str
    """gRPC address of its health service."""
    address: str
    """Where it serves."""
    metrics: str
    """Address of what it counts, for Prometheus."""


def uses_sandbox(environ: Mapping[str, str]) -> bool:
    """Whether the sandbox is the provider: the environment names no other."""
    return not (environ.get("REPLICATE_API_TOKEN") or environ.get("REPLICATE_BASE_URL"))


def provider_of(environ: Mapping[str, str]) -> str:
    """`sandbox`, or the address of the real provider."""
    return (
        "sandbox"
        if uses_sandbox(environ)
        else environ.get("REPLICATE_BASE_URL") or "https://api.replicate.com"
    )


def uses_postgres(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a PostgreSQL database for the catalog."""
    return environ.get("DATABASE_URL", "").startswith("postgres")


def parse_replicas(texts: list[str], environ: Mapping[str, str]) -> dict[str, int]:
    """`["generator=2", …]` as a table.

    Raises:
        CommandError: not a service that can have replicas, not a number from 1 to 16, or several catalogs on
            SQLite.
    """
    replicas: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in REPLICABLE or not number.isdigit() or not 1 <= int(number) <= 16:
            raise CommandError(
                f"--replicas {text} is not a service and a number from 1 to 16.",
                f"Write for example --replicas generator=2; it takes {', '.join(REPLICABLE)}.",
            )
        replicas[name] = int(number)
    if replicas.get("catalog", 1) > 1 and not uses_postgres(environ):
        raise CommandError(
            f"--replicas catalog={replicas['catalog']} needs a PostgreSQL database: SQLite serves one.",
            "Set DATABASE_URL to its address, postgresql://…",
        )
    return replicas


def plan_services(
    folder: DataFolder, options: StackOptions, infrastructure: Mapping[str, str]
) -> list[ServiceProcessSpec]:
    """Every service process, in the order of their start. `infrastructure`: the settings of log and store."""
    return _Planner(folder, options, infrastructure).plan()


class _Planner:
    def __init__(self, folder: DataFolder, options: StackOptions, infrastructure: Mapping[str, str]) -> None:
        self._folder = folder
        self._options = options
        self._environ = options.environ
        self._infrastructure = infrastructure
        self._grpc: dict[str, list[str]] = {}
        self._http: dict[str, list[str]] = {}

    def plan(self) -> list[ServiceProcessSpec]:
        sandbox = uses_sandbox(self._environ)
        names = [name for name in SERVICES if name != "sandbox" or sandbox]
        first = self._options.port or remembered_port(self._folder.path / "port")
        reserve_port(first)
        if sandbox:
            self._http["sandbox"] = [self._sandbox(first)]
        for name in names:
            count = self._options.replicas.get(name, 1)
            self._grpc[name] = [self._listen() for _ in range(count)]
        gateways = len(self._grpc["gateway"])
        self._http["gateway"] = [f"127.0.0.1:{first}"] + [self._listen() for _ in range(gateways - 1)]
        return [self._service(name, i) for name in names for i in range(len(self._grpc[name]))]

    def _service(self, name: str, index: int) -> ServiceProcessSpec:
        health = self._grpc[name][index]
        http = self._http.get(name)
        label = name if len(self._grpc[name]) == 1 else f"{name}-{index + 1}"
        # The gateway has them beside its REST interface.
        metrics = "" if name == "gateway" else self._listen()
        return ServiceProcessSpec(
            name=label,
            argv=(sys.executable, "-m", name),
            env={
                **self._shared(),
                **self._own(name, index),
                "GRPC_LISTEN": health,
                "METRICS_LISTEN": metrics,
            },
            health=health,
            address=f"http://{http[index]}" if http else health,
            metrics=f"http://{metrics or self._http[name][index]}/metrics",
        )

    def _sandbox(self, gateway: int) -> str:
        """The same port at each start: unhandled events have addresses of paid outputs."""
        port = remembered_port(self._folder.path / "sandbox-port")
        return f"127.0.0.1:{port}" if port != gateway else self._listen()

    def _listen(self) -> str:
        return f"127.0.0.1:{free_port()}"

    def _shared(self) -> dict[str, str]:
        return {
            **self._infrastructure,
            "BLOB_BUCKET": self._environ.get("BLOB_BUCKET", "rushes"),
            "SIGNING_KEY": self._folder.secret("signing-key"),
            "SPOOL_DIR": self._work_folder("SPOOL_DIR", "downloads"),
            "STITCHER_WORK_DIR": self._work_folder("STITCHER_WORK_DIR", "cuts"),
            "UPLOAD_DIR": self._work_folder("UPLOAD_DIR", "uploads"),
            **{f"{name.upper()}_ADDRESS": self._target(name) for name in self._grpc},
        }

    def _target(self, name: str) -> str:
        addresses = self._grpc[name]
        return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)

    def _own(self, name: str, index: int) -> dict[str, str]:
        path = self._folder.path
        match name:
            case "catalog":
                database = self._environ.get("DATABASE_URL") or f"sqlite+aiosqlite:///{path / 'catalog.db'}"
                return {"DATABASE_URL": database, "RUSHES_ADMIN_KEY": self._folder.api_key}
            case "gateway":
                return {"HTTP_LISTEN": self._http["gateway"][index], "PUBLIC_URL": self._public_url()}
            case "generator":
                provider = {}
                if "sandbox" in self._http:
                    address = f"http://{self._http['sandbox'][0]}"
                    provider = {"REPLICATE_BASE_URL": address, "REPLICATE_API_TOKEN": "sandbox"}
                return {"PUBLIC_URL": self._public_url(), **provider}
            case "downloader":
                return {"FETCH_ALLOW": self._allowed()}
            case "sandbox":
                return {
                    "SANDBOX_LISTEN": self._http["sandbox"][0],
                    "SANDBOX_DATA": str(path / "sandbox"),
                }
            case _:
                return {}

    def _work_folder(self, setting: str, name: str) -> str:
        """In the data folder: other users can reach the system's temporary one."""
        return self._environ.get(setting) or str(self._folder.path / "work" / name)

    def _public_url(self) -> str:
        """The gateway's address for the provider; empty for one on the internet, which cannot reach it."""
        configured = self._environ.get("PUBLIC_URL", "")
        if configured or not (uses_sandbox(self._environ) or self._local_provider()):
            return configured
        return f"http://{self._http['gateway'][0]}"

    def _allowed(self) -> str:
        """Private hosts that outputs may be fetched from: a provider on this machine, and configured ones."""
        provider = self._http["sandbox"][0] if "sandbox" in self._http else self._local_provider()
        return ",".join(filter(None, (self._environ.get("FETCH_ALLOW"), provider)))

    def _local_provider(self) -> str:
        """`host:port` of a configured provider on this machine; empty: there is none."""
        address = urlsplit(self._environ.get("REPLICATE_BASE_URL", ""))
        return address.netloc if address.hostname in _LOOPBACK else ""
