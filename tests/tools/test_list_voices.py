from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.principal import LOCAL
from session.manager import SessionManager
from session.own_sessions import OwnSessions
from session.stores.memory import MemoryStore
from tools.audio_shelf import AudioShelf
from tools.registry import TOOLS
from tools.tool import ToolContext

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("language", "ids"),
    [
        (None, ["fake-alto", "fake-bass"]),
        ("en", ["fake-alto", "fake-bass"]),
        ("EN", ["fake-alto", "fake-bass"]),
        ("en-US", ["fake-alto"]),
        ("en_gb", ["fake-bass"]),
        ("e", []),
        ("de", []),
    ],
)
async def test_voices_of_a_language(call: Callable[..., Awaitable[Any]], language: str | None, ids: list[str]) -> None:
    result = await call("list_voices", language=language)
    assert [voice.id for voice in result.voices] == ids
    assert result.default == "fake-alto"


async def test_a_server_without_synthesis_has_no_voices() -> None:
    async with EngineHost({}, HostSettings()) as host:
        sessions = OwnSessions(SessionManager(host, MemoryStore()), LOCAL)
        context = ToolContext(host=host, decoder=Decoder(), sessions=sessions, shelf=AudioShelf())
        result: Any = await TOOLS.call("list_voices", {}, context)
    assert (result.voices, result.default) == ((), None)
