"""All sessions of this process: opened here, owned here, ended here."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio
import structlog
from anyio.abc import TaskStatus
from msgspec.structs import replace

from engines.caller import Allowance, Caller, Unlimited
from engines.host import EngineHost
from engines.text.lexicon import lexicon
from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent, SessionClosed
from schemas.models import ModelKind
from schemas.principal import LOCAL, Account, Principal
from schemas.sessions import Conversation, SessionInfo, SessionSettings, SessionState
from schemas.transcripts import language_code
from session.clock import Clock, MonotonicClock
from session.decision_log import ModelUsed
from session.decision_recorder import DecisionLogs
from session.history import History
from session.latency import TurnMoments
from session.limits import SessionLimits
from session.log import READ_EVENTS, EventLog, OnEvents, Published, ignore_events
from session.recognition import RecognitionCounts
from session.runner import CloseReason, Session
from session.stores.base import EventStore, SessionRecord
from session.voice_activity import VoiceActivity

logger = structlog.get_logger("antiphon.session")

SWEEP_S: Final = 15.0
"""How often idle sessions and old histories are looked for."""
PRUNE_EVERY_SWEEPS: Final = 240
"""Once an hour."""
CLOSE_GRACE_S: Final = 10.0
_DECIDING: Final = {ModelKind.VAD, ModelKind.TURN_DETECTOR}
"""Kinds of models, besides recognition, that the turn core hears from."""


TurnObserver = Callable[[str, TurnMoments], None]
"""Gets a session's id, and when what happened in one of its turns."""


