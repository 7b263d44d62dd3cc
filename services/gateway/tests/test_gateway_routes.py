"""Every route answers with the statuses, for the keys and within the time of the golden table."""

from __future__ import annotations

import json

from golden.measure_routes import FILE, measure


def test_every_route_matches_the_golden_table() -> None:
    assert measure() == json.loads(FILE.read_text())
