"""JSON Schema of Structs, above all of the tools' arguments and results.

A schema of :func:`json_schema` stands alone: an object at its root, what it refers to under ``$defs``. The text of a
field is the docstring below it in the source, or else its ``Meta`` description, so that it is written once for people
and models.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from schemas.tools import ToolInfo
from tools.tool import AnyTool

Schema = dict[str, Any]

_ROLE: Final = re.compile(r":\w+:`~?([^`]*)`")


def json_schema(kind: type[Struct]) -> Schema:
    """The schema of a Struct, with what it refers to under ``$defs``."""
    definitions = components([kind], ref_template="#/$defs/{name}")
    root = definitions.pop(kind.__name__)
    return {**root, "$defs": definitions} if definitions else root


def components(kinds: Sequence[type[Struct]], *, ref_template: str) -> dict[str, Schema]:
    """The schemas of Structs and of all they are made of, by name.

    Args:
        kinds: The Structs.
        ref_template: How they refer to each other; ``{name}`` stands for the name.
    """
    _, schemas = msgspec.json.schema_components(kinds, ref_template=ref_template)
    for cls in _structs(kinds):
        properties: Schema = schemas[cls.__name__]["properties"]
        for name, docstring in field_docstrings(cls).items():
            if name in properties:  # what stands below the field is closer to it than what its type says
                properties[name]["description"] = docstring
    return {name: _completed(schema) for name, schema in schemas.items()}


def tool_info(tool: AnyTool) -> ToolInfo:
    """A tool as a caller sees it."""
    return ToolInfo(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=json_schema(tool.input),
        output_schema=json_schema(tool.output),
        annotations=tool.annotations,
    )


def plain_text(docstring: str) -> str:
    """A docstring as one line without markup."""
    return " ".join(_ROLE.sub(r"\1", docstring).replace("``None``", "null").replace("``", "").split())


def referred(schema: Mapping[str, Any], definitions: Mapping[str, Schema]) -> Mapping[str, Any]:
    """What a schema refers to, or the schema itself."""
    return definitions[ref_name(schema)] if "$ref" in schema else schema


def ref_name(schema: Mapping[str, Any]) -> str:
    """The name of what a schema refers to."""
    return str(schema["$ref"]).rpartition("/")[2]


def without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a value that is given: for "a number or null", that of the number."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    match choices:
        case []:
            return schema
        case [choice]:
            return choice
        case _:
            return {**schema, "anyOf": choices}


def _completed(node: Any) -> Any:  # noqa: ANN401  any JSON value
    """The same with plain descriptions, and a type for what msgspec gives values only."""
    match node:
        case dict():
            schema = {key: _completed(value) for key, value in cast("dict[str, Any]", node).items()}
            if isinstance(schema.get("description"), str):
                schema["description"] = plain_text(schema["description"])
            if "enum" in schema and "type" not in schema and all(isinstance(value, str) for value in schema["enum"]):
                schema["type"] = "string"
            return schema
        case list() | tuple():
            return [_completed(value) for value in cast("list[Any]", node)]
        case _:
            return node


def _structs(kinds: Sequence[type[Struct]]) -> Iterator[type[Struct]]:
    """The Structs that some are made of, each once."""
    seen: set[type[Struct]] = set()
    left = list(msgspec.inspect.multi_type_info(kinds))
    while left:
        match left.pop():
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if cls not in seen:
                    seen.add(cls)
                    yield cls
                    left += [field.type for field in fields]
            case msgspec.inspect.UnionType(types=types):
                left += types
            case msgspec.inspect.CollectionType(item_type=inner) | msgspec.inspect.Metadata(type=inner):
                left.append(inner)
            case _:
                pass


@cache
def field_docstrings(cls: type[Struct]) -> dict[str, str]:
    """Docstrings that stand below fields, by the field's name; those of a base class too."""
    docstrings: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not (issubclass(owner, Struct) and owner is not Struct):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docstrings[name] = text
                case _:
                    pass
    return docstrings
