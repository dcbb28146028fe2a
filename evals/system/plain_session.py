"""A session over plain HTTP, as a client without a microphone has it."""

from __future__ import annotations

from typing import Any, Final

import anyio
import httpx

from evals.system.event_stream import Event, events
from evals.targets.http_errors import checked, told, ungrouped

_NAME: Final = "Antiphon"
_TURN_S: Final = 60.0


class Session:
    """One session.

    Args:
        http: Of the server.
        session_id: From :meth:`open`.
    """

    def __init__(self, http: httpx.AsyncClient, session_id: str) -> None:
        self._http = http
        self._id = session_id
        self.path = f"/v1/sessions/{session_id}"

    @classmethod
    async def open(cls, http: httpx.AsyncClient) -> Session:
        """A new one, in English. Raises ``SpeechError`` if the server refuses it, as all methods do."""
        answer = await _asked(http, "POST", "/v1/sessions", json={"language": "en"})
        return cls(http, str(answer.json()["session_id"]))

    async def hear(self, wav: bytes) -> list[Event]:
        """Have it hear a recording; the events up to the end of the turn, as they came.

        Raises:
            SpeechError: ``deadline_exceeded`` if the turn does not end.
        """
        seen: list[Event] = []

        async def follow() -> None:
            async for event in events(self._http, self.path):
                seen.append(event)
                if event.type in {"turn.ended", "session.closed"}:
                    return

        with ungrouped():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                headers = {"Content-Type": "audio/wav"}
                await _asked(self._http, "POST", f"{self.path}/audio", content=wav, headers=headers)
        return seen

    async def say(self, text: str) -> str:
        """Have the agent speak, to the end; the answer as it is."""
        body = {"session_id": self._id, "text": text}
        return (await _asked(self._http, "POST", "/v1/tools/say", json=body)).text

    async def conversation(self) -> str:
        """What was said and heard, as it is."""
        return (await _asked(self._http, "GET", f"{self.path}/conversation")).text

    async def close(self) -> None:
        """End it."""
        await _asked(self._http, "DELETE", self.path)


async def _asked(http: httpx.AsyncClient, method: str, path: str, **what: Any) -> httpx.Response:  # noqa: ANN401
    async with told(_NAME):
        return await checked(await http.request(method, path, **what), _NAME)
