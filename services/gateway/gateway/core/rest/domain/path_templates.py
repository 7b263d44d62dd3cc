"""Parses the path templates of `google.api.http`, such as `/api/v3/jobs/{id}/scenes:reorder`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?:=(\*\*?))?\}")


@dataclass(frozen=True)
class Template:
    """A path with variables.

    Args:
        text: as it stands in the contract.
        variables: the fields that the variables are bound to, in order (`id`, `scene.id`).
        shape: the path with every variable as `{}`: two templates of one shape match the same paths.
        route: the path as Starlette writes it, with the variables named by place: `{p0}`, `{p1:path}`.
    """

    text: str
    variables: tuple[str, ...]
    shape: str
    route: str

    @property
    def specificity(self) -> tuple[tuple[bool, ...], str]:
        """Sorts templates so that a literal segment is tried before a variable in its place."""
        return tuple("{" in segment for segment in self.shape.split("/")), self.shape


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises:
        ValueError: it is not one, or uses what is not supported (patterns of several segments).
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r}: a path template starts with /")
    variables = [match[1] for match in _VARIABLE.finditer(text)]
    places = iter(range(len(variables)))

    def placed(match: re.Match[str]) -> str:
        return f"{{p{next(places)}:path}}" if match[2] == "**" else f"{{p{next(places)}}}"

    literal = _VARIABLE.sub("", text)
    if "{" in literal or "}" in literal or "*" in literal:
        raise ValueError(f"{text!r}: only variables such as {{id}}, {{id=*}} and {{path=**}} are supported")
    if len(set(variables)) != len(variables):
        raise ValueError(f"{text!r}: a variable stands twice")
    return Template(text, tuple(variables), _VARIABLE.sub("{}", text), _VARIABLE.sub(placed, text))
