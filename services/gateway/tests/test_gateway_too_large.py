"""A body that is too large is told by its field, and costs no memory."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.counting import MOST_VALUES, Crowd, crowd
from gateway.core.weighing import MOST_MARKS, Heavy, Scale
from gateway.edges.transcoding.documents import parse
from servicekit.errors import Invalid

texts = st.text('aé😀"\\\n{[,]}:', max_size=30)
names = st.text("aé{[,:", min_size=1, max_size=5)
bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at or "body", value
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, f"{at}[{index}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, f"{at}.{name}" if at else name)


@given(body=bodies, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]), data=st.data())
def test_every_long_text_is_found_wherever_the_pieces_part(
    body: Any, ascii_only: bool, indent: int | None, data: st.DataObject
) -> None:
    raw = json.dumps(body, ensure_ascii=False, indent=indent).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    scale = Scale(long=10)
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        scale.add(raw[begin:end])
    written = [
        Heavy(field, length, is_text=True)
        for field, text in leaves(body)
        if (length := len(json.dumps(text, ensure_ascii=False)) - 2) >= 10
    ]
    if written:
        assert sorted(scale.heaviest(), key=str) == sorted(written, key=str)


@given(st.binary(max_size=200))
def test_what_is_no_json_is_weighed_too(raw: bytes) -> None:
    scale = Scale(long=1)
    scale.add(raw)
    scale.heaviest()


def test_a_long_list_is_named_when_no_text_is() -> None:
    scale = Scale(long=10)
    scale.add(json.dumps({"requests": [{"input": {"points": list(range(25))}}, {}]}).encode())
    assert scale.heaviest() == [Heavy("requests[0].input.points", 25, is_text=False)]


def test_very_many_small_things_are_weighed_for_a_while_only() -> None:
    scale = Scale()
    scale.add(b'{"input": {"points": [' + b"1," * 1_000_000)
    assert scale.weary
    (heavy,) = scale.heaviest()
    assert heavy.field == "input.points"
    assert MOST_MARKS - 10 < heavy.count <= MOST_MARKS + 1
    deeper = Scale()
    deeper.add(b"[" * 1_000_000)
    assert deeper.weary
    assert deeper.heaviest() == []


def test_weighing_keeps_nothing_of_the_body() -> None:
    piece, deep = b"x" * 65_536, b"[" * 65_536
    scale = Scale()
    tracemalloc.start()
    scale.add(b'{"input": {"prompt": "')
    for _ in range(256):
        scale.add(piece)
    scale.add(b'", "other": ')
    scale.add(deep)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert scale.heaviest() == [Heavy("input.prompt", 16 * 1024 * 1024, is_text=True)]


def _run(prompt: str) -> bytes:
    return json.dumps({"model": "a/b", "input": {"image": "asset:x", "prompt": prompt}}).encode()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_field_that_is_too_long_is_named_with_its_size_and_the_way_out(running: Any) -> None:
    answer = await running.http.post("/api/v3/generations", content=_run("x" * 10_485_760))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "too_large"
    (wrong,) = problem["errors"]
    assert wrong["field"] == "input.prompt"
    assert wrong["message"].startswith("has 10,485,760 characters")
    assert "asset:<id>" in wrong["message"]


@pytest.mark.asyncio(loop_scope="module")
async def test_so_it_is_in_a_batch_without_announced_length_and_for_many_at_once(running: Any) -> None:
    body = {"requests": [{"model": "a/b"}, {"model": "a/b", "input": {"p": "é" * 1_200_000}}]}
    raw = json.dumps(body, ensure_ascii=False).encode()

    async def pieces() -> Any:
        for begin in range(0, len(raw), 50_001):
            yield raw[begin : begin + 50_001]

    answers = await asyncio.gather(
        *(running.http.post("/api/v3/generations:batch", content=pieces()) for _ in range(6))
    )
    for answer in answers:
        assert answer.status_code == 413
        (wrong,) = answer.json()["errors"]
        assert wrong["field"] == "requests[1].input.p"
        assert wrong["message"].startswith("has 1,200,000 characters")


@pytest.mark.asyncio(loop_scope="module")
async def test_more_than_is_worth_reading_is_refused_by_its_size(running: Any) -> None:
    answer = await running.http.post("/api/v3/generations", content=_run("x" * 17 * 1024 * 1024))
    assert answer.status_code == 413
    assert answer.json()["errors"] == []
    assert "at most 1 MiB" in answer.json()["detail"]


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
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == "input.points"
    assert wrong["message"].startswith("has 300,001 values")


@given(bodies, st.integers(0, 20))
def test_values_are_counted_wherever_they_are(body: Any, most: int) -> None:
    def count(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return len(inner) + sum(map(count, inner))

    assert (crowd(body, most=most) is not None) == (count(body) > most)


def test_the_largest_is_named() -> None:
    assert crowd({"requests": [{"model": "a/b"}, {"input": {"p": [0] * 7}}]}, most=9) == Crowd(
        "requests[1].input.p", 7
    )


def test_a_name_said_twice_among_very_many_is_found_at_once() -> None:
    names = [f'"{number:05x}":0' for number in range(80_000)]
    raw = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    begun = time.perf_counter()
    with pytest.raises(Invalid, match="'1387f' twice"):
        parse(raw)
    assert time.perf_counter() - begun < 5  # it took a minute
