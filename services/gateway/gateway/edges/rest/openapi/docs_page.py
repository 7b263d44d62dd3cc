"""Serves the OpenAPI document, and renders it as one HTML page that needs nothing from anywhere else."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from google.protobuf.empty_pb2 import Empty
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from gateway.edges.rest.openapi.document import build_document

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The page's Content-Security-Policy: it loads nothing and runs nothing."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #b4462e; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; display: grid; grid-template-columns: 15rem 1fr; }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.5rem 1rem;
  border-right: 1px solid var(--line); }
nav a { display: block; padding: .15rem .4rem; color: inherit; text-decoration: none; border-radius: .3rem; }
nav a:hover, nav a:focus { background: var(--soft); }
main { padding: 1.5rem 2rem; max-width: 62rem; min-width: 0; }
h1 { margin: 0; } h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
b.verb { display: inline-block; min-width: 4.2rem; font: 700 .8em ui-monospace, monospace;
  color: var(--accent); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-top: 1px solid var(--line); }
.old { opacity: .6; } .summary { opacity: .75; margin-left: .5rem; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""
_VERBS = ("get", "head", "post", "put", "patch", "delete")


class Docs:
    """The servicer of `DocumentService`."""

    def __init__(self) -> None:
        self._document = build_document()
        self._page = render(self._document)

    async def GetDocument(self, message: Empty, request: Request) -> Response:
        return JSONResponse(self._document, headers={"Cache-Control": "no-cache"})

    async def GetDocumentPage(self, message: Empty, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def GetHome(self, message: Empty, request: Request) -> Response:
        return RedirectResponse("/docs", 302)


def render(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    info, tags = document["info"], [tag["name"] for tag in document["tags"]]
    by_tag: dict[str, list[str]] = {tag: [] for tag in tags}
    for path, item in document["paths"].items():
        for verb in _VERBS:
            if verb in item:
                entry = item[verb]
                by_tag[entry["tags"][0]].append(_operation(verb, path, entry))
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in (*tags, "Schemas"))
    sections = "".join(
        f'<h2 id="{escape(tag["name"])}">{escape(tag["name"])}</h2><p>{_prose(tag["description"])}</p>'
        + "".join(by_tag[tag["name"]])
        for tag in document["tags"]
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<nav><strong>{escape(info['title'])} API</strong>{links}</nav><main>"
        f"<h1>{escape(info['title'])}</h1><p>{_prose(info['summary'])}</p><p>{_prose(info['description'])}</p>"
        '<p>The same as <a href="/api/openapi.json">OpenAPI 3.1</a>.</p>'
        f'{sections}<h2 id="Schemas">Schemas</h2>{schemas}</main></body></html>'
    )


def _operation(verb: str, path: str, entry: dict[str, Any]) -> str:
    old = ' class="old"' if entry.get("deprecated") else ""
    rows = [
        _row(p["name"], p["in"], _kind(p["schema"]), p.get("description", ""))
        for p in entry.get("parameters", [])
    ]
    for media, content in entry.get("requestBody", {}).get("content", {}).items():
        rows.append(_row("", media, _kind(content["schema"]), ""))
        rows += _properties(content["schema"])
    answers = [
        _row(
            status,
            "",
            " ".join(_kind(c.get("schema", {})) for c in answer.get("content", {}).values()),
            answer["description"],
        )
        for status, answer in entry["responses"].items()
    ]
    return (
        f'<details{old}><summary><b class="verb">{verb.upper()}</b><code>{escape(path)}</code>'
        f'<span class="summary">{_prose(entry.get("summary", ""))}</span></summary>'
        f"<p>{_prose(entry.get('description', ''))}</p>{_table(rows)}"
        f"<strong>Answers</strong>{_table(answers)}</details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    words = " · ".join(f"<code>{escape(word)}</code>" for word in schema.get("enum", []))
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{_prose(schema.get('description', '')).replace(chr(10), '<br>')}</p><p>{words}</p>"
        f"{_table(_properties(schema))}</details>"
    )


def _properties(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required", [])
    return [
        _row(name, "required" if name in required else "", _kind(inner), inner.get("description", ""))
        for name, inner in schema.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    """The type in words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else kind
    limits = [
        f"{name} {schema[name]}"
        for name in ("minimum", "maximum", "minLength", "maxLength", "pattern", "format")
        if name in schema
    ]
    return escape(words + (f" ({', '.join(limits)})" if limits else ""))


def _row(name: str, where: str, kind: str, text: str) -> str:
    cells = (f"<code>{escape(name)}</code>", escape(where), kind, _prose(text))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _prose(text: str) -> str:
    """A comment of the contracts as HTML: what stands between backticks there is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(rows: list[str]) -> str:
    return f"<table>{''.join(rows)}</table>" if rows else ""
