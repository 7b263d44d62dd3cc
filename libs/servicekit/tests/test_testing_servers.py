"""The test servers themselves: they start, break, come back, and leave nothing behind."""

from __future__ import annotations

import asyncpg
import nats as nats_client
import pytest

from servicekit.testing import NatsFixture, PostgresServer, eventually, s3_store


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
        await s3.kill()
        assert not s3.server.is_alive
        await s3.restart()
        assert s3.endpoint == address
        assert s3.server.is_alive


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
