"""JSON Schema of tools, from their Structs.

Each schema stands alone: an object at its root, what it refers to under ``$defs``. The text of a field is its
``Meta`` description, or else the docstring below it in the source, so that it is written once for people and models.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.tools import ToolInfo
from tools.tool import AnyTool

Schema = dict[str, Any]

_ROLE: Final = re.compile(r":\w+:`~?([^`]*)`")


def json_schema(kind: type[Struct]) -> Schema:
    """The schema of a Struct, with what it refers to under ``$defs``."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for cls in _structs(msgspec.inspect.type_info(kind)):
        properties: Schema = components[cls.__name__]["properties"]
        for name, description in _field_docstrings(cls).items():
            properties[name].setdefault("description", description)
    for component in components.values():
        if "description" in component:
            component["description"] = plain_text(component["description"])
    root = components.pop(kind.__name__)
    return {**root, "$defs": components} if components else root


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


def _structs(info: msgspec.inspect.Type) -> Iterator[type[Struct]]:
    """The Structs a type is made of."""
    match info:
        case msgspec.inspect.StructType():
            yield info.cls
            for field in info.fields:
                yield from _structs(field.type)
        case msgspec.inspect.UnionType(types=types):
            for choice in types:
                yield from _structs(choice)
        case msgspec.inspect.VarTupleType(item_type=inner) | msgspec.inspect.Metadata(type=inner):
            yield from _structs(inner)
        case _:
            pass


@cache
def _field_docstrings(cls: type[Struct]) -> dict[str, str]:
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
                    docstrings[name] = plain_text(text)
                case _:
                    pass
    return docstrings
