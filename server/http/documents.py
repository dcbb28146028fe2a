"""The API's description: ``/openapi.json``, and ``/docs`` to read it.

The page is one HTML document without scripts, so that it works on a machine that reaches no other. The usual viewers
are megabytes of JavaScript from somewhere else; whoever wants one can open ``/openapi.json`` in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.openapi.plugins import OpenAPIRenderPlugin

from server.errors import HttpRequest
from server.http.gate import PUBLIC
from server.http.openapi import openapi_document
from tools.schema import referred
from tools.words import default_words, type_words

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2a7ab0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; }
summary { cursor: pointer; padding: .6rem .9rem; }
summary code { font-weight: 600; }
.method { display: inline-block; min-width: 4.5rem; color: var(--accent); font: 700 .85rem ui-monospace, monospace; }
.body { padding: 0 .9rem .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line); }
code { font-family: ui-monospace, monospace; font-size: .92em; }
"""


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def openapi_json(request: HttpRequest) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(msgspec.json.encode(openapi_document(request.app)), media_type="application/json")


ROUTES: Final = (openapi_json,)


class ApiPage(OpenAPIRenderPlugin):
    """Renders the OpenAPI document as one page."""

    def render(self, request: HttpRequest, openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002  Litestar's part
        """The page, UTF-8."""
        document = openapi_document(request.app)
        info = document["info"]
        body = "".join(_sections(document))
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
            f"<body><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
            f"<p>{escape(info['description'])}</p>"
            f'<p>The same for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>{body}'
            "</body></html>"
        ).encode()


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    operations: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["other"])[0]
            operations.setdefault(tag, []).append(_operation(document, path, method, operation))
    for tag, described in operations.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(described)}"


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<p>{escape(operation['description'])}</p>"] if operation.get("description") else []
    if parameters := operation.get("parameters"):
        parts.append(
            _table("Parameters", (_row(p["name"], p["schema"], document, p.get("required")) for p in parameters))
        )
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(_table(media_type, _fields(content["schema"], document)))
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            title = f"{status}: {response['description']}"
            fields = list(_fields(content["schema"], document)) if status.startswith("2") else []
            parts.append(_table(title, fields) if fields else f"<p>{escape(title)}</p>")
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f'{escape(operation.get("summary") or "")}</summary><div class="body">{"".join(parts)}</div></details>'
    )


def _table(title: str, rows: Iterator[str] | list[str]) -> str:
    return f"<h4>{escape(title)}</h4><table>{''.join(rows)}</table>"


def _fields(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    schema = _resolved(schema, document)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield _row(name, field, document, name in required)
    for choice in schema.get("oneOf", ()):
        yield from _fields(choice, document)


def _row(name: str, schema: Mapping[str, Any], document: Mapping[str, Any], required: bool | None) -> str:  # noqa: FBT001
    notes = [schema.get("description", "")]
    if (default := default_words(schema)) not in {"", "null"}:
        notes.append(f"default {default}")
    if required:
        notes.append("required")
    text = "; ".join(note for note in notes if note)
    cells = (
        f"<code>{escape(name)}</code>",
        escape(type_words(_named_or_plain(schema, document)).replace("`", "")),
        escape(text),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _named_or_plain(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema whose values can be told in a line, in place of its name: an enumeration."""
    plain = _resolved(schema, document)
    return plain if "enum" in plain else schema


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    return referred(schema, document["components"]["schemas"])
