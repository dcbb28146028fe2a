"""A server that takes WebSocket messages and does nothing with them: what they cost before anybody listens.

uvicorn with Antiphon's settings for WebSockets, without Antiphon.

    python -m benchmarks.silent_server 8123
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from benchmarks.processes import LOOPBACK

Message = MutableMapping[str, Any]


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    """The ASGI application: every path is a WebSocket, and HTTP is told that it is ready."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            pass
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=int(sys.argv[1]),
        lifespan="off",
        access_log=False,
        log_level="warning",
        ws_per_message_deflate=False,
    )
