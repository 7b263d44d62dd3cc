"""Every route answers with the statuses, for the keys and within the time that the golden table says."""

from __future__ import annotations

import json

from golden.measure_routes import FILE, measure


def test_every_route_is_as_the_golden_table_says() -> None:
    assert measure() == json.loads(FILE.read_text())
