from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console

from schemas.events import ServerEvent
from server.demo.headset import Tick
from server.demo.picture import Picture
from server.demo.sound_card import FRAME_MS
from server.demo.terminal import LiveView, PlainView, View, make_view

SILENCE = np.zeros(320, np.float32)
SOUND = np.full(480, 0.5, np.float32)


def _play(view: View | Picture, events: tuple[ServerEvent, ...]) -> None:
    waiting = list(events)
    take_event = view.add_event if isinstance(view, Picture) else view.on_event
    take_tick = view.add_tick if isinstance(view, Picture) else view.on_tick
    for now_ms in range(FRAME_MS, 6_000 + FRAME_MS, FRAME_MS):
        playing = 1_700 <= now_ms <= 2_700
        take_tick(Tick(now_ms, SILENCE, SOUND, "item_1" if playing else None, now_ms - 1_700 if playing else 0))
        while waiting and waiting[0].at_ms <= now_ms:
            take_event(waiting.pop(0))


def _console(**options: object) -> Console:
    return Console(file=io.StringIO(), width=100, height=40, legacy_windows=False, **options)  # type: ignore[arg-type]


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_tell_each_event_with_its_time(events: tuple[ServerEvent, ...]) -> None:
    console = _console()
    view = PlainView(console)
    with view.step("Starting"), view.conversation():
        _play(view, events)
    assert _printed(console).splitlines() == [
        "Starting …",
        "[  0.00 s] session opened: ses_test",
        "[  0.30 s] user    speech started at 0.20 s",
        "[  0.50 s] user    pause at 0.40 s",
        "[  0.60 s] user    goes on at 0.50 s",
        "[  0.80 s] user    … Good",
        "[  1.10 s] user    pause at 0.90 s",
        "[  1.40 s] user    end of turn, 0.50 s after the last word: “Good morning.”",
        "[  1.40 s] user    word by word: 0.2 Good 0.5 morning.",
        "[  1.40 s] session invalid_request: Something was refused.",
        "[  1.50 s] agent   say “I heard you say: good morning.”",
        "[  1.50 s] agent   begins to speak, voice en_US-joe-medium",
        "[  2.70 s] agent   has been heard for 1 s",
        "[  2.80 s] agent   was heard to the end, 1.00 s",
        "[  3.00 s] agent   say “One two three. Four five six.”",
        "[  3.00 s] agent   begins to speak, voice en_US-joe-medium",
        "[  4.70 s] agent   interrupted: falls silent",
        "[  4.70 s] user    speech started at 4.50 s",
        "[  4.70 s] agent   was heard for 1.00 s: “One two three.” | not heard: “Four five six.”",
        "[  5.40 s] user    pause at 5.20 s",
        "[  5.70 s] user    end of turn, 0.50 s after the last word: “Wait a moment.”",
        "[  6.00 s] session closed (client)",
    ]


def test_the_picture_shows_both_voices_and_what_was_said(events: tuple[ServerEvent, ...]) -> None:
    picture = Picture()
    _play(picture, events)
    console = _console()
    console.print(picture)
    shown = _printed(console)
    assert "Good morning." in shown
    assert "transcript 0.50 s after the last word" in shown
    assert "interrupted · heard for 1.00 s" in shown
    user, turns, agent, marks = (line[9:] for line in shown.splitlines()[2:6])
    assert not set(user) & set("▁▂▃▄▅▆▇█")
    assert set(agent) & set("▁▂▃▄▅▆▇█")
    assert turns.count("◆") == 2
    assert marks.index("▸") < marks.index("◆") < marks.index("✂")


def test_the_picture_shows_a_transcript_that_grows_and_an_answer_that_plays(events: tuple[ServerEvent, ...]) -> None:
    for until_ms, texts in ((1_000, ("speaking", "Good …")), (2_000, ("played 0.3 of 1.0 s", "I heard you say"))):
        picture = Picture()
        for now_ms in range(FRAME_MS, until_ms + FRAME_MS, FRAME_MS):
            picture.add_tick(Tick(now_ms, SILENCE, SOUND, None, 0))
        for event in events:
            if event.at_ms <= until_ms:
                picture.add_event(event)
        picture.add_tick(Tick(until_ms, SILENCE, SOUND, "item_1", 300))
        console = _console()
        console.print(picture)
        for text in texts:
            assert text in _printed(console)


def test_the_picture_fits_a_small_terminal_and_keeps_the_newest(events: tuple[ServerEvent, ...]) -> None:
    picture = Picture()
    _play(picture, events)
    console = Console(file=io.StringIO(), width=60, height=16, legacy_windows=False)
    console.print(picture)
    lines = _printed(console).splitlines()
    assert len(lines) <= 16
    assert any("Wait a moment." in line for line in lines)
    assert not any("Good morning." in line for line in lines)


def test_brackets_in_what_was_said_are_not_styles(events: tuple[ServerEvent, ...]) -> None:
    console = _console()
    with PlainView(console).step("[red]x[/red]"):
        pass
    assert "[red]x[/red] …" in _printed(console)
    assert events


def test_the_live_view_draws_the_picture_again_and_again(events: tuple[ServerEvent, ...]) -> None:
    console = _console(force_terminal=True)
    view = LiveView(console)
    with view.step("Starting"):
        pass
    with view.conversation():
        _play(view, events)
    assert _printed(console).count("a conversation") > 20


@pytest.mark.parametrize(
    ("is_terminal", "environ", "view"),
    [(True, {}, LiveView), (True, {"CI": "true"}, PlainView), (False, {}, PlainView)],
)
def test_only_a_terminal_outside_of_ci_gets_the_picture(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, environ: dict[str, str], view: Callable[..., View]
) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdout", stdout)
    assert isinstance(make_view(_console(), environ), view)  # type: ignore[arg-type]
