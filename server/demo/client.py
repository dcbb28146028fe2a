"""The server as the demo's agent sees it: sessions and tools over HTTP, events over SSE."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Final, TypeVar

import httpx
import msgspec
from msgspec import Struct

from schemas.events import ServerEvent
from schemas.sessions import Conversation, SessionInfo, SessionSettings
from schemas.tools import ListenInput, ListenOutput, SayInput, SayOutput, TranscribeInput, TranscribeOutput
from server.cli.remote import raise_for_error

Out = TypeVar("Out", bound=Struct)

_EVENT: Final = msgspec.json.Decoder(ServerEvent)


class AgentClient:
    """What an agent does with a speech server.

    Every method raises the :class:`SpeechError` that the server answers with.

    Args:
        http: Has the server's address as its base.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @property
    def base_url(self) -> str:
        """Address of the server."""
        return str(self._http.base_url).rstrip("/")

    async def open_session(self, settings: SessionSettings) -> SessionInfo:
        """``POST /v1/sessions``."""
        response = await self._http.post("/v1/sessions", content=msgspec.json.encode(settings), headers=_JSON)
        return await _decoded(response, SessionInfo)

    async def close_session(self, session_id: str) -> SessionInfo:
        """``DELETE /v1/sessions/{id}``."""
        return await _decoded(await self._http.delete(f"/v1/sessions/{session_id}"), SessionInfo)

    async def conversation(self, session_id: str) -> Conversation:
        """``GET /v1/sessions/{id}/conversation``."""
        return await _decoded(await self._http.get(f"/v1/sessions/{session_id}/conversation"), Conversation)

    async def listen(self, arguments: ListenInput) -> ListenOutput:
        """The tool ``listen``."""
        return await self._call("listen", arguments, ListenOutput)

    async def say(self, arguments: SayInput) -> SayOutput:
        """The tool ``say``."""
        return await self._call("say", arguments, SayOutput)

    async def transcribe(self, audio_file: bytes, language: str) -> TranscribeOutput:
        """The tool ``transcribe``, with word times."""
        audio = base64.b64encode(audio_file).decode()
        arguments = TranscribeInput(audio=audio, language=language, word_times=True)
        return await self._call("transcribe", arguments, TranscribeOutput)

    async def _call(self, tool: str, arguments: Struct, result: type[Out]) -> Out:
        response = await self._http.post(f"/v1/tools/{tool}", content=msgspec.json.encode(arguments), headers=_JSON)
        return await _decoded(response, result)

    async def follow(self, session_id: str) -> AsyncGenerator[ServerEvent, None]:
        """``GET /v1/sessions/{id}/events``: all events of a session, to its end, without the audio."""
        async with self._http.stream("GET", f"/v1/sessions/{session_id}/events", params={"audio": "none"}) as response:
            await raise_for_error(response)
            async for line in response.aiter_lines():
                # Every event of this stream has its JSON on one line, and its type in it.
                if line.startswith("data:"):
                    yield _EVENT.decode(line.removeprefix("data:"))


_JSON: Final = {"Content-Type": "application/json"}


async def _decoded(response: httpx.Response, result: type[Out]) -> Out:
    await raise_for_error(response)
    return msgspec.json.decode(response.content, type=result)
