"""Real servers and databases on free ports, a clock that tests move, and waiting without sleeping."""

from servicekit.embedded.s3 import S3Server
from servicekit.testing.clock import SimulatedClock, run_in_virtual_time
from servicekit.testing.databases import PostgresServer, postgres_url, sqlite_url
from servicekit.testing.eventually import eventually
from servicekit.testing.nats import STREAMS, NatsCluster, NatsFixture, nats_cluster, nats_server
from servicekit.testing.s3 import s3_store
from servicekit.testing.tcp import tcp_server

__all__ = [
    "STREAMS",
    "NatsCluster",
    "NatsFixture",
    "PostgresServer",
    "S3Server",
    "SimulatedClock",
    "eventually",
    "nats_cluster",
    "nats_server",
    "postgres_url",
    "run_in_virtual_time",
    "s3_store",
    "sqlite_url",
    "tcp_server",
]
