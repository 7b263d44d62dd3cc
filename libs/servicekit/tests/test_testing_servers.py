"""The test servers themselves: they start, break, come back, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import asyncpg
import nats as nats_client
import pytest

from servicekit.blobs import BlobStore
from servicekit.embedded.process import ServerProcess
from servicekit.embedded.s3 import S3Server
from servicekit.testing import NatsFixture, PostgresServer, eventually, s3_store, tcp_server


async def test_nats_keeps_its_port_and_its_data_over_a_kill(nats: NatsFixture) -> None:
    async def last_sequence() -> int:
        connection = await nats_client.connect(nats)
        stream = await connection.jetstream().stream_info("S")
        await connection.close()
        return stream.state.last_seq

    connection = await nats_client.connect(nats)
    await connection.jetstream().add_stream(name="S", subjects=["s.>"])
    await connection.jetstream().publish("s.1", b"kept")
    await connection.close()
    address = nats.url

    await nats.kill()
    assert not nats.server.is_alive
    await nats.restart()

    assert nats.url == address == nats
    assert await last_sequence() == 1


async def test_the_s3_store_keeps_its_port_over_a_kill() -> None:
    async with s3_store() as s3:
        address = s3.endpoint
        s3.kill()
        assert not s3.is_alive
        await s3.start()
        assert s3.endpoint == address
        assert s3.is_alive


async def stored(server: S3Server, key: str, data: bytes) -> None:
    blobs = BlobStore(server.endpoint, server.access_key, server.secret_key, "test")
    await blobs.start()
    await blobs.put(key, data, content_type="text/plain")
    await blobs.stop()


def unix_socket(name: str, *, old: bool) -> tuple[socket.socket, Path]:
    path = Path(f"/tmp/seaweedfs-{name}-{os.getpid()}.sock")
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    if old:
        os.utime(path, (0, 0))
    return bound, path


async def test_the_s3_store_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    dead, dead_path = unix_socket("dead", old=True)
    young, young_path = unix_socket("young", old=False)
    alive, alive_path = unix_socket("alive", old=True)
    alive.listen()
    dead.close()
    young.close()
    server = S3Server(tmp_path)
    await server.start()
    master = server._inner["master"]
    await stored(server, "before", b"kept")
    ServerProcess.kill(server)  # as a kill -9 of whoever started it: nobody tidies up
    left = list(Path("/tmp").glob(f"seaweedfs-*-{server.port}.sock"))
    assert left
    again = S3Server(tmp_path)
    await again.start()
    assert not any(path.exists() for path in [dead_path, *left])
    assert young_path.exists()
    assert alive_path.exists()
    assert {path.name for path in (tmp_path / "data").glob("m[0-9]*")} == {f"m{again._inner['master']}"}
    assert again._inner["master"] != master
    await stored(again, "after", b"also kept")
    blobs = BlobStore(again.endpoint, again.access_key, again.secret_key, "test")
    assert [await blobs.get(key, limit=100) for key in ("before", "after")] == [b"kept", b"also kept"]
    await blobs.stop()
    again.kill()
    alive.close()
    for path in (young_path, alive_path):
        path.unlink()


async def test_each_postgres_database_is_fresh(postgres: PostgresServer) -> None:
    for _ in range(2):
        async with postgres.database() as url:
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            await connection.execute("CREATE TABLE t (x int)")
            await connection.close()


async def test_eventually_shows_the_last_error() -> None:
    def never() -> None:
        assert 1 + 1 == 3, "arithmetic holds"

    with pytest.raises(AssertionError, match="arithmetic holds"):
        await eventually(never, within=0.01)
    with pytest.raises(AssertionError, match="answered False"):
        await eventually(lambda: False, within=0.01)


async def test_eventually_answers_the_value() -> None:
    values = iter([0, 0, 7])
    assert await eventually(lambda: next(values)) == 7


async def test_a_connection_that_comes_as_a_server_ends_is_closed() -> None:
    """Not lost with its socket open, between being accepted and being connected."""

    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with socket.socket() as client:
        client.setblocking(False)
        async with tcp_server(serve) as port:
            client.connect_ex(("127.0.0.1", port))
            for _ in range(2):  # it is accepted in the second round of the loop
                await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5.0) == b""
