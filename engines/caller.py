"""On whose behalf engines work: for fair shares, and for what is left of a quota."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Allowance(Protocol):
    """How much audio somebody may still have worked on."""

    def take(self, audio_s: float) -> None:
        """Use so much of it, known before the work begins.

        What was asked for while something was left is done, however long it is; the debt is waited for afterwards.

        Raises:
            SpeechError: ``quota_exceeded`` if nothing is left.
        """
        ...

    def spend(self, audio_s: float) -> None:
        """Use so much, known only once it is there."""
        ...


class Unlimited:
    """The allowance of whoever has no quota."""

    def take(self, audio_s: float) -> None:
        """Nothing is counted."""

    def spend(self, audio_s: float) -> None:
        """Nothing is counted."""


class Caller(Struct, frozen=True, kw_only=True, eq=False):
    """Somebody for whom engines work."""

    tenant: str | None = None
    """Tenants get equal shares of a busy engine, and within each, its owners do."""
    allowance: Allowance = Unlimited()
