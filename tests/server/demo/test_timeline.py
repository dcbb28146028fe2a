from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from schemas.events import ServerEvent
from schemas.transcripts import Word
from server.demo.script import Dialogue
from server.demo.timeline import render_timeline
from server.demo.verdict import Check, Figure, Verdict

VERDICT = Verdict(
    checks=(
        Check("The user's words", passed=True, detail="“Good morning.”"),
        Check("The event log", passed=False, detail="a gap"),
    ),
    figures=(Figure(title="say → first sound", from_ms=1_500, to_ms=1_700),),
    agent_words=(
        (Word("heard", 1.8, 1.9, 0.9), Word("good", 2.0, 2.2, 0.9), Word("mourning", 2.2, 2.5, 0.3)),
        (Word("One", 3.7, 3.9, 0.9), Word("two", 4.0, 4.2, 0.9), Word("three,", 4.2, 4.5, 0.9)),
    ),
)


class _Page(HTMLParser):
    """What a browser would run and load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.policy = ""
        self.loads: list[str] = []
        self._in_script = False
        self.feed(page)

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self._in_script = True
            self.scripts.append("")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""
        self.loads += [given[name] or "" for name in ("src", "srcset") if name in given]
        if tag == "link":
            self.loads.append(given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(make_dialogue: Callable[..., Dialogue]) -> _Page:
    return _Page(render_timeline(make_dialogue(), VERDICT))


def test_the_page_holds_every_event_as_it_was(page: _Page, events: tuple[ServerEvent, ...]) -> None:
    assert msgspec.convert(page.data["events"], tuple[ServerEvent, ...]) == events
    kinds = {type(event) for event in events}
    assert len(kinds) == 13, "a new kind of event is missing in the fixture"


def test_the_page_needs_nothing_from_elsewhere(page: _Page) -> None:
    assert page.loads == []
    assert page.data["audio"].startswith("data:audio/mpeg;base64,")
    assert len(base64.b64decode(page.data["audio"].partition(",")[2])) > 10_000


def test_the_policy_of_the_page_lets_its_own_script_run_and_no_other(page: _Page) -> None:
    data, script = page.scripts
    assert data.startswith("{")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy


def test_waveforms_are_peaks_of_both_voices_on_one_clock(page: _Page) -> None:
    assert page.data["duration_ms"] == 6_000
    assert page.data["peaks"] == {"user": [0] * 600, "agent": [25] * 600}
    first, second = page.data["replies"]
    assert (first["started_ms"], first["played_ms"], first["dropped_ms"]) == (1_700, 1_000, 0)
    assert (second["played_ms"], second["dropped_ms"], len(second["dropped_peaks"])) == (1_000, 500, 50)


def test_words_of_the_agent_have_times_where_they_were_recognised(page: _Page) -> None:
    first, second = page.data["replies"]
    assert [(word["text"], word["start_s"]) for word in first["heard_words"]] == [
        ("I", None),
        ("heard", 1.8),
        ("you", None),
        ("say:", None),
        ("good", 2.0),
        ("morning.", None),
    ]
    assert [word["start_s"] for word in second["heard_words"]] == [3.7, 4.0, 4.2]


def test_what_was_said_is_never_markup(make_dialogue: Callable[..., Dialogue]) -> None:
    hostile = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>&amp;@script@\u2028"
    dialogue = make_dialogue()
    items = tuple(replace(item, text=hostile) for item in dialogue.conversation.items)
    conversation = replace(dialogue.conversation, items=items)
    hostile_page = _Page(render_timeline(replace(dialogue, conversation=conversation), VERDICT))
    assert len(hostile_page.scripts) == 2
    assert hostile_page.loads == []
    assert [item["text"] for item in hostile_page.data["items"]] == [hostile] * 4
