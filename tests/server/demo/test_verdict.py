from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from msgspec.structs import replace

from schemas.sessions import SpeechStatus
from server.demo.client import AgentClient
from server.demo.script import Dialogue, Scenario
from server.demo.verdict import Verdict, judge


async def _judged(
    dialogue: Dialogue,
    scenario: Scenario,
    recognised: tuple[str, str] = ("I heard you say good morning", "one two three f"),
) -> Verdict:
    """The verdict, with a server that understands that of the two answers."""
    texts = iter(recognised)

    def transcribe(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/tools/transcribe"
        assert json.loads(request.content)["language"] == "en"
        text = next(texts)
        words = [{"text": word, "start_s": 0.5, "end_s": 0.75, "probability": 1.0} for word in text.split()]
        body = {"text": text, "language": "en", "language_probability": 1.0, "duration_s": 1.0, "model": "m"}
        return httpx.Response(200, json={**body, "segments": [], "words": words})

    async with httpx.AsyncClient(transport=httpx.MockTransport(transcribe), base_url="http://test") as http:
        return await judge(AgentClient(http), dialogue, scenario)


def _failed(verdict: Verdict) -> list[str]:
    return [check.title for check in verdict.checks if not check.passed]


@pytest.mark.anyio
async def test_a_dialogue_in_which_all_is_well_passes(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario
) -> None:
    verdict = await _judged(make_dialogue(), scenario)
    assert _failed(verdict) == []
    assert verdict.passed
    assert [(figure.title, figure.ms) for figure in verdict.figures] == [
        ("turn 1 → transcript", 500),
        ("say → first sound", 200),
        ("turn 1 → answer heard", 800),
        ("barge-in → silence", 200),
        ("turn 2 → transcript", 500),
    ]
    assert verdict.agent_words[1][0].start_s == 3.7 + 0.5


@pytest.mark.anyio
async def test_another_transcript_than_expected_fails(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario
) -> None:
    turn = replace(make_dialogue().turn, text="Could warning be?")
    verdict = await _judged(make_dialogue(turn=turn), scenario)
    assert _failed(verdict) == ["The user's words"]
    assert "instead of “Good morning!”" in verdict.checks[0].detail
    assert not verdict.passed


@pytest.mark.anyio
async def test_of_an_unknown_recording_any_words_will_do_but_none_will_not(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario
) -> None:
    unknown = replace(scenario, speech=replace(scenario.speech, text=None))
    assert (await _judged(make_dialogue(), unknown)).passed
    silent = make_dialogue(turn=replace(make_dialogue().turn, text=""))
    assert _failed(await _judged(silent, unknown)) == ["The user's words"]


@pytest.mark.anyio
async def test_a_reply_that_sounds_wrong_fails(make_dialogue: Callable[..., Dialogue], scenario: Scenario) -> None:
    verdict = await _judged(make_dialogue(), scenario, ("noise and more noise", "one two three"))
    assert _failed(verdict) == ["Its audio, recognised"]


@pytest.mark.anyio
@pytest.mark.parametrize("recognised", ["one", "one two three four five"])
async def test_an_account_of_heard_words_that_the_loudspeaker_does_not_confirm_fails(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario, recognised: str
) -> None:
    verdict = await _judged(make_dialogue(), scenario, ("I heard you say good morning", recognised))
    assert _failed(verdict) == ["Words heard of it"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("place", "change", "failed"),
    [
        (0, {"status": SpeechStatus.INTERRUPTED}, "The first answer"),
        (0, {"heard_text": "I heard"}, "The first answer"),
        (0, {"remaining_text": "morning."}, "The first answer"),
        (1, {"status": SpeechStatus.COMPLETED}, "The second answer"),
        (1, {"remaining_text": "five six."}, "The second answer"),
        (1, {"heard_text": "One two. Three."}, "The second answer"),
        (1, {"user_turn": None}, "The interruption"),
    ],
)
async def test_a_wrong_result_of_say_fails(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario, place: int, change: dict[str, object], failed: str
) -> None:
    replies = list(make_dialogue().replies)
    replies[place] = replace(replies[place], result=replace(replies[place].result, **change))
    assert _failed(await _judged(make_dialogue(replies=tuple(replies)), scenario)) == [failed]


@pytest.mark.anyio
async def test_a_gap_in_the_events_or_two_versions_of_them_fail(
    make_dialogue: Callable[..., Dialogue], scenario: Scenario
) -> None:
    events = make_dialogue().events
    gap = (*events[:4], *events[5:])
    for dialogue in (make_dialogue(events=gap, headset_events=gap), make_dialogue(headset_events=events[:-1])):
        assert _failed(await _judged(dialogue, scenario)) == ["The event log"]
