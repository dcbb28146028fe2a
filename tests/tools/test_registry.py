from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.errors import ErrorCode, SpeechError
from tools.registry import TOOLS

Call = Callable[..., Awaitable[Any]]

NAMES = [
    "transcribe",
    "synthesize",
    "detect_language",
    "list_voices",
    "open_session",
    "listen",
    "say",
    "stop_speaking",
    "get_conversation",
    "close_session",
]


def failure(name: str, arguments: Any) -> SpeechError:
    with pytest.raises(SpeechError) as caught:
        TOOLS.decode(name, arguments)
    return caught.value


def test_the_tools_of_the_server() -> None:
    assert [tool.name for tool in TOOLS] == NAMES


def test_an_unknown_tool_is_an_error_that_lists_the_tools() -> None:
    error = failure("sing", {})
    assert error.code is ErrorCode.UNKNOWN_TOOL
    assert all(name in error.message for name in NAMES)


def test_a_long_unknown_name_is_cut() -> None:
    assert len(failure("x" * 10_000, {}).message) < 300


def test_arguments_may_be_json_or_plain_data() -> None:
    assert TOOLS.decode("listen", b'{"session_id": "s", "timeout_s": 2}') == TOOLS.decode(
        "listen", {"session_id": "s", "timeout_s": 2}
    )


@pytest.mark.parametrize("body", [b"", b"{", b"tools", b"\xff", b'{"language": "\xff"}', b'{"language": "en"'])
def test_what_is_no_json_is_invalid_json(body: bytes) -> None:
    assert failure("list_voices", body).code is ErrorCode.INVALID_JSON


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"say"'])
def test_json_that_is_no_object_is_an_invalid_request(body: bytes) -> None:
    error = failure("list_voices", body)
    assert error.code is ErrorCode.INVALID_REQUEST
    assert "object" in error.message


@pytest.mark.parametrize(
    ("name", "arguments", "param", "words"),
    [
        ("say", {"session_id": "s"}, "text", "text is missing"),
        ("say", {"session_id": "s", "text": 1}, "text", "Expected `str`, got `int`"),
        ("say", {"session_id": "s", "text": "a", "wiat": True}, "wiat", "Did you mean wait?"),
        ("say", {"session_id": "", "text": "a"}, "session_id", ">= 1"),
        ("listen", {"session_id": "s", "timeout_s": "5"}, "timeout_s", "Expected `float`, got `str`"),
        ("listen", {"session_id": "s", "timeout_s": 0}, "timeout_s", "> 0.0"),
        ("listen", {"session_id": "s", "after_turn": -1}, "after_turn", ">= 0"),
        ("synthesize", {"text": "a", "format": "ogg"}, "format", "allowed: aac, flac, mp3, opus, pcm, wav"),
        ("synthesize", {"text": "a", "sample_rate_hz": 1}, "sample_rate_hz", ">= 8000"),
        ("transcribe", {"audio": "", "hotwords": [1]}, "hotwords[0]", "Expected `str`"),
        ("transcribe", {"audio": "", "hotwords": ["a" * 65]}, "hotwords[0]", "<= 64"),
        ("transcribe", {"audio": "", "hotwords": ["a"] * 51}, "hotwords", "<= 50"),
        ("open_session", {"turn": {"vad_on": 2.0}}, "turn.vad_on", "<= 1.0"),
        ("open_session", {"turn": {"vad": 1}}, "turn.vad", "vad is not a field of turn"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(
    name: str, arguments: dict[str, Any], param: str, words: str
) -> None:
    error = failure(name, arguments)
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, param)
    assert words in error.message


@pytest.mark.anyio
async def test_calling_by_name_gives_the_tools_result(call: Call) -> None:
    assert (await call("list_voices")).default == "fake-alto"
