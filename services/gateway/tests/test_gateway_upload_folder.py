"""What a killed gateway leaves of an upload goes with the next start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from gateway_fakes import SIGNING_KEY

import gateway
from servicekit.testing import eventually

HEAD = (
    b"POST /api/v3/assets HTTP/1.1\r\nHost: x\r\nX-API-Key: write-key\r\nContent-Length: 1000000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("file") if path.stat().st_size]


async def test_the_next_start_removes_an_upload_that_a_kill_cut_short(
    fresh: Any, s3: Any, tmp_path: Path
) -> None:
    folder, port = tmp_path / "killed", free_port()
    address = f"127.0.0.1:{fresh.server.port}"
    environ = {
        "PYTHONPATH": str(Path(gateway.__file__).parents[1]),
        "HTTP_LISTEN": f"127.0.0.1:{port}",
        "SIGNING_KEY": SIGNING_KEY,
        "NATS_URL": str(fresh.nats),
        "BLOB_ENDPOINT": s3.endpoint,
        "BLOB_ACCESS_KEY": s3.access_key,
        "BLOB_SECRET_KEY": s3.secret_key,
        "BLOB_BUCKET": "killed",
        "UPLOAD_DIR": str(folder),
        **{f"{name}_ADDRESS": address for name in ("CATALOG", "GENERATOR", "DOWNLOADER", "STITCHER")},
    }

    async def start() -> Any:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environ, stdout=asyncio.subprocess.DEVNULL
        )

        async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError as error:
                raise AssertionError("it does not listen yet") from error

        return process, await eventually(connected, within=30)

    killed, (_, writer) = await start()
    try:
        writer.write(HEAD + b"\x89PNG\r\n\x1a\n" + b"\0" * 500_000)
        await eventually(lambda: len(files(folder)) == 1, within=10)
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        await killed.wait()
        writer.close()
    assert len(files(folder)) == 1

    started, (_, writer) = await start()
    try:
        assert files(folder) == []
    finally:
        writer.close()
        started.terminate()
        assert await started.wait() == 0
    assert not list(folder.glob("replica-*"))


async def test_an_upload_leaves_no_file_whether_accepted_or_refused(fresh: Any, tmp_path: Path) -> None:
    for data, status in ((b"words, and many more of them than thirty-two bytes", 422), (b"GIF89a", 422)):
        answer = await fresh.http.post("/api/v3/assets", files={"file": ("a.gif", data)})
        assert answer.status_code == status
    assert not list((tmp_path / "uploads").rglob("file"))
