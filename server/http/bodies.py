"""Bodies of requests: reading, checking and documenting them, JSON and multipart forms alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType, UnionType
from typing import Any, Final, NoReturn, TypeVar, get_args

import msgspec
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException, InternalServerException
from litestar.openapi.spec import Operation
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.validation import converted, decoded_json
from server.errors import HttpRequest
from server.http.openapi import JSON, operation, reference
from tools.openapi import REF
from tools.schema import components

MULTIPART: Final = "multipart/form-data"
FILE_FIELD: Final = "file"
MAX_JSON_BYTES: Final = 32_000_000
"""JSON is decoded on the event loop, which nothing else gets meanwhile: 25 ms for this much. Recordings that are larger
go into a form, which is taken piece by piece."""

_TOO_MANY_PARTS: Final = "Request Entity Too Large"
"""What Litestar says of a form beyond its parser's limits, with status 400."""

T = TypeVar("T", bound=Struct)


async def json_body(request: HttpRequest, *kinds: type[T]) -> T:
    """The request's JSON body, as one of ``kinds``.

    Raises:
        SpeechError: As :func:`json_bytes`; ``invalid_json`` or ``invalid_request``.
    """
    return decoded_json(await json_bytes(request), *kinds)


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
    request: HttpRequest, kind: type[T], *, file: str = FILE_FIELD, refused: Mapping[str, str] = MappingProxyType({})
) -> tuple[T, bytes]:
    """The fields of a multipart form, and its one file.

    A list may be sent as ``name`` or ``name[]``, an object as ``name[key]`` or as JSON.

    Args:
        request: The request.
        kind: The fields there are.
        file: The field of the file.
        refused: What other servers of the same API know and this one does not, and why: fields, as ``name``, or values
            of them, as ``name=value``.

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
    values: dict[str, list[Any]] = {}
    for name, value in form.multi_items():
        values.setdefault(name.removesuffix("[]"), []).append(value)
    upload = _upload(values.pop(file, []), file)
    for name, given in values.items():
        if reason := refused.get(name) or refused.get(f"{name}={given[0]}"):
            raise _invalid(f"{name} is not supported: {reason}", name)
        if any(isinstance(value, UploadFile) for value in given):
            raise _invalid(f"{name} is sent as a file; the only file is {file}.", name)
    return converted(_fields(values, kind), kind, strict=False), await upload.read()


def _fields(values: Mapping[str, list[str]], kind: type[Struct]) -> dict[str, object]:
    """The values of a form as those of JSON, with their lists and objects."""
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    plain: dict[str, Any] = {}
    for name, given in values.items():
        stem, _, key = name.partition("[")
        if name in known and known[name].default == ():
            plain[name] = given
        elif len(given) > 1:
            raise _invalid(f"{name} is sent more than once.", name)
        elif key and stem in known and _takes_object(known[stem].type):
            members = plain.setdefault(stem, {})
            if not isinstance(members, dict):
                raise _invalid(f"{stem} is sent more than once.", stem)
            members[key.removesuffix("]")] = given[0]
        elif stem in plain:
            raise _invalid(f"{stem} is sent more than once.", stem)
        elif name in known and given[0][:1] == "{" and _takes_object(known[name].type):
            plain[name] = _json_object(given[0], name)
        else:
            plain[name] = given[0]
    return plain


def _takes_object(annotation: object) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, Struct) for kind in get_args(annotation))


def _json_object(text: str, name: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _invalid(f"{name} is neither a value of its own nor valid JSON.", name) from error


def _invalid(message: str, param: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_REQUEST, message, param=param)


def _upload(given: list[object], file: str) -> UploadFile:
    match given:
        case [UploadFile() as upload]:
            return upload
        case []:
            message = f"{file} is missing: send the audio as the form's {file}."
        case [_]:
            message = f"{file} must be sent as a file, with a filename."
        case _:
            message = f"{file} is sent more than once; send one recording a request."
    raise _invalid(message, file)


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
    if error.detail == _TOO_MANY_PARTS:
        raise SpeechError(
            ErrorCode.BODY_TOO_LARGE, "The form has more parts than any here, or one of its text fields is too long."
        ) from error
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


def documented(kinds: type[Struct] | UnionType, media_type: str, *, file: str = FILE_FIELD) -> type[Operation]:
    """For a handler's ``operation_class``: describes a body that the handler reads by the functions above."""
    members: tuple[type[Struct], ...] = get_args(kinds) if isinstance(kinds, UnionType) else (kinds,)
    references = [reference(kind) for kind in members]  # of a form: for what its fields refer to
    kind, *others = members
    if media_type == JSON and others:
        return operation({JSON: {"oneOf": references}})
    tag_field = kind.__struct_config__.tag_field
    if media_type == JSON and tag_field is None:
        return operation({JSON: references[0]})
    schema = components([kind], ref_template=REF)[kind.__name__]
    if tag_field is not None:  # alone it can be told without
        tag = {**schema["properties"][tag_field], "default": kind.__struct_config__.tag}
        properties = {**schema["properties"], tag_field: tag}
        required = [name for name in schema["required"] if name != tag_field]
        return operation({JSON: {**schema, "properties": properties, "required": required}})
    form = {
        **schema,
        "properties": {
            file: {"type": "string", "format": "binary", "description": "The recording."},
            **schema["properties"],
        },
        "required": [file, *schema["required"]],
    }
    return operation({media_type: form})
