"""The sessions of one tenant, or of one principal, which is all that a caller gets to see of the manager's.

Surfaces and tools are given this and not the manager, so that none can forget to ask whose a session is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from engines.caller import Allowance
from schemas.principal import Principal
from schemas.sessions import Conversation, SessionInfo, SessionSettings
from session.log import Published
from session.manager import SessionManager
from session.runner import Session
from session.stores.base import unknown_session


class OwnSessions:
    """What one principal may do with sessions. Of those of others it learns nothing: they are ``unknown_session``.

    Args:
        manager: Of all sessions.
        principal: Who asks. It owns what it opens.
        allowance: Of audio, for what it opens.
        alone: Whether it has its own sessions only, and not those of all its tenant.
    """

    def __init__(
        self,
        manager: SessionManager,
        principal: Principal,
        allowance: Allowance | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._manager = manager
        self._allowance = allowance
        self._alone = alone
        self.principal = principal

    async def open(self, settings: SessionSettings) -> Session:
        """As :meth:`SessionManager.open`."""
        return await self._manager.open(settings, self.principal, self._allowance)

    async def find(self, session_id: str) -> Session:
        """As :meth:`SessionManager.find`."""
        await self._check(session_id)
        return await self._manager.find(session_id)

    async def info(self, session_id: str) -> SessionInfo:
        """As :meth:`SessionManager.info`."""
        await self._check(session_id)
        return await self._manager.info(session_id)

    async def conversation(self, session_id: str) -> Conversation:
        """As :meth:`SessionManager.conversation`."""
        await self._check(session_id)
        return await self._manager.conversation(session_id)

    async def close(self, session_id: str) -> SessionInfo:
        """As :meth:`SessionManager.close`."""
        await self._check(session_id)
        return await self._manager.close(session_id)

    @asynccontextmanager
    async def subscribe(
        self, session_id: str, after_seq: int = 0
    ) -> AsyncGenerator[AsyncGenerator[Published, None], None]:
        """As :meth:`SessionManager.subscribe`."""
        await self._check(session_id)
        async with self._manager.subscribe(session_id, after_seq) as events:
            yield events

    async def _check(self, session_id: str) -> None:
        tenant, subject = await self._manager.owner_of(session_id)
        if tenant != self.principal.tenant or (self._alone and subject != self.principal.subject):
            raise unknown_session(session_id)
