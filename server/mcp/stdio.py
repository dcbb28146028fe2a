"""The protocol on standard input and output, for clients that start their servers themselves.

Both ways end with the client's: it closes our standard input.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server

from schemas.errors import ErrorCode, SpeechError
from server.mcp.bridge import bridge
from server.mcp.endpoint import PATH
from server.mcp.services import McpServer

_CONNECT_TIMEOUT_S = 5.0


async def serve_stdio(server: McpServer) -> None:
    """Serve this process's client until it leaves."""
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def bridge_stdio(url: str, headers: Mapping[str, str]) -> None:
    """The same, by a server that runs somewhere else.

    Args:
        url: Of that server, with or without a path.
        headers: To send with each request.

    Raises:
        SpeechError: ``not_found`` if nothing answers there.
    """
    # A call may be silent for as long as somebody speaks.
    timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S)
    address = url.rstrip("/").removesuffix("/v1").removesuffix(PATH) + PATH
    async with httpx2.AsyncClient(headers=dict(headers), timeout=timeout) as http:
        try:
            await http.get(address.removesuffix(PATH) + "/healthz")
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise SpeechError(
                ErrorCode.NOT_FOUND,
                f"No answer from {url} ({type(error).__name__}). Is a server running there? Start one: antiphon serve",
            ) from error
        async with Client(streamable_http_client(address, http_client=http)) as client:
            await serve_stdio(bridge(client))
