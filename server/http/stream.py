"""``WS /v1/sessions/{id}/stream``: microphone and loudspeaker of a session.

To the server: binary frames are 16-bit little-endian mono PCM at ``input_rate_hz``, in pieces of any size; text
frames are client events (``schemas.events.ClientEvent``). From the server: text frames are the session's events, and
after each ``say.audio`` whose ``audio`` is null comes a binary frame with its PCM at ``output_rate_hz``. An event with
``seq`` 0 is an ``error`` that only this client gets, about something it sent; the connection stays.

The stream begins with the session's first event, or with ``?after=SEQ`` after the one named: give it when you
reconnect, or what was said is sent again. Losing the connection does not close the session.

Close codes: 1000 after ``session.closed``; 4400 bad ``after``, or another query; 4401 the key or token is valid no
longer; 4404 no such session; 4408 the client takes no data; 4409 the session is over; 4410 the events after ``after``
are no longer kept; 4429 a quota is used up; 1011 the server failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final, assert_never, get_args

import anyio
import msgspec
import structlog
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    Clear,
    ClientEvent,
    Close,
    Commit,
    Dtmf,
    Mute,
    Playback,
    Say,
    SayAudio,
    ServerEvent,
    SessionError,
    StopSpeaking,
)
from schemas.principal import Scope
from schemas.validation import decoded_json
from server.callers import Callers
from server.http.gate import needs
from server.http.queries import require_known
from server.http.streams import SEND_TIMEOUT_S, is_seq
from server.idempotency import Answer, Idempotency, KeyedRequest
from session.log import Published
from session.own_sessions import OwnSessions
from session.runner import Session

_log = structlog.stdlib.get_logger("antiphon.server")

StreamSocket = WebSocket[object, object, State]

NORMAL_CODE: Final = 1000
FAILED_CODE: Final = 1011
SLOW_CODE: Final = 4408
CLOSE_TIMEOUT_S: Final = 1.0
REASON_MAX_BYTES: Final = 123
"""Of a close frame, RFC 6455 section 5.5."""
_PRIVATE_CODES: Final = 4000
"""RFC 6455 leaves 4000 to 4999 to applications: ours are HTTP's statuses there."""
_GONE: Final = (WebSocketDisconnect, OSError)
"""What sending raises when the client has gone; uvicorn's is an ``OSError``."""


class Ending(Struct, frozen=True):
    """How the server closes a connection."""

    code: int
    reason: str


@websocket("/v1/sessions/{session_id:str}/stream", opt=needs(Scope.SESSIONS))
async def stream_session(
    socket: StreamSocket,
    session_id: FromPath[str],
    sessions: NamedDependency[OwnSessions],
    callers: NamedDependency[Callers],
) -> None:
    """Connect a client to a session."""
    try:
        await socket.accept()
        ending = await _stream(socket, session_id, sessions, callers.idempotency)
        if ending is not None:
            # A client that takes no data does not take this either.
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await socket.close(code=ending.code, reason=_clipped(ending.reason))
    except _GONE:
        pass


async def _stream(
    socket: StreamSocket, session_id: str, sessions: OwnSessions, idempotency: Idempotency
) -> Ending | None:
    """Serve one connection. ``None`` if the client ended it."""
    try:
        require_known(socket.query_params, ("after",))
        after_seq = _after(socket.query_params.get("after", "0"))
        session = await sessions.find(session_id)
        async with sessions.subscribe(session_id, after_seq) as events:
            return await _Connection(socket, session, sessions, idempotency).run(events)
    except SpeechError as error:
        return _ending(error)
    except Exception:  # noqa: BLE001  the boundary: the handshake is done, a close code is all that is left to say it
        _log.exception("stream_failed", session_id=session_id)
        return Ending(FAILED_CODE, "Something failed inside the server.")


