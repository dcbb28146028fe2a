"""``/v1/sessions``: open, look at, feed and close sessions over plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, get_args

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from engines.codec.decoder import Decoder
from engines.public_http import Fetcher
from schemas.audio import pcm16_from_float
from schemas.errors import ErrorCode, SpeechError
from schemas.events import InputCommand, Playback
from schemas.principal import Scope
from schemas.sessions import AudioAccepted, AudioByUrl, Conversation, OpenSession, SessionInfo
from schemas.validation import decoded_json
from server.errors import HttpRequest, error_responses
from server.http.bodies import body_pieces, body_too_large, documented, json_body, media_type
from server.http.gate import needs
from server.http.idempotency import ENDLESS
from server.http.intake import Intake
from server.http.openapi import JSON, operation, reference
from server.http.streams import until_disconnected
from server.settings import Settings
from server.webhooks import Webhooks
from session.own_sessions import OwnSessions
from session.runner import Session

_RAW_TYPES: Final = frozenset({"audio/pcm", "application/octet-stream"})
_FILE_TYPES: Final = ("audio/", "video/")
_PCM16_BYTES: Final = 2
_BINARY: Final = {"type": "string", "format": "binary"}
AUDIO_BY_URL_MAX_BYTES: Final = 16_384


@post(
    "/v1/sessions",
    status_code=201,
    operation_class=documented(OpenSession, JSON),
    operation_id="openSession",
    opt=needs(Scope.SESSIONS),
    summary="Open a session",
    description="A conversation with one user. Connect its microphone and loudspeaker to /v1/sessions/{id}/stream.",
    tags=["sessions"],
    responses=error_responses(400, 403, 404, 415, 422, 503),
)
async def open_session(
    request: HttpRequest, sessions: NamedDependency[OwnSessions], webhooks: NamedDependency[Webhooks]
) -> Response[SessionInfo]:
    """Open a session."""
    asked = await json_body(request, OpenSession)
    receiver = asked.webhook and await webhooks.admit(asked.webhook, sessions.principal)
    session = await sessions.open(asked.settings)
    if asked.webhook is not None and receiver is not None:
        webhooks.follow(receiver, asked.webhook, session, sessions)
    return Response(session.info, headers={"Location": f"/v1/sessions/{session.session_id}"})


@get(
    "/v1/sessions/{session_id:str}",
    operation_id="getSession",
    opt=needs(Scope.SESSIONS),
    summary="One session",
    tags=["sessions"],
    responses=error_responses(400, 403, 404),
)
async def get_session(session_id: FromPath[str], sessions: NamedDependency[OwnSessions]) -> SessionInfo:
    """State and settings of a session, open or over."""
    return await sessions.info(session_id)


@delete(
    "/v1/sessions/{session_id:str}",
    status_code=200,
    operation_id="closeSession",
    opt=needs(Scope.SESSIONS),
    summary="Close a session",
    tags=["sessions"],
    responses=error_responses(400, 403, 404),
)
async def close_session(session_id: FromPath[str], sessions: NamedDependency[OwnSessions]) -> SessionInfo:
    """Close a session, or do nothing if it is over; its history can still be read."""
    return await sessions.close(session_id)


@get(
    "/v1/sessions/{session_id:str}/conversation",
    operation_id="getSessionConversation",
    opt=needs(Scope.SESSIONS),
    summary="What was said and heard",
    tags=["sessions"],
    responses=error_responses(400, 403, 404),
)
async def get_session_conversation(session_id: FromPath[str], sessions: NamedDependency[OwnSessions]) -> Conversation:
    """The history of a session, open or over."""
    return await sessions.conversation(session_id)


@post(
    "/v1/sessions/{session_id:str}/playback",
    status_code=204,
    operation_class=documented(Playback, JSON),
    operation_id="reportPlayback",
    opt=needs(Scope.SESSIONS),
    summary="Report the playback position",
    description="For clients without the WebSocket: how much of an item has come out of the loudspeaker.",
    tags=["sessions"],
    responses=error_responses(400, 403, 404, 409, 415),
)
async def report_playback(
    request: HttpRequest, session_id: FromPath[str], sessions: NamedDependency[OwnSessions]
) -> None:
    """Take a playback acknowledgement."""
    session = await sessions.find(session_id)
    playback = await json_body(request, Playback)
    await session.playback(playback.item_id, playback.played_ms, final=playback.final)


@post(
    "/v1/sessions/{session_id:str}/input",
    status_code=204,
    operation_class=documented(InputCommand, JSON),
    operation_id="commandInput",
    opt=needs(Scope.SESSIONS),
    summary="Say something about the user's input",
    description=(
        "For clients without the WebSocket: commit (the turn ends here), clear (it does not count), mute, or dtmf. "
        "Takes effect after the audio sent so far, and returns when that was heard."
    ),
    tags=["sessions"],
    responses=error_responses(400, 403, 404, 409, 415),
)
async def command_input(
    request: HttpRequest, session_id: FromPath[str], sessions: NamedDependency[OwnSessions]
) -> None:
    """Take a command about the user's input."""
    session = await sessions.find(session_id)
    await session.command(await json_body(request, *get_args(InputCommand)))


