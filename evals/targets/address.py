"""A target by its name: what protocol, and where."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError

Kind = Literal["inproc", "antiphon", "openai", "wyoming", "engine"]

FORMS: Final = "inproc|URL|openai:URL|wyoming:HOST:PORT|engine:MODEL"


class Address(Struct, frozen=True):
    """Where a target is."""

    kind: Kind
    place: str = ""
    """The address of a server, without a slash at its end; the name of a model."""
    model: str = ""
    """To ask the server for; empty for its default."""


def address(text: str) -> Address:
    """The target of that name.

    ``openai:http://host:8000#whisper-large`` names a model after ``#``; the path ``/v1`` may be left out.

    Raises:
        SpeechError: ``invalid_request``.
    """
    place, _, model = text.partition("#")
    prefix, _, rest = place.partition(":")
    match prefix:
        case "inproc" if not rest:
            return Address("inproc", model=model)
        case "http" | "https" if urlsplit(place).netloc:
            return Address("antiphon", place.rstrip("/"), model)
        case "openai" if urlsplit(rest).scheme in {"http", "https"}:
            return Address("openai", rest.rstrip("/").removesuffix("/v1"), model)
        case "wyoming" if rest.rpartition(":")[2].isdigit():
            return Address("wyoming", rest.removeprefix("tcp://").removeprefix("//"), model)
        case "engine" if rest:
            return Address("engine", rest)
        case _:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"{text!r} is no target. The forms are {FORMS}.", param="target"
            )
