"""Every form of a schema is read, and every wrong value is refused by its field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.core.inputs.domain.input_validation import LONGEST_TEXT, check_input, whole_numbers
from generator.core.inputs.domain.run_spec import referenced_assets, secret_fields
from generator.core.models.domain.model_schema import Parameter, ParameterType, read_parameters
from servicekit.errors import Invalid


def openapi(
    properties: dict[str, Any], required: list[str] | None = None, **components: Any
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "title": "Input", "properties": properties}
    if required is not None:
        schema["required"] = required
    return {"components": {"schemas": {"Input": schema, **components}}}


FORMS = openapi(
    {
        "seed": {"type": "integer", "nullable": True, "x-order": 9},
        "prompt": {"type": "string", "title": "Prompt", "x-order": 0, "maxLength": 40, "minLength": 2},
        "image": {
            "type": "string",
            "format": "uri",
            "x-cog-accept": "image/*",
            "default": None,
            "x-order": 1,
        },
        "resolution": {
            "allOf": [{"$ref": "#/components/schemas/resolution"}],
            "default": "720p",
            "x-order": 2,
        },
        "fps": {"allOf": [{"$ref": "#/components/schemas/fps"}], "default": 24, "x-order": 3},
        "mode": {"$ref": "#/components/schemas/resolution", "x-order": 4},
        "style": {"type": "string", "enum": ["plain", "rich"], "x-order": 5},
        "scale": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}], "x-order": 6},
        "maybe": {"anyOf": [{"type": "integer", "maximum": 5}, {"type": "null"}], "x-order": 7},
        "images": {
            "type": "array",
            "items": {"type": "string", "format": "uri"},
            "default": [],
            "x-order": 8,
        },
        "key": {"type": "string", "format": "password", "x-cog-secret": True, "x-order": 10},
        "guidance": {"type": "number", "minimum": 0, "maximum": 20, "x-order": 11},
        "fast": {"type": "boolean", "x-order": 12},
        "extra": {"type": "object", "x-order": 13},
        "size": {"type": "string", "pattern": r"^\d+x\d+$", "x-order": 14},
        "bare": {"title": "Bare"},
        "photo": {
            "anyOf": [
                {"type": "string", "format": "uri", "x-cog-accept": "image/png"},
                {"type": "null"},
            ]
        },
    },
    ["prompt"],
    resolution={
        "type": "string",
        "enum": ["480p", "720p"],
        "title": "resolution",
        "description": "An enumeration.",
    },
    fps={"type": "integer", "enum": [24, 48], "title": "fps"},
)
READ = {each.name: each for each in read_parameters(FORMS) or ()}


def test_parameters_come_in_the_order_of_the_form() -> None:
    assert list(READ) == [
        "prompt",
        "image",
        "resolution",
        "fps",
        "mode",
        "style",
        "scale",
        "maybe",
        "images",
        "seed",
        "key",
        "guidance",
        "fast",
        "extra",
        "size",
        "bare",
        "photo",
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prompt", ParameterType.STRING),
        ("image", ParameterType.FILE),
        ("resolution", ParameterType.STRING),
        ("fps", ParameterType.INTEGER),
        ("mode", ParameterType.STRING),
        ("scale", ParameterType.STRING),
        ("maybe", ParameterType.INTEGER),
        ("images", ParameterType.ARRAY),
        ("key", ParameterType.STRING),
        ("guidance", ParameterType.NUMBER),
        ("fast", ParameterType.BOOLEAN),
        ("extra", ParameterType.OBJECT),
        ("bare", ParameterType.ANY),
        ("photo", ParameterType.FILE),
    ],
)
def test_every_form_has_its_type(name: str, kind: ParameterType) -> None:
    assert READ[name].type is kind


def test_what_forms_contain_is_read() -> None:
    assert READ["prompt"].required
    assert [name for name, each in READ.items() if each.required] == ["prompt"]
    assert READ["resolution"].enum == ("480p", "720p")
    assert READ["resolution"].default == "720p"
    assert READ["resolution"].description == ""
    assert READ["fps"].enum == (24, 48)
    assert READ["mode"].enum == ("480p", "720p")
    assert READ["maybe"].maximum == 5
    assert READ["key"].secret
    assert READ["images"].items is not None
    assert READ["images"].items.type is ParameterType.FILE
    assert (READ["prompt"].min_length, READ["prompt"].max_length) == (2, 40)
    assert READ["image"].accept == "image/*"
    assert READ["photo"].accept == "image/png"


@pytest.mark.parametrize("raw", [None, {}, {"components": None}, {"components": {"schemas": {}}}, [], "x"])
def test_a_model_without_a_schema_has_no_parameters(raw: Any) -> None:
    assert read_parameters(raw) is None


def test_a_circular_schema_ends() -> None:
    loop = {"$ref": "#/components/schemas/loop"}
    assert read_parameters(openapi({"a": loop}, loop={"allOf": [loop]})) is not None


OK: list[tuple[str, Any, Any]] = [
    ("seed", "5", 5),
    ("seed", 5.0, 5),
    ("seed", "5.0", 5),
    ("seed", -3, -3),
    ("guidance", "3.5", 3.5),
    ("guidance", 4, 4),
    ("guidance", "4", 4),
    ("fast", "true", True),
    ("fast", 0.0, False),
    ("fast", True, True),
    ("fps", "24", 24),
    ("fps", 48.0, 48),
    ("style", "Rich", "rich"),
    ("scale", 2.0, 2),
    ("scale", "wide", "wide"),
    ("maybe", "4", 4),
    ("image", "https://x.test/a.png", "https://x.test/a.png"),
    ("image", "asset:ast_01JCZZZZZZZZZZZZZZZZZZZZZZ", "asset:ast_01JCZZZZZZZZZZZZZZZZZZZZZZ"),
    ("image", "data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
    ("images", ["https://x.test/a.png"], ["https://x.test/a.png"]),
    ("extra", {"n": 2.0}, {"n": 2}),
    ("size", "640x360", "640x360"),
    ("bare", 1.0, 1),
    ("bare", [1.5], [1.5]),
]


@pytest.mark.parametrize(("name", "value", "sent"), OK, ids=str)
def test_what_fits_goes_out_as_the_model_wants_it(name: str, value: Any, sent: Any) -> None:
    checked = check_input("a/b", list(READ.values()), {"prompt": "ok", name: value})
    assert checked[name] == sent
    assert type(checked[name]) is type(sent)


WRONG: list[tuple[str, Any, str]] = [
    ("seed", "five", "whole number"),
    ("seed", 5.5, "whole number"),
    ("seed", True, "whole number"),
    ("seed", [1], "whole number"),
    ("guidance", "much", "a number"),
    ("guidance", True, "a number"),
    ("guidance", 20.5, "at most 20"),
    ("guidance", -1, "at least 0"),
    ("guidance", "nan", "a number"),
    ("guidance", {}, "a number"),
    ("fast", "perhaps", "true or false"),
    ("fast", 2, "true or false"),
    ("fast", [], "true or false"),
    ("fps", 30, "one of 24, 48"),
    ("resolution", "4k", "one of 480p, 720p"),
    ("style", 1, "one of plain, rich"),
    ("maybe", 6, "at most 5"),
    ("scale", [], "text"),
    ("image", "house.jpg", "a file"),
    ("image", 5, "a file"),
    ("image", "file:///etc/passwd", "a file"),
    ("image", "asset:gen_1", "a file"),
    ("image", "data:image/png;base64," + "A" * 400_000, "make it an asset"),
    ("images", "https://x.test/a.png", "a list"),
    ("images", ["nothing"], "item 0"),
    ("extra", "x", "an object"),
    ("prompt", 5, "text"),
    ("prompt", "x", "at least 2"),
    ("prompt", "x" * 41, "at most 40"),
    ("prompt", "x" * 10_000_000, "is 10,000,000"),
    ("size", "big", "must match"),
    ("key", "k" * (LONGEST_TEXT + 1), "at most"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG, ids=lambda value: str(value)[:20])
def test_what_does_not_fit_is_refused_by_field(name: str, value: Any, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_input("a/b", list(READ.values()), {"prompt": "ok", name: value})
    (problem,) = caught.value.fields
    assert problem.field == f"input.{name}"
    assert expected in problem.message
    assert len(problem.message) < 300


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check_input("a/b", list(READ.values()), {"promt": "x", "seed": "x", "fps": 1})
    assert {each.field for each in caught.value.fields} == {
        "input.promt",
        "input.prompt",
        "input.seed",
        "input.fps",
    }
    unknown = next(each for each in caught.value.fields if each.field == "input.promt")
    assert 'did you mean "prompt"' in unknown.message
    assert "resolution" in unknown.message


def test_nulls_are_left_out_and_a_required_null_is_missing() -> None:
    assert check_input("a/b", list(READ.values()), {"prompt": "ok", "seed": None}) == {"prompt": "ok"}
    with pytest.raises(Invalid):
        check_input("a/b", list(READ.values()), {"prompt": None})


def test_a_model_without_schema_takes_any_object() -> None:
    assert check_input("a/b", None, {"a": 1.0, "b": {"c": [2.0, 2.5]}, "d": None}) == {
        "a": 1,
        "b": {"c": [2, 2.5]},
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*READ, "other"]), JSON))
def test_an_input_is_either_refused_by_field_or_fits_for_good(raw: dict[str, Any]) -> None:
    checked, refused = _checked(raw)
    if refused:
        assert refused.fields
        assert all(each.field.startswith("input.") for each in refused.fields)
    else:
        assert _checked(checked) == (checked, None)
        assert None not in checked.values()
        json.dumps(checked)


def _checked(
    raw: dict[str, Any], forms: Sequence[Parameter] = tuple(READ.values())
) -> tuple[dict[str, Any], Invalid | None]:
    try:
        return check_input("a/b", forms, raw), None
    except Invalid as error:
        return {}, error


ONE, TWO = "ast_01JCZZZZZZZZZZZZZZZZZZZZZZ", "ast_01JCZZZZZZZZZZZZZZZZZZZZZY"


def test_only_what_may_be_a_file_refers_to_an_asset() -> None:
    given = {
        "prompt": f"asset:{ONE}",
        "style": "asset: a villa",
        "image": f"asset:{TWO}",
        "images": [f"asset:{ONE}", "https://x.test/a.png", f"asset:{ONE}"],
    }
    forms = list(READ.values())
    assert referenced_assets(forms, given) == (TWO, ONE)
    assert referenced_assets(forms, {"prompt": f"asset:{ONE}", "scale": f"asset:{ONE}"}) == ()
    assert referenced_assets(forms, {"bare": {"a": f"asset:{ONE}"}, "extra": {"b": [f"asset:{TWO}"]}}) == (
        TWO,
        ONE,
    )
    assert referenced_assets(None, {"a": [f"asset:{ONE}"], "b": "asset: a villa", "c": f"asset:{ONE} "}) == (
        ONE,
    )
    either = read_parameters(
        openapi({"a": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "integer"}]}})
    )
    assert referenced_assets(either, {"a": f"asset:{TWO}"}) == (TWO,)


SECRET_FORMS: list[dict[str, Any]] = [
    {"type": "string", "format": "password"},
    {"type": "string", "x-cog-secret": True, "minLength": 999, "pattern": "^k"},
    {"type": "string", "x-cog-secret": True, "pattern": "^k"},
    {"type": "string", "x-cog-secret": True, "enum": ["a", "b"]},
    {"type": "integer", "x-cog-secret": True},
    {"type": "boolean", "x-cog-secret": True},
    {"type": "object", "x-cog-secret": True},
    {"type": "string", "format": "uri", "x-cog-secret": True},
    {"anyOf": [{"type": "integer", "x-cog-secret": True}, {"type": "null"}]},
    {"anyOf": [{"type": "integer"}, {"type": "boolean"}], "x-cog-secret": True},
    {"type": "array", "items": {"type": "integer", "x-cog-secret": True}},
    {"type": "array", "items": {"type": "integer"}, "x-cog-secret": True},
]


@pytest.mark.parametrize("form", SECRET_FORMS, ids=str)
def test_a_secret_is_named_and_its_value_never_shown(form: dict[str, Any]) -> None:
    read = read_parameters(openapi({"token": form, "seed": {"type": "integer"}}))
    assert read
    assert secret_fields(read, {"token": "hush-hush", "seed": 1}) == ("token",)
    assert secret_fields(read, {"seed": 1}) == ()
    for value in ("hush-hush", ["hush-hush"], {"x": "hush-hush"}):
        _, refused = _checked({"token": value}, read)
        assert "hush" not in f"{refused} {refused and refused.fields}"


@settings(deadline=None)
@given(JSON)
def test_any_json_can_be_read_as_a_schema(raw: Any) -> None:
    read_parameters(raw)
    read_parameters({"components": {"schemas": {"Input": raw}}})
    read = read_parameters(
        openapi({"a": raw} if isinstance(raw, dict) else {"a": {"enum": raw, "anyOf": raw}})
    )
    assert read is not None
    assert all(isinstance(each, Parameter) for each in read)


@settings(deadline=None)
@given(st.integers(-(2**52), 2**52))
def test_integers_survive_the_struct(number: int) -> None:
    (back,) = whole_numbers([float(number)])
    assert back == number
    assert isinstance(back, int)
