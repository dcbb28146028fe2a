"""What is posted of an event."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from schemas.errors import ErrorInfo
from schemas.events import ServerEvent
from session.redaction import open_fields

EVENT_TYPES: Final = tuple(str(kind.__struct_config__.tag) for kind in get_args(ServerEvent))
"""Of all events there are."""
_PRIVATE: Final = frozenset({"digit", "settings"})
"""Besides all that may be text: keys can spell a card's number, and settings are nobody else's business."""


class Message(Struct, frozen=True):
    """One event, ready to be posted."""

    webhook_id: str
    type: str
    body: bytes


def message_of(session_id: str, event: ServerEvent, *, with_text: bool) -> Message:
    """The message of an event, the same in every attempt to post it."""
    data: dict[str, Any] = msgspec.to_builtins(event) if with_text else _without_text(event)
    name = str(data.pop("type"))
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Message(
        # Whoever has a session's id has the session; this one is often in logs.
        webhook_id=f"msg_{hashlib.sha256(f'{session_id}:{event.seq}'.encode()).hexdigest()[:32]}",
        type=name,
        body=msgspec.json.encode({"type": name, "timestamp": moment, "data": {"session_id": session_id, **data}}),
    )


def _without_text(value: ServerEvent | ErrorInfo) -> dict[str, Any]:
    """What is known to hold no text; of an error, its code."""
    private = _PRIVATE.union(open_fields(type(value)))
    fields: dict[str, Any] = msgspec.to_builtins(value)
    kept = {name: field for name, field in fields.items() if field is None or name not in private}
    if (error := getattr(value, "error", None)) is not None:
        kept["error"] = _without_text(error)
    return kept
