"""Bodies of requests: reading, checking and documenting them, JSON and multipart forms alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar, cast

import msgspec
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException, InternalServerException
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.validation import converted, decoded_json
from server.errors import HttpRequest

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
FILE_FIELD: Final = "file"
MAX_JSON_BYTES: Final = 32_000_000
"""JSON is decoded on the event loop, which nothing else gets meanwhile: 25 ms for this much. Recordings that are larger
go into a form, which is taken piece by piece."""

T = TypeVar("T", bound=Struct)


async def json_body(request: HttpRequest, kind: type[T]) -> T:
    """The request's JSON body.

    Raises:
        SpeechError: As :func:`json_bytes`; ``invalid_json`` or ``invalid_request``.
    """
    return decoded_json(await json_bytes(request), kind)


async def json_bytes(request: HttpRequest) -> bytes:
    """The request's body, said to be JSON.

    Raises:
        SpeechError: ``unsupported_content_type``, ``body_too_large`` or ``cancelled``.
    """
    _require_content_type(request, JSON)
    limit_bytes = min(MAX_JSON_BYTES, request.route_handler.resolve_request_max_body_size() or MAX_JSON_BYTES)
    try:
        if (request.content_length or 0) > limit_bytes:
            raise body_too_large(limit_bytes)
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > limit_bytes:
                raise body_too_large(limit_bytes)
        return bytes(data)
    except HTTPException as error:
        _raise_unread(request, error)


def body_too_large(limit_bytes: int) -> SpeechError:
    """The error of a body beyond a limit."""
    return SpeechError(
        ErrorCode.BODY_TOO_LARGE, f"The body is larger than the {limit_bytes} bytes this server takes here."
    )


async def whole_body(request: HttpRequest) -> bytes:
    """The request's body, of whatever kind, within the limit of its route. What reads it later gets the same.

    Raises:
        SpeechError: ``body_too_large`` or ``cancelled``.
    """
    try:
        return await request.body()
    except HTTPException as error:
        _raise_unread(request, error)


async def form_body(
    request: HttpRequest, kind: type[T], *, refused: Mapping[str, str] = MappingProxyType({})
) -> tuple[T, bytes]:
    """The fields of a multipart form, and its one file, ``file``. A list may be sent as ``name`` or ``name[]``.

    Args:
        request: The request.
        kind: The fields there are.
        refused: Fields that other servers of the same API know and this one does not, and why; ``name[]`` stands for
            ``name`` sent as an object, ``name[…]``.

    Raises:
        SpeechError: ``unsupported_content_type``, ``body_too_large`` or ``invalid_request``.
    """
    _require_content_type(request, MULTIPART)
    try:
        form = await request.form()
    except HTTPException as error:
        _raise_unread(request, error)
    except (UnicodeDecodeError, LookupError) as error:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, "A text field of the form is not UTF-8. Was a file sent without a filename?"
        ) from error
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if field.default == ()}
    values: dict[str, list[Any]] = {}
    for name, value in form.multi_items():
        values.setdefault(name.removesuffix("[]"), []).append(value)
    upload = _upload(values.pop(FILE_FIELD, []))
    plain: dict[str, object] = {}
    for name, given in values.items():
        stem, bracket, _ = name.partition("[")
        if reason := refused.get(f"{stem}[]" if bracket else stem):
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"{name} is not supported: {reason}", param=name)
        if any(isinstance(value, UploadFile) for value in given):
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"{name} is sent as a file; the only file is {FILE_FIELD}.", param=name
            )
        if name not in lists and len(given) > 1:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"{name} is sent more than once.", param=name)
        plain[name] = given if name in lists else given[0]
    return converted(plain, kind, strict=False), await upload.read()


def _upload(given: list[object]) -> UploadFile:
    match given:
        case [UploadFile() as upload]:
            return upload
        case []:
            message = "file is missing: send the audio as the form's file."
        case [_]:
            message = "file must be sent as a file, with a filename."
        case _:
            message = "file is sent more than once; send one recording a request."
    raise SpeechError(ErrorCode.INVALID_REQUEST, message, param=FILE_FIELD)


def media_type(request: HttpRequest) -> str:
    """The ``Content-Type`` without its parameters; empty if there is none."""
    try:
        return request.content_type[0]
    except ValueError:
        return ""


def _require_content_type(request: HttpRequest, expected: str) -> None:
    given = media_type(request)
    if given != expected:
        raise SpeechError(
            ErrorCode.UNSUPPORTED_CONTENT_TYPE,
            f"The Content-Type is {given[:100] or 'missing'}; this endpoint takes {expected}.",
        )


def _raise_unread(request: HttpRequest, error: HTTPException) -> NoReturn:
    """Why a body could not be read, in our terms."""
    if isinstance(error, InternalServerException):
        raise SpeechError(ErrorCode.CANCELLED, "The client went away while sending.") from error
    if error.status_code == 413:  # noqa: PLR2004  the one status Litestar has for it
        raise body_too_large(request.route_handler.resolve_request_max_body_size() or 0) from error
    raise SpeechError(ErrorCode.INVALID_REQUEST, f"{error.detail.rstrip('.')}.") from error


async def body_pieces(request: HttpRequest) -> AsyncGenerator[bytes]:
    """The request's body as it arrives.

    Raises:
        SpeechError: ``body_too_large`` or ``cancelled``.
    """
    try:
        async for piece in request.stream():
            yield piece
    except HTTPException as error:
        _raise_unread(request, error)


def documented(kind: type[Struct], media_type: str) -> type[Operation]:
    """For a handler's ``operation_class``: describes a body that the handler reads by the functions above."""
    schema = _inlined(kind)
    if media_type == MULTIPART:
        schema["properties"] = {
            FILE_FIELD: {"type": "string", "format": "binary", "description": "The recording."},
            **schema["properties"],
        }
        schema["required"] = [FILE_FIELD, *schema["required"]]
    body = RequestBody(content={media_type: OpenAPIMediaType(schema=cast("Any", schema))}, required=True)

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return Documented


def _inlined(kind: type[Struct]) -> dict[str, Any]:
    # References of a JSON Schema point into its own document; inside an OpenAPI document they would dangle.
    schema = msgspec.json.schema(kind)
    definitions: dict[str, Any] = schema["$defs"]

    def inline(node: Any) -> Any:  # noqa: ANN401  any JSON value
        match node:
            case {"$ref": str(ref)}:
                return inline(definitions[ref.rpartition("/")[2]])
            case dict():
                entries = cast("dict[str, Any]", node)
                return {key: inline(value) for key, value in entries.items()}
            case list() | tuple():
                return [inline(value) for value in cast("list[Any]", node)]
            case _:
                return node

    return inline({"$ref": schema["$ref"]})
