"""What a caller is given to work with: engines, sessions and tools, in their name.

Every surface gets these by its requests' principal. What they do is counted for that principal, and what they see is
that principal's tenant's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from engines.caller import Caller
from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.public_http import Fetcher
from schemas.principal import Principal
from schemas.tools import AudioAs, ToolEvent
from server.auth.quotas import QuotaLedger
from server.idempotency import Idempotency
from server.settings import Settings
from session.manager import SessionManager
from session.own_sessions import OwnSessions
from tools.audio_shelf import AudioShelf
from tools.tool import ToolContext, ToolLimits, ignore_event


class Callers:
    """Makes what a principal works with. One an application.

    Args:
        settings: Limits of tools.
        host: The engines.
        decoder: Of uploads.
        fetcher: Of audio by URL.
        manager: All sessions.
        quotas: What each principal has used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: EngineHost,
        decoder: Decoder,
        fetcher: Fetcher,
        manager: SessionManager,
        quotas: QuotaLedger,
    ) -> None:
        self._host = host
        self._decoder = decoder
        self._fetcher = fetcher
        self._manager = manager
        self._quotas = quotas
        self.shelf = AudioShelf()
        self.idempotency = Idempotency(settings.limits.request_timeout_s)
        """For requests that may come again."""
        self._limits = ToolLimits(
            max_text_chars=settings.limits.max_text_chars, engine_timeout_s=settings.limits.request_timeout_s
        )

    def host(self, principal: Principal) -> EngineHost:
        """The engines."""
        caller = Caller(tenant=principal.tenant, allowance=self._quotas.audio(principal))
        return self._host.on_behalf_of(caller)

    def sessions(self, principal: Principal, *, alone: bool = False) -> OwnSessions:
        """The tenant's sessions, or those alone that the principal opened."""
        return OwnSessions(self._manager, principal, self._quotas.audio(principal), alone=alone)

    def tool_context(
        self,
        principal: Principal,
        emit: Callable[[ToolEvent], Awaitable[None]] = ignore_event,
        *,
        audio_as: AudioAs = "base64",
        alone: bool = False,
    ) -> ToolContext:
        """For one call of a tool.

        Args:
            principal: Who calls.
            emit: Takes what is ready before the result is.
            audio_as: How audio is returned if the caller does not say.
            alone: Whether the principal's own sessions are all that it finds.
        """
        return ToolContext(
            host=self.host(principal),
            decoder=self._decoder,
            fetcher=self._fetcher,
            sessions=self.sessions(principal, alone=alone),
            shelf=self.shelf,
            audio_as=audio_as,
            limits=self._limits,
            emit=emit,
        )
