"""A Kubernetes API server with its etcd, and nothing that would run what it is given."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servicekit.embedded.process import ServerProcess, first_line, free_port
from tests.deploy.manifests import KUBECTL

MODULE = Path(__file__).with_name("api_server")
"""The Go module that names the two programs, and locks all that they are made of."""

VERSION = "v1.37.2"
PROGRAMS = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
TOKEN = "only-for-this-test"  # of a server on the loopback interface


class CannotBuildError(Exception):
    """The programs cannot be had here; the text says why."""


def programs() -> Path:
    """The folder of both programs: built by Go when they are not there, and kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"rushes/api-server-{VERSION}"
    missing = [name for name in PROGRAMS if not (cache / name).exists()]
    if missing and shutil.which("go") is None:
        raise CannotBuildError("there is no Go toolchain: install Go 1.26 or newer")
    cache.mkdir(parents=True, exist_ok=True)
    for name in missing:
        # Without the version the server calls itself v0.0.0, and kubectl minds.
        version = f"-X k8s.io/component-base/version.gitVersion={VERSION}"
        fresh = cache / f"{name}.{os.getpid()}"
        built = subprocess.run(
            ["go", "build", "-mod=readonly", "-ldflags", version, "-o", fresh, PROGRAMS[name]],
            cwd=MODULE,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise CannotBuildError(f"go build {PROGRAMS[name]}: {built.stderr[-500:]}")
        fresh.rename(cache / name)
    return cache


def downloaded(module: str) -> Path:
    """The folder of a Go module, "path@version", as the Go client keeps it."""
    found = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=MODULE.parent,  # outside of any module: it is read, and not built
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(found.stdout or "{}")
    if "Dir" not in answer:
        raise CannotBuildError(f"go mod download {module}: {answer.get('Error') or found.stderr[-500:]}")
    return Path(answer["Dir"])


class Kubectl:
    """Runs kubectl as the cluster's administrator."""

    def __init__(self, port: int, folder: Path) -> None:
        self._flags = [
            f"--server=https://127.0.0.1:{port}",
            f"--token={TOKEN}",
            "--insecure-skip-tls-verify",
            f"--cache-dir={folder / 'kubectl'}",
            "--request-timeout=30s",
        ]

    def __call__(self, *arguments: str | Path) -> str:
        """What it printed; an AssertionError, with its complaint, when it failed."""
        done = subprocess.run(
            [KUBECTL, *self._flags, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}"
        return done.stdout


@asynccontextmanager
async def api_server(binaries: Path, folder: Path) -> AsyncIterator[Kubectl]:
    """Both programs on loopback, with their state in `folder`."""
    client, peer, port = free_port(), free_port(), free_port()
    etcd = ServerProcess("etcd", folder / "etcd.log")
    server = ServerProcess("kube-apiserver", folder / "kube-apiserver.log")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "service-accounts.pem").write_bytes(key)
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")

    async def etcd_answers() -> bool:
        return b"200" in await first_line(client, b"GET /health HTTP/1.0\r\n\r\n")

    async def server_answers() -> bool:
        try:
            await asyncio.to_thread(kubectl, "get", "--raw", "/readyz")
        except AssertionError:
            return False
        return True

    kubectl = Kubectl(port, folder)
    try:
        etcd.spawn(
            [
                str(binaries / "etcd"),
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",
            ]
        )
        await etcd.ready(etcd_answers, within=60)
        server.spawn(
            [
                str(binaries / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{client}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder / 'certificates'}",
                "--authorization-mode=RBAC",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'service-accounts.pem'}",
                f"--service-account-signing-key-file={folder / 'service-accounts.pem'}",
                "--service-cluster-ip-range=10.96.0.0/16",
            ]
        )
        await server.ready(server_answers, within=120)
        yield kubectl
    finally:
        await server.stop()
        await etcd.stop()
