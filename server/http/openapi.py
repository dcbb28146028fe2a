"""The API's description as a document, OpenAPI 3.1: what ``/openapi.json`` and ``/docs`` show.

Litestar finds the operations; the Structs they take and return are described by :mod:`tools.schema`, as everywhere,
and the tools by :mod:`tools.openapi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import msgspec
from litestar import Litestar
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody
from litestar.openapi.spec import Schema as ComponentSchema
from litestar.plugins import OpenAPISchemaPlugin
from msgspec import Struct

from schemas.errors import ErrorBody
from schemas.events import ClientEvent, ServerEvent
from server.http.openapi_details import DETAILS, WEBSOCKET, Details
from tools.openapi import REF, error_example, given_fields, sent_event, tool_components, tool_paths
from tools.registry import TOOLS
from tools.schema import Schema, components

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.typing import FieldDefinition

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

_BEARER: Final = "An API key or an access token, where the server asks for one: docs/deployment.md."

_kinds: dict[str, type[Struct]] = {}
"""What the document refers to. Operations are declared when their modules are imported."""


def reference(kind: type[Struct]) -> Schema:
    """A reference to a Struct, which will be among the document's components."""
    assert _kinds.setdefault(kind.__name__, kind) is kind, f"two types are called {kind.__name__}"
    return {"$ref": REF.format(name=kind.__name__)}


class StructReferences(OpenAPISchemaPlugin):
    """Has Litestar refer to Structs instead of describing them in its own way."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:  # noqa: ANN401  whatever an annotation is
        """Whether it is a Struct."""
        return isinstance(value, type) and issubclass(value, Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> ComponentSchema:
        """A component without fields, for :func:`openapi_document` to put ours in its place."""
        _ = reference(field_definition.annotation)
        return schema_creator.create_component_schema(field_definition, required=[], property_fields={})


def operation(body: Mapping[str, Schema]) -> type[Operation]:
    """For a handler's ``operation_class``: the request's body, which the handler reads itself.

    Args:
        body: Schemas by media type.
    """

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            content = {name: OpenAPIMediaType(schema=cast("Any", schema)) for name, schema in body.items()}
            self.request_body = RequestBody(content=content, required=True)

    return Described


def openapi_document(app: Litestar) -> Schema:
    """The whole document."""
    document: Schema = app.openapi_schema.to_schema()
    document["info"]["description"] = f"{document['info']['description']}\n\n{WEBSOCKET}"
    kinds = {*_kinds.values(), *get_args(ServerEvent), *get_args(ClientEvent)}
    for path in document["paths"].values():
        for described in path.values():
            details = DETAILS.get(described["operationId"], Details())
            kinds |= set(details.events.values())
            _add_details(described, details)
    document["paths"] = dict(sorted({**document["paths"], **tool_paths(TOOLS)}.items()))
    by_name = sorted(kinds, key=lambda kind: kind.__name__)
    schemas = {
        **document.get("components", {}).get("schemas", {}),
        **components(by_name, ref_template=REF),
        **tool_components(TOOLS),
    }
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": _BEARER}},
    }
    document["security"] = [{"bearer": []}, {}]
    return document


def _add_details(described: Schema, details: Details) -> None:
    """Add examples and events to an operation as Litestar describes it."""
    if details.body is not None:
        described["requestBody"]["content"][JSON]["example"] = given_fields(details.body)
    for status, response in described["responses"].items():
        content = response.get("content", {})
        if not status.startswith("2"):
            if content.get(JSON, {}).get("schema") == reference(ErrorBody):
                content[JSON]["example"] = error_example(int(status))
        elif content:
            if details.result is not None:
                content[JSON]["example"] = msgspec.to_builtins(details.result)
            if details.other_results:
                others = [{"type": name} for name in details.other_results]
                content[JSON]["schema"] = {"anyOf": [content[JSON]["schema"], *others]}
            if details.events:
                content[EVENT_STREAM] = _event_stream(details)


def _event_stream(details: Details) -> Schema:
    """A media type object of server-sent events, which OpenAPI 3.1 has no keywords for."""
    return {
        "schema": sent_event(details.events_words),
        "x-events": {name: reference(kind) for name, kind in details.events.items()},
    }
