"""JSON bodies that are too large, or hold too many values."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rest.domain.json_limits import MOST_VALUES, LargestCollection, find_excess
from gateway.edges.http.request_body import parse_json
from servicekit.errors import Invalid

texts = st.text('aé😀"\\\n{[,]}:', max_size=30)
names = st.text("aé{[,:", min_size=1, max_size=5)
bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def _run(prompt: str) -> bytes:
    return json.dumps({"model": "a/b", "input": {"image": "asset:x", "prompt": prompt}}).encode()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("mebibytes", [2, 17])
async def test_a_body_that_is_too_large_is_refused_with_its_size_the_limit_and_the_way_out(
    running: Any, mebibytes: int
) -> None:
    body = _run("x" * (mebibytes << 20))
    answer = await running.http.post("/api/v3/generations", content=body)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert f"{len(body):,} bytes" in detail
    assert "at most 1 MiB (1,048,576 bytes)" in detail
    assert "asset:<id>" in detail


@pytest.mark.asyncio(loop_scope="module")
async def test_so_is_one_without_announced_length_for_many_at_once(running: Any) -> None:
    raw = _run("é" * 1_200_000)

    async def pieces() -> Any:
        for begin in range(0, len(raw), 50_001):
            yield raw[begin : begin + 50_001]

    answers = await asyncio.gather(
        *(running.http.post("/api/v3/generations", content=pieces()) for _ in range(6))
    )
    for answer in answers:
        assert answer.status_code == 413
        assert "more than 1 MiB" in answer.json()["detail"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_accepted_passes_all_the_way_and_back(running: Any) -> None:
    points = b"1" + b",1" * (MOST_VALUES - 5)
    raw = b'{"model": "a/b", "input": {"points": [%b], "prompt": "%b"}}' % (points, b"x" * 1_000_000)
    assert len(raw) < 1024 * 1024
    answer = await running.http.post("/api/v3/generations", content=raw, timeout=60)
    assert answer.status_code == 202, answer.text[:300]
    assert len(answer.json()["input"]["points"]) == MOST_VALUES - 4


@pytest.mark.asyncio(loop_scope="module")
async def test_very_many_values_are_refused_by_the_field_that_holds_them(running: Any) -> None:
    """Each costs every service on its way thirty times its bytes, and all others wait for it meanwhile."""
    raw = b'{"model": "a/b", "input": {"points": [1' + b",1" * 300_000 + b"]}}"
    answer = await running.http.post("/api/v3/generations", content=raw)
    assert answer.status_code == 413
    (problem,) = answer.json()["errors"]
    assert problem["field"] == "input.points"
    assert problem["message"].startswith("has 300,001 values")


@given(bodies, st.integers(0, 20))
def test_values_are_counted_wherever_they_are(body: Any, most: int) -> None:
    def count(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return len(inner) + sum(map(count, inner))

    assert (find_excess(body, most=most) is not None) == (count(body) > most)


def test_the_largest_is_named() -> None:
    body = {"requests": [{"model": "a/b"}, {"input": {"p": [0] * 7}}]}
    assert find_excess(body, most=9) == LargestCollection("requests[1].input.p", 7)


def test_a_name_given_twice_among_very_many_is_found_at_once() -> None:
    names = [f'"{number:05x}":0' for number in range(80_000)]
    raw = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    begun = time.perf_counter()
    with pytest.raises(Invalid, match="'1387f' twice"):
        parse_json(raw)
    assert time.perf_counter() - begun < 5  # it took a minute
