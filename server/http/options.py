"""``OPTIONS``: the methods a path takes.

Litestar's own answer names those of the first of a path's handlers alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from litestar import HttpMethod, Response, route
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from server.http.gate import needs


def options_routes(handlers: Iterable[BaseRouteHandler]) -> list[HTTPRouteHandler]:
    """One for each path of an application, to be registered before its handlers."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options(path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options(path: str, allowed: str) -> HTTPRouteHandler:
    @route(
        path,
        http_method=HttpMethod.OPTIONS,
        status_code=204,
        opt=needs(),
        include_in_schema=False,
        sync_to_thread=False,
    )
    def options() -> Response[None]:
        return Response(None, headers={"Allow": allowed})

    return options
