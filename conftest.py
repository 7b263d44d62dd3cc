"""What holds for every test."""

import pytest
from hypothesis import HealthCheck, settings

import rushes.common.v1.rules_pb2  # noqa: F401  # `servicekit.ids` needs the contracts' kinds of records

# A property is not false because the machine is busy.
settings.register_profile("rushes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rushes")

SERVERS = frozenset(("nats", "s3", "postgres", "database_url", "system"))
"""Fixtures that start a server, as a process. Whoever builds on them needs it too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server: `make test-fast` leaves them out."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
