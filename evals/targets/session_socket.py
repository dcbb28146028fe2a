"""The WebSocket of a session, opened as a client opens it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from evals.targets.http_errors import no_answer, refusal

_NAME: Final = "Antiphon"


@asynccontextmanager
async def session_socket(http: httpx.AsyncClient, session_id: str) -> AsyncGenerator[ClientConnection]:
    """The connection, for as long as the block lasts. One that breaks raises ``ConnectionClosed`` within it.

    Args:
        http: Has the server's address as its base, and a key where the server wants one.
        session_id: Of a session that is open.

    Raises:
        SpeechError: What the server answers to the handshake; ``overloaded`` if nothing comes of it, since it may be
            tried again.
    """
    url = f"{str(http.base_url).rstrip('/').replace('http', 'ws', 1)}/v1/sessions/{session_id}/stream"
    headers = {name: value for name, value in http.headers.items() if name == "authorization"}
    try:
        socket = await connect(url, compression=None, proxy=None, max_size=None, additional_headers=headers)
    except InvalidStatus as error:
        raise refusal(error.response.status_code, bytes(error.response.body or b""), _NAME) from error
    except (InvalidHandshake, OSError) as error:
        raise no_answer(f"{_NAME} opened no WebSocket", error) from error
    async with socket:
        yield socket
