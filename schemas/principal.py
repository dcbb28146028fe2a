"""Who asks: the principal of a request, what it may do and how much of it.

Every request, WebSocket and tool call has one. What belongs to somebody belongs to their *tenant*; to the others it
looks as if it did not exist.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.errors import ErrorCode, SpeechError

Count = Annotated[int, Meta(ge=1)]
Tenant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$")]


class Scope(StrEnum):
    """What a principal may do."""

    AUDIO = "audio"
    """Transcribe, translate, speak; see models and voices."""
    SESSIONS = "sessions"
    """Hold conversations."""
    METRICS = "metrics"
    """Read ``/metrics``."""
    ADMIN = "admin"
    """Change what the server does for everyone."""


class Quotas(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one principal may use; what is left out is not limited."""

    requests_per_min: Count | None = None
    """Requests and tool calls; as many may come at once."""
    concurrent_requests: Count | None = None
    """Requests and streams that are open at the same time."""
    sessions: Count | None = None
    """Sessions that are open at the same time."""
    audio_s_per_hour: Annotated[float, Meta(gt=0)] | None = None
    """Seconds of audio, heard and spoken; as many may come at once."""


Account = tuple[str, str]
"""Tenant and subject: what quotas are counted for."""


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks."""

    tenant: str
    """Owns what the principal makes."""
    subject: str
    """Which key, or whom a token is about."""
    scopes: frozenset[Scope]
    quotas: Quotas = Quotas()

    @property
    def account(self) -> Account:
        """What its quotas are counted for."""
        return self.tenant, self.subject

    def require(self, scope: Scope) -> None:
        """Do nothing if the principal may do that.

        Raises:
            SpeechError: ``insufficient_scope``.
        """
        if scope not in self.scopes:
            raise SpeechError(
                ErrorCode.INSUFFICIENT_SCOPE,
                f"This needs the scope {scope.value}, which the key or token does not have. It has: "
                f"{', '.join(sorted(self.scopes)) or 'none'}.",
                param=scope.value,
            )


LOCAL: Final = Principal(tenant="local", subject="local", scopes=frozenset(Scope))
"""Whoever reaches a server that asks for no key."""