@post(
    "/v1/sessions/{session_id:str}/audio",
    status_code=200,
    request_max_body_size=None,
    operation_class=operation({"audio/pcm": _BINARY, "audio/*": _BINARY, JSON: reference(AudioByUrl)}),
    operation_id="sendAudio",
    opt=needs(Scope.SESSIONS) | ENDLESS,
    summary="Send the user's audio",
    description=(
        "With Content-Type audio/pcm: 16-bit little-endian mono PCM at the session's input_rate_hz, taken piece by "
        "piece as it arrives, for as long as it lasts. With any other audio type: one file, taken when it is complete. "
        "With application/json: the URL of a file, if fetch.enabled is set."
    ),
    tags=["sessions"],
    responses={
        **error_responses(400, 403, 404, 409, 413, 415, 422, 502, 503, 504),
        200: ResponseSpec(AudioAccepted, generate_examples=False),
    },
)
async def send_audio(
    request: HttpRequest,
    session_id: FromPath[str],
    sessions: NamedDependency[OwnSessions],
    decoder: NamedDependency[Decoder],
    fetcher: NamedDependency[Fetcher],
    settings: NamedDependency[Settings],
) -> AudioAccepted:
    """Feed a session. Waits while the models are behind, and so slows the client down."""
    session = await sessions.find(session_id)
    rate_hz = session.settings.input_rate_hz
    given = media_type(request)
    if given in _RAW_TYPES:
        Intake.of(request.scope).take_pieces()
        accepted_bytes = await _feed_pieces(session, body_pieces(request))
        return AudioAccepted(accepted_ms=accepted_bytes * 1000 // (_PCM16_BYTES * rate_hz))
    if given == JSON:
        url = decoded_json(await _upload(request, AUDIO_BY_URL_MAX_BYTES), AudioByUrl).url
        upload = await until_disconnected(request.receive, lambda: fetcher.fetch(url, sessions.principal.tenant))
    elif given.startswith(_FILE_TYPES):
        upload = await _upload(request, settings.limits.max_body_bytes)
    else:
        raise SpeechError(
            ErrorCode.UNSUPPORTED_CONTENT_TYPE,
            f"The Content-Type is {given[:100] or 'missing'}. Send audio/pcm for raw PCM, or the type of the "
            "file, such as audio/wav.",
        )

    async def feed() -> AudioAccepted:
        audio = await decoder.decode(upload, sample_rate_hz=rate_hz)
        await session.feed(pcm16_from_float(audio.samples))
        return AudioAccepted(accepted_ms=round(audio.duration_s * 1000))

    return await until_disconnected(request.receive, feed)


async def _upload(request: HttpRequest, limit_bytes: int) -> bytes:
    # The route has no limit of its own, for the sake of microphones.
    if (request.content_length or 0) > limit_bytes:
        raise body_too_large(limit_bytes)
    data = bytearray()
    async for piece in body_pieces(request):
        data += piece
        if len(data) > limit_bytes:
            raise body_too_large(limit_bytes)
    return bytes(data)


async def _feed_pieces(session: Session, pieces: AsyncIterator[bytes]) -> int:
    """Feed whole samples, however the network cut them; returns how many bytes."""
    accepted_bytes = 0
    rest = b""
    async for piece in pieces:
        data = rest + piece
        whole = len(data) - len(data) % _PCM16_BYTES
        rest = data[whole:]
        await session.feed(data[:whole])
        accepted_bytes += whole
    if rest:
        raise SpeechError(
            ErrorCode.INVALID_AUDIO,
            f"The body ends within a sample: {accepted_bytes + len(rest)} bytes are no whole number of 16-bit samples. "
            "What came before was taken.",
        )
    if not accepted_bytes:
        raise SpeechError(ErrorCode.EMPTY_AUDIO, "The body is empty. Send audio.")
    return accepted_bytes


ROUTES: Final = (
    open_session,
    get_session,
    close_session,
    get_session_conversation,
    report_playback,
    command_input,
    send_audio,
)
