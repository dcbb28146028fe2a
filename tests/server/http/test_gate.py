"""Every route says who may use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
from litestar import Litestar
from litestar.handlers import BaseRouteHandler

from schemas.principal import LOCAL, Principal, Scope
from server.http.gate import needs

pytestmark = pytest.mark.anyio

DOCS = {"/", "/{path:str}", "/docs/openapi.json"}
"""Of the page of the API, which lies below /docs."""
OPEN = {"/healthz", "/readyz", "/openapi.json"}


async def test_every_route_says_who_may_use_it(open_app: Callable[..., AbstractAsyncContextManager[Litestar]]) -> None:
    async with open_app() as app:
        handlers: Mapping[str, BaseRouteHandler] = app.asgi_router.route_handler_index
        silent = {
            path
            for handler in handlers.values()
            for path in handler.paths
            if not handler.opt.keys() & {"public", "scope"}
        }
        public = {path for handler in handlers.values() if handler.opt.get("public") for path in handler.paths}
    assert not silent, "add opt=PUBLIC, needs(Scope.…) or needs(); until then it is for administrators"
    assert {path for path in public if not path.startswith("/.well-known/")} <= OPEN | DOCS


def test_everyone_on_a_server_that_asks_for_no_key_may_do_everything() -> None:
    assert LOCAL.scopes == set(Scope)
    assert Principal(tenant="a", subject="b", scopes=frozenset()).account == ("a", "b")
    assert needs() == {"scope": None}
