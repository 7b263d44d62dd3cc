"""Ids: made, told apart, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Invalid
from servicekit.ids import check_id, new_id, prefixes


@pytest.mark.parametrize("kind", prefixes())
def test_a_new_id_is_of_its_kind_and_of_no_other(kind: str) -> None:
    made = new_id(kind)
    assert check_id(made, kind) == made
    for other in set(prefixes()) - {kind}:
        with pytest.raises(Invalid, match="starts with"):
            check_id(made, other)


def test_ids_sort_by_time() -> None:
    made = [new_id("job") for _ in range(500)]
    assert made == sorted(made)
    assert len(set(made)) == 500


def test_the_error_names_field_value_and_way_out() -> None:
    with pytest.raises(Invalid) as caught:
        check_id("ast_01ARZ3NDEKTSV4RRFFQ69G5FAV", "job", field="job_id")
    [problem] = caught.value.fields
    assert problem.field == "job_id"
    assert (
        problem.message == "'ast_01ARZ3NDEKTSV4RRFFQ69G5FAV' is the id of an asset; a job id starts with job_"
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "job",
        "job_",
        "job_01arz3ndektsv4rrffq69g5fav",
        "job_81ARZ3NDEKTSV4RRFFQ69G5FAV",
        "job_01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
    ],
)
def test_what_only_resembles_an_id_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="26 characters"):
        check_id(value, "job")


@given(st.text())
def test_no_text_at_all_breaks_the_check(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_id("job_" + text.lower(), "job")
    assert len(str(caught.value)) < 300
