"""Webhooks: what a caller may ask for."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

WEBHOOK_EVENTS: Final = ("session.opened", "turn.ended", "say.ended", "session.closed")
"""What is posted to whoever asks for nothing else."""


class SessionWebhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the events of one session are posted: docs/webhooks.md."""

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]
    """An http or https address that is public."""
    secret: Annotated[str, Meta(max_length=200)]
    """Signs what is posted: ``whsec_`` and 24 to 64 bytes in base64, chosen by the caller."""
    events: Annotated[tuple[str, ...], Meta(max_length=64)] = WEBHOOK_EVENTS
    """Types of events."""
    include_text: bool = False
    """Whether to post what was said, and the settings of the session."""
