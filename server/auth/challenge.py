"""How a refused client learns where to get a token: ``WWW-Authenticate``, RFC 6750 section 3, RFC 9728 section 5.1."""

from __future__ import annotations

from typing import Final

from litestar.datastructures import Headers
from litestar.types import Scope

from schemas.errors import ErrorCode, SpeechError

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
MCP_PATH: Final = "/mcp"
"""An endpoint that its clients take for a resource of its own."""


def challenge(scope: Scope, error: SpeechError, resource: str | None, *, had_token: bool) -> str:
    """The value of the header.

    Args:
        scope: Of the request.
        error: ``unauthenticated`` or ``insufficient_scope``.
        resource: The address under which clients know the server, if it is set.
        had_token: Whether there was a token to find fault with.
    """
    variant = MCP_PATH if f"{scope['path']}/".startswith(f"{MCP_PATH}/") else ""
    parts = [f'resource_metadata="{base_url(scope, resource)}{METADATA_PATH}{variant}"']
    if error.code is ErrorCode.INSUFFICIENT_SCOPE:
        parts += ['error="insufficient_scope"', f'scope="{error.param}"']
    elif had_token:
        parts.append('error="invalid_token"')
    return f"Bearer {', '.join(parts)}"


def base_url(scope: Scope, resource: str | None) -> str:
    """The address of the server: as set, or as the request has it, of whose ``Host`` the front door has made sure."""
    if resource is not None:
        return resource.rstrip("/")
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return f"{scheme}://{Headers.from_scope(scope).get('host', 'localhost')}"
