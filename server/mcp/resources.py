"""Resources of the protocol: voices, conversations, and audio."""

from __future__ import annotations

import base64
from typing import Final

import msgspec
from anyio import to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)
from msgspec import Struct

from engines.codec.encoder import content_type, encode_all
from schemas.audio import AudioFormat, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Scope
from schemas.sessions import Conversation, LatencyLedger, LatencyOfTurn, UserTurn
from schemas.tools import ListVoicesInput
from server.callers import Callers
from server.mcp import uris
from server.mcp.services import RequestContext, tool_context
from tools.registry import TOOLS

_JSON: Final = "application/json"
_DIGITS_MAX: Final = 9
"""Of a time in milliseconds: eleven days."""
_GONE: Final = frozenset(
    {
        ErrorCode.NOT_FOUND,
        ErrorCode.UNKNOWN_SESSION,
        ErrorCode.SESSION_CLOSED,
        ErrorCode.AUDIO_EXPIRED,
        ErrorCode.NO_AUDIO,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INSUFFICIENT_SCOPE,
    }
)
"""What is wrong with the URI, or became so; other failures are the server's."""

_RESOURCES: Final = [
    Resource(
        uri=uris.VOICES,
        name="voices",
        title="Voices",
        description="The voices that synthesize, say and open_session can use, with their languages.",
        mime_type=_JSON,
    )
]
_TEMPLATES: Final = [
    ResourceTemplate(
        uri_template=str(uris.CONVERSATION),
        name="conversation",
        title="Conversation",
        description="What was said and heard in a session, open or over. The same as get_conversation.",
        mime_type=_JSON,
    ),
    ResourceTemplate(
        uri_template=str(uris.LATENCY),
        name="latency",
        title="Latency of a conversation",
        description="How long the agent took to answer, turn by turn, in parts that add up.",
        mime_type=_JSON,
    ),
    ResourceTemplate(
        uri_template=str(uris.AGENT_AUDIO),
        name="agent_audio",
        title="What the agent said",
        description="Audio of one item of a session, as WAV: all of it, or from start_ms to end_ms. Of a session that "
        "is open, the newest 4 MiB are kept (80 s at 24 kHz).",
        mime_type=content_type(AudioFormat.WAV),
    ),
    ResourceTemplate(
        uri_template=str(uris.AUDIO),
        name="audio",
        title="Synthesized audio",
        description="What synthesize made, in the format asked for. It is kept for ten minutes.",
    ),
]


class McpResources:
    """Handlers of ``resources/list``, ``resources/templates/list`` and ``resources/read``.

    Args:
        callers: Where they are read from.
        client: Who reads where no HTTP request says so.
    """

    def __init__(self, callers: Callers, client: Principal | None) -> None:
        self._callers = callers
        self._client = client

    async def list(self, _context: RequestContext, _params: PaginatedRequestParams | None) -> ListResourcesResult:
        """What is always there. Sessions are not listed: who opened one has its id."""
        return ListResourcesResult(resources=_RESOURCES)

    async def list_templates(
        self, _context: RequestContext, _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """What there is for an id."""
        return ListResourceTemplatesResult(resource_templates=_TEMPLATES)

    async def read(self, context: RequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
        """A resource.

        Raises:
            MCPError: There is none of that URI, or no more.
        """
        try:
            contents = await self._read(context, params.uri)
        except SpeechError as error:
            data = {"uri": params.uri, "code": error.code.value, "retryable": error.retryable}
            code = INVALID_PARAMS if error.code in _GONE else INTERNAL_ERROR
            raise MCPError(code, error.message, data) from error
        return ReadResourceResult(contents=[contents])

    async def _read(self, context: RequestContext, uri: str) -> TextResourceContents | BlobResourceContents:
        own = tool_context(self._callers, context, self._client)
        own.principal.require(Scope.AUDIO if uri.startswith(uris.OF_AUDIO) else Scope.SESSIONS)
        if uri == uris.VOICES:
            return _json(uri, await TOOLS.call("list_voices", msgspec.to_builtins(ListVoicesInput()), own))
        if (found := uris.CONVERSATION.match(uri)) is not None:
            return _json(uri, await own.sessions.conversation(str(found["session_id"])))
        if (found := uris.LATENCY.match(uri)) is not None:
            return _json(uri, _ledger(await own.sessions.conversation(str(found["session_id"]))))
        if (found := uris.AGENT_AUDIO.match(uri)) is not None:
            session = await own.sessions.find(str(found["session_id"]))
            end_ms = found.get("end_ms")
            pcm = session.agent_audio(
                str(found["item_id"]),
                _milliseconds("start_ms", found.get("start_ms", "0")),
                None if end_ms is None else _milliseconds("end_ms", end_ms),
            )
            if not pcm:
                raise SpeechError(ErrorCode.NO_AUDIO, "Nothing of that item, or of that part of it, was spoken yet.")
            data = await to_thread.run_sync(_wav, pcm, session.settings.output_rate_hz)
            return _blob(uri, data, content_type(AudioFormat.WAV))
        if (found := uris.AUDIO.match(uri)) is not None:
            file = own.shelf.get(own.principal.tenant, str(found["audio_id"]))
            return _blob(uri, file.data, file.content_type)
        raise SpeechError(
            ErrorCode.NOT_FOUND, "There is no such resource; resources/templates/list says which there are."
        )


def _ledger(conversation: Conversation) -> LatencyLedger:
    turns = [
        LatencyOfTurn(turn=item.turn, latency=item.latency)
        for item in conversation.items
        if isinstance(item, UserTurn) and item.latency is not None
    ]
    return LatencyLedger(session_id=conversation.session.session_id, turns=tuple(turns))


def _milliseconds(name: str, value: str | list[str]) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX:
        return int(value)
    raise SpeechError(ErrorCode.INVALID_REQUEST, f"{name} must be a whole number of milliseconds.", param=name)


def _wav(pcm: bytes, rate_hz: int) -> bytes:
    return encode_all(float_from_pcm16(pcm), AudioFormat.WAV, rate_hz)


def _json(uri: str, value: Struct) -> TextResourceContents:
    return TextResourceContents(uri=uri, mime_type=_JSON, text=msgspec.json.encode(value).decode())


def _blob(uri: str, data: bytes, mime_type: str) -> BlobResourceContents:
    return BlobResourceContents(uri=uri, mime_type=mime_type, blob=base64.b64encode(data).decode())