class _Connection:
    """Two tasks: one sends events, the other receives audio and client events. Either ends both."""

    def __init__(self, socket: StreamSocket, session: Session, sessions: OwnSessions, idempotency: Idempotency) -> None:
        self._socket = socket
        self._session = session
        self._sessions = sessions
        self._idempotency = idempotency
        self._tasks = anyio.create_task_group()
        self._sending = anyio.Lock()
        self._ending: Ending | None = Ending(NORMAL_CODE, "The session is closed.")

    async def run(self, events: AsyncIterator[Published]) -> Ending | None:
        async with self._tasks:
            self._tasks.start_soon(self._receive)
            try:
                async for published in events:
                    await self._send(published.event, published.pcm)
            except SpeechError as error:
                self._ending = _ending(error)
            self._tasks.cancel_scope.cancel()
        return self._ending

    def _end(self, ending: Ending | None) -> None:
        self._ending = ending
        self._tasks.cancel_scope.cancel()

    async def _send(self, event: ServerEvent, pcm: bytes | None = None) -> None:
        if isinstance(event, SayAudio) and self._session.is_stale(event):
            pcm = None  # the agent was stopped while this was on its way
        if isinstance(event, SayAudio) and pcm is None:
            event = msgspec.structs.replace(event, audio="")  # no frame will follow
        try:
            with anyio.fail_after(SEND_TIMEOUT_S):
                async with self._sending:  # nothing may come between an event and its audio
                    await self._socket.send_text(msgspec.json.encode(event))
                    if pcm is not None:
                        await self._socket.send_bytes(pcm)
        except TimeoutError:
            _log.info("slow_client_cut_off", session_id=self._session.session_id)
            self._end(Ending(SLOW_CODE, f"The client took no data for {SEND_TIMEOUT_S:g} s."))
        except _GONE:
            self._end(None)

    async def _receive(self) -> None:
        """Take what the client sends, one message after the other: while the session waits, so does the client."""
        while True:
            message = await self._socket.receive()
            if message["type"] != "websocket.receive":
                self._end(None)
                return
            try:
                await self._take(message.get("bytes"), message.get("text"))
            except SpeechError as error:
                if error.code is ErrorCode.QUOTA_EXCEEDED:
                    self._end(_ending(error))  # not an event for each piece of audio that goes on coming
                    return
                # Until session.closed has reached it, a client cannot know that its microphone is no longer wanted.
                if error.code is not ErrorCode.SESSION_CLOSED:
                    await self._send(SessionError(error=error.info))

    async def _take(self, pcm16: bytes | None, text: str | None) -> None:
        if pcm16 is not None:
            await self._session.feed(pcm16)
            return
        event: ClientEvent = decoded_json(text or "", *get_args(ClientEvent))
        match event:
            case Playback():
                await self._session.playback(event.item_id, event.played_ms, final=event.final)
            case Say():
                await self._say_once(event)
            case StopSpeaking():
                # Not to be waited for: the client's last playback position comes through here.
                self._session.silence()
            case Commit() | Clear() | Mute() | Dtmf():
                await self._session.command(event)
            case Close():
                await self._sessions.close(self._session.session_id)
            case _:
                assert_never(event)

    async def _say(self, event: Say) -> None:
        await self._session.say(
            event.text,
            voice=event.voice,
            append_to=event.append_to,
            more=event.more,
            interruption=event.interruption,
            options=event.speech_options,
        )

    async def _say_once(self, event: Say) -> None:
        if event.idempotency_key is None:
            await self._say(event)
            return
        fingerprint = hashlib.sha256(msgspec.json.encode(event)).digest()
        account, operation = self._sessions.principal.account, f"say:{self._session.session_id}"
        keyed = KeyedRequest(account, operation, event.idempotency_key, fingerprint)
        async with self._idempotency.attempt(keyed) as attempt:
            if attempt.answer is None:
                await self._say(event)
                attempt.answer = Answer(fingerprint, b"")


def _after(text: str) -> int:
    if not is_seq(text):
        raise SpeechError(ErrorCode.INVALID_REQUEST, "after must be the number of an event.", param="after")
    return int(text)


def _ending(error: SpeechError) -> Ending:
    is_client_error = error.http_status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Ending(_PRIVATE_CODES + error.http_status if is_client_error else FAILED_CODE, error.message)


def _clipped(reason: str) -> str:
    return reason.encode()[:REASON_MAX_BYTES].decode(errors="ignore")


ROUTES: Final = (stream_session,)