class SessionManager:
    """Opens, finds and closes sessions; ``async with`` owns their tasks.

    On entry, sessions that a dead process left open are marked as interrupted: their history can be read and their
    event streams end properly. On exit, all live sessions are closed.
    """

    def __init__(
        self,
        host: EngineHost,
        store: EventStore,
        limits: SessionLimits | None = None,
        clock: Clock | None = None,
        decision_logs: DecisionLogs | None = None,
        on_events: OnEvents = ignore_events,
    ) -> None:
        self._host = host
        self._store = store
        self._limits = limits or SessionLimits()
        self._clock = clock or MonotonicClock()
        self._decision_logs = decision_logs or DecisionLogs()
        self._on_events = on_events
        self._observers: list[TurnObserver] = []
        self.recognition = RecognitionCounts()
        """Of all sessions since the start."""
        self._voice_activity = VoiceActivity(host)
        self._live: dict[str, Session] = {}
        self._stack = AsyncExitStack()
        self._accepting = False
        self._held: Counter[Account] = Counter()
        """Of the sessions that are open, and of those that are being stored for the first time: both count."""

    async def __aenter__(self) -> Self:
        await self._recover()
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._sweep)
        self._tasks.start_soon(self._voice_activity.run)
        self._accepting = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain()
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def drain(self) -> None:
        """Open no more sessions and close those that are open, so that their followers are told and let go."""
        self._accepting = False
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_GRACE_S):
            for session in list(self._live.values()):
                await session.close("shutdown")

    @property
    def live_count(self) -> int:
        """Sessions that are open now."""
        return len(self._live)

    def observe(self, observer: TurnObserver) -> None:
        """Have each turn told, once it is answered or will not be any more."""
        self._observers.append(observer)

    def _on_answered(self, session_id: str, moments: TurnMoments) -> None:
        for observer in self._observers:
            observer(session_id, moments)

    async def open(
        self, settings: SessionSettings, owner: Principal = LOCAL, allowance: Allowance | None = None
    ) -> Session:
        """Open a session.

        Args:
            settings: What the caller wants.
            owner: Whose it is.
            allowance: Of audio, heard and spoken.

        Raises:
            SpeechError: ``quota_exceeded``, ``too_many_sessions``, ``unknown_voice``, ``unknown_model``,
                ``unsupported_language``, ``invalid_request`` for settings that contradict each other,
                ``shutting_down``.
        """
        if not self._accepting:
            raise SpeechError(ErrorCode.SHUTTING_DOWN, "The server is shutting down; open the session on another.")
        self._admit(owner)
        if settings.language is not None:
            settings = replace(settings, language=language_code(settings.language))
        self._check(settings, self._host.on_behalf_of(Caller(tenant=owner.tenant)))
        record = SessionRecord(
            session_id=f"ses_{secrets.token_urlsafe(16)}",  # 128 bits: cannot be guessed
            created_at=_rfc3339(datetime.now(UTC)),
            settings=settings,
            state=SessionState.OPEN,
            tenant=owner.tenant,
            subject=owner.subject,
        )
        self._held[owner.account] += 1
        try:
            await self._store.create(record)
        except BaseException:
            self._release(owner)
            raise
        session = Session(
            record.session_id,
            record.created_at,
            settings,
            host=self._host,
            voice_activity=self._voice_activity,
            owner=owner,
            allowance=allowance or Unlimited(),
            log=EventLog(record.session_id, self._store, self._on_events),
            clock=self._clock,
            limits=self._limits,
            counts=self.recognition,
            decisions=self._decision_logs.recorder(
                record.session_id, settings.turn, self._models(settings), self._clock.now_us()
            ),
            on_answered=partial(self._on_answered, record.session_id),
        )
        self._live[record.session_id] = session
        await self._tasks.start(self._run, session)
        return session

    def _admit(self, owner: Principal) -> None:
        quota = owner.quotas.sessions
        if quota is not None and self._held[owner.account] >= quota:
            raise SpeechError(
                ErrorCode.QUOTA_EXCEEDED,
                f"{quota} sessions are open, which is the quota of this key or token (quotas.sessions). Close one, or "
                "try again later.",
                param="sessions",
                retry_after_s=SWEEP_S,
            )
        if self._held.total() >= self._limits.max_sessions:
            raise SpeechError(
                ErrorCode.TOO_MANY_SESSIONS,
                f"{self._limits.max_sessions} sessions are open, which is this server's limit (limits.max_sessions). "
                "Close one, or try again later.",
                retry_after_s=SWEEP_S,
            )

    def _release(self, owner: Principal) -> None:
        self._held[owner.account] -= 1
        if not self._held[owner.account]:
            del self._held[owner.account]

    async def owner_of(self, session_id: str) -> Account:
        """Whose a session is, live or over.

        Raises:
            SpeechError: ``unknown_session``.
        """
        session = self._live.get(session_id)
        if session is not None:
            return session.owner.account
        record = await self._store.record(session_id)
        return record.tenant, record.subject

    def _models(self, settings: SessionSettings) -> tuple[ModelUsed, ...]:
        """Whose answers the turn core will get."""
        asr = self._host.model(ModelKind.ASR, settings.asr_model)
        others = [model for model in self._host.models() if model.default and model.kind in _DECIDING]
        return tuple(
            ModelUsed(kind=model.kind, name=model.name, fingerprint=model.fingerprint) for model in (asr, *others)
        )

    def _check(self, settings: SessionSettings, host: EngineHost) -> None:
        if settings.voice is not None:
            host.voice(settings.voice)
        lexicon(settings.lexicon)
        languages = host.model(ModelKind.ASR, settings.asr_model).languages
        if settings.language is not None and settings.language not in languages:
            raise SpeechError(
                ErrorCode.UNSUPPORTED_LANGUAGE,
                f"The recognition model does not know the language {settings.language[:16]!r}. "
                f"It knows: {', '.join(languages)}.",
                param="language",
            )
        if settings.turn.vad_off > settings.turn.vad_on:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"turn.vad_off ({settings.turn.vad_off}) must not be above turn.vad_on ({settings.turn.vad_on}): "
                "speech would end where it begins.",
                param="turn.vad_off",
            )

    async def find(self, session_id: str) -> Session:
        """A live session.

        Raises:
            SpeechError: ``unknown_session``; ``session_closed`` for one that is over.
        """
        session = self._live.get(session_id)
        if session is not None:
            return session
        record = await self._store.record(session_id)
        raise SpeechError(
            ErrorCode.SESSION_CLOSED,
            f"Session {session_id} is {record.state.value}; its history can still be read with get_conversation. "
            "Open a new one to go on.",
            param="session_id",
        )

    async def info(self, session_id: str) -> SessionInfo:
        """A session, live or over.

        Raises:
            SpeechError: ``unknown_session``.
        """
        session = self._live.get(session_id)
        return session.info if session else _info(await self._store.record(session_id))

    async def conversation(self, session_id: str) -> Conversation:
        """What was said and heard in a session, live or over.

        Raises:
            SpeechError: ``unknown_session``.
        """
        session = self._live.get(session_id)
        if session is not None:
            conversation = Conversation(session=session.info, items=session.history.items)
            await session.log.written()
            return conversation
        record = await self._store.record(session_id)
        history = History()
        async for event in self._stored(record, record.first_seq - 1):
            history.add(event)
        return Conversation(session=_info(record), items=history.items)

    async def close(self, session_id: str, reason: CloseReason = "client") -> SessionInfo:
        """Close a session and wait until its history is complete; nothing happens to one that is over.

        Raises:
            SpeechError: ``unknown_session``.
        """
        if (session := self._live.get(session_id)) is not None:
            await session.close(reason)
        return await self.info(session_id)

    @asynccontextmanager
    async def subscribe(
        self, session_id: str, after_seq: int = 0
    ) -> AsyncGenerator[AsyncGenerator[Published, None], None]:
        """Events of a session after ``after_seq``: those there are, then new ones until ``session.closed``.

        Raises:
            SpeechError: ``unknown_session``; ``events_expired``; ``invalid_request`` if ``after_seq`` is ahead.
        """
        info = await self.info(session_id)
        if after_seq > info.last_seq:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                f"Event {after_seq} has not happened yet; the newest of this session is {info.last_seq}.",
                param="Last-Event-ID",
            )
        session = self._live.get(session_id)
        if session is not None:
            await self._store.read(session_id, after_seq, 1)  # raises events_expired before the stream begins
            async with aclosing(session.log.follow(after_seq)) as events:
                yield events
            return
        record = await self._store.record(session_id)
        await self._store.read(session_id, after_seq, 1)
        async with aclosing(self._published(record, after_seq)) as events:
            yield events

    async def _published(self, record: SessionRecord, after_seq: int) -> AsyncGenerator[Published, None]:
        async for event in self._stored(record, after_seq):
            yield Published(event)

    async def _stored(self, record: SessionRecord, after_seq: int) -> AsyncGenerator[ServerEvent, None]:
        while after_seq < record.last_seq:
            for event in await self._store.read(record.session_id, after_seq, READ_EVENTS):
                after_seq = event.seq
                yield event

    # Tasks

    async def _run(self, session: Session, *, task_status: TaskStatus[None]) -> None:
        # Not the request that happened to open it: the session goes on when that is answered.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(session_id=session.session_id)
        logger.info("session_opened")
        try:
            await session.run(task_status=task_status)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_GRACE_S):
                await self._note_closed(session.session_id)
            del self._live[session.session_id]
            self._release(session.owner)
            session.ended.set()
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_GRACE_S):
                await self._prune_decision_logs()
            logger.info("session_closed", session_id=session.session_id, received_ms=session.info.received_ms)

    async def _note_closed(self, session_id: str) -> None:
        try:
            await self._store.set_state(session_id, SessionState.CLOSED)
        except Exception:  # a store that fails must not take the other sessions with it
            logger.exception("session_state_not_stored", session_id=session_id)

    async def _prune_decision_logs(self) -> None:
        try:
            await self._decision_logs.prune()
        except OSError as error:
            logger.warning("decision_logs_not_pruned", reason=error.strerror)

    async def _sweep(self) -> None:
        sweeps = 0
        while True:
            if sweeps % PRUNE_EVERY_SWEEPS == 0:
                await self._prune()
            sweeps += 1
            await self._clock.sleep(SWEEP_S)
            idle_us = self._clock.now_us() - int(self._limits.idle_timeout_s * 1e6)
            for session in [session for session in self._live.values() if session.is_idle_since(idle_us)]:
                await session.close("idle")

    async def _prune(self) -> None:
        oldest = datetime.now(UTC) - timedelta(seconds=self._limits.retention_s)
        try:
            forgotten = await self._store.prune(_rfc3339(oldest))
        except Exception:  # a store that fails must not take the live sessions with it
            logger.exception("sessions_not_pruned")
        else:
            logger.debug("sessions_pruned", count=forgotten)

    async def _recover(self) -> None:
        """Sessions of a process that died: end their logs, so that followers know."""
        for record in await self._store.open_sessions():
            closed = SessionClosed(seq=record.last_seq + 1, at_ms=record.at_ms, reason="server_stopped")
            await self._store.append(record.session_id, [closed])
            self._on_events(record.session_id, [closed])
            await self._store.set_state(record.session_id, SessionState.INTERRUPTED)
            logger.warning("session_interrupted", session_id=record.session_id)


def _info(record: SessionRecord) -> SessionInfo:
    return SessionInfo(
        session_id=record.session_id,
        state=record.state,
        created_at=record.created_at,
        settings=record.settings,
        last_seq=record.last_seq,
        received_ms=record.at_ms,
    )


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
