"""Logs without what was said: a hash and a number of words in the place of each text.

Equal texts of a log have equal hashes, so the turn core, which compares texts and reads none, decides as before. The
hash has a key that nobody keeps: without one, a "yes" could be found by trying.
"""

from __future__ import annotations

import secrets
from functools import cache
from hashlib import blake2b
from typing import Final, TypeVar, cast

from msgspec import Struct
from msgspec import inspect as types
from msgspec.structs import replace

T = TypeVar("T", bound=Struct)

_KEY_BYTES: Final = 16
_HASH_BYTES: Final = 6
"""A log has thousands of texts, not millions."""
_PLAIN_FIELDS: Final = frozenset({"language", "queue", "eager_items", "item_ids", "version", "report"})
"""Names that are no text, besides ids. Any other ``str`` is one: a new field is private until it is said not to be."""


class Redactor:
    """Redacts one log.

    Args:
        key: Of the hash; left out, a random one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(_KEY_BYTES)

    def text(self, text: str) -> str:
        """What stands in the place of a text; the empty one stays."""
        if not text:
            return text
        digest = blake2b(text.encode(), key=self._key, digest_size=_HASH_BYTES).hexdigest()
        return f"#{digest} {len(text.split())}w"

    def redacted(self, value: T) -> T:
        """The same event, action or state without texts."""
        changes = {name: self._value(getattr(value, name)) for name in open_fields(type(value))}
        return replace(value, **changes) if changes else value

    def _value(self, value: object) -> object:
        if isinstance(value, Struct):
            return self.redacted(value)
        if isinstance(value, tuple):
            return tuple(self._value(part) for part in cast("tuple[object, ...]", value))
        return self.text(value) if type(value) is str else value


@cache
def open_fields(kind: type[Struct]) -> tuple[str, ...]:
    """Names of the fields that may hold a text, or a Struct that does."""
    found = types.type_info(kind)
    assert isinstance(found, types.StructType)
    return tuple(
        field.name
        for field in found.fields
        if not (field.name.endswith("_id") or field.name in _PLAIN_FIELDS) and _may_hold_text(field.type)
    )


def _may_hold_text(kind: types.Type) -> bool:
    match kind:
        case types.StrType():
            return True
        case types.UnionType(types=choices):
            return any(_may_hold_text(choice) for choice in choices)
        case types.VarTupleType(item_type=inner) | types.Metadata(type=inner):
            return _may_hold_text(inner)
        case types.TupleType(item_types=items):
            return any(_may_hold_text(item) for item in items)
        case types.StructType(cls=cls):
            return bool(open_fields(cls))
        case types.IntType() | types.FloatType() | types.BoolType() | types.NoneType():
            return False
        case types.EnumType() | types.LiteralType():
            return False
        case _:
            raise TypeError(f"The decision log has no rule for {kind}: is there text in it?")
