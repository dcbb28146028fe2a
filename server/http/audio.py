"""``GET /v1/audio/{audio_id}``: audio that a tool's result links to."""

from __future__ import annotations

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from schemas.principal import Scope
from server.callers import Callers
from server.errors import HttpRequest, error_responses
from server.http.gate import needs, principal_of


@get(
    "/v1/audio/{audio_id:str}",
    operation_id="getAudio",
    opt=needs(Scope.AUDIO),
    summary="Fetch linked audio",
    description="What synthesize made with audio_as=link. It is kept for ten minutes.",
    tags=["tools"],
    responses={
        **error_responses(400, 401, 403, 404, 410),
        200: ResponseSpec(bytes, media_type="audio/*", description="The audio file", generate_examples=False),
    },
    sync_to_thread=False,
)
def get_audio(request: HttpRequest, audio_id: FromPath[str], callers: NamedDependency[Callers]) -> Response[bytes]:
    """The file, in the format that was asked for."""
    file = callers.shelf.get(principal_of(request.scope).tenant, audio_id)
    return Response(file.data, media_type=file.content_type)


ROUTES: Final = (get_audio,)
