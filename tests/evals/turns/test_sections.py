from typing import Any

import httpx
import numpy as np
import pytest

from evals.turns import sections
from evals.turns.dialogue import Split
from evals.turns.live import not_held
from evals.turns.performance import Performance
from evals.turns.scenario import Scenario, plans
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

SCENARIOS = [Scenario(plan=plan, parts=(), noise=np.zeros(1, np.float32)) for plan in plans(Split.TEST)[:3]]


async def converse_all(http: httpx.AsyncClient) -> list[Performance]:
    return await sections.converse_all(http, SCENARIOS, {}, parallel=2, advance=lambda: None)


async def test_a_conversation_that_the_server_refuses_is_a_failure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def converse(_http: httpx.AsyncClient, scenario: Scenario, _settings: dict[str, Any]) -> Performance:
        if scenario is SCENARIOS[1]:
            raise SpeechError(ErrorCode.OVERLOADED, "The server is full.")
        return not_held(scenario, "")

    monkeypatch.setattr(sections, "converse", converse)
    async with httpx.AsyncClient() as http:
        held = await converse_all(http)
    assert [one.unfinished for one in held] == ["", "The server is full.", ""]
    section = sections.conversations_section("conversations", "Conversations", held, 0.0)
    [row] = [row for row in section.rows if row.id == "conversations.unfinished"]
    assert row.verdict == "missed"
    assert "Not finished: " + SCENARIOS[1].plan.name + ": The server is full." in section.notes


async def test_a_server_that_refuses_all_conversations_is_told_as_such() -> None:
    def full(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, json={"error": {"code": "overloaded", "message": "The server is full."}})

    async with httpx.AsyncClient(base_url="http://there", transport=httpx.MockTransport(full)) as http:
        with pytest.raises(SpeechError, match="full") as caught:
            await converse_all(http)
    assert caught.value.code is ErrorCode.OVERLOADED
