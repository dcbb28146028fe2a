"""``/.well-known/oauth-protected-resource``: where clients get the tokens that this server takes (RFC 9728)."""

from __future__ import annotations

from typing import Final

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET, Struct, UnsetType

from schemas.principal import Scope
from server.auth.challenge import MCP_PATH, METADATA_PATH, base_url
from server.errors import HttpRequest
from server.http.gate import PUBLIC
from server.settings import Settings


class ProtectedResource(Struct, frozen=True, kw_only=True):
    """What a client must know to get a token."""

    resource: str
    authorization_servers: tuple[str, ...] | UnsetType = UNSET
    """Left out where only API keys are taken."""
    scopes_supported: tuple[Scope, ...] = tuple(Scope)
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "Antiphon"
    resource_documentation: str


@get([METADATA_PATH, f"{METADATA_PATH}{MCP_PATH}"], opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def protected_resource(request: HttpRequest, settings: NamedDependency[Settings]) -> ProtectedResource:
    """The metadata of the whole API, or of the MCP endpoint."""
    base = base_url(request.scope, settings.auth.resource)
    issuer = settings.auth.issuer
    return ProtectedResource(
        resource=f"{base}{MCP_PATH}" if request.url.path.endswith(MCP_PATH) else base,
        authorization_servers=UNSET if issuer is None else (issuer,),
        resource_documentation=f"{base}/docs",
    )


ROUTES: Final = (protected_resource,)
