"""A conversation as it happens, in characters: two voices on a time axis, and below them what was said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from schemas.events import (
    PlaybackFlush,
    SayAudio,
    SayEnded,
    SayStarted,
    SayText,
    ServerEvent,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TranscriptPartial,
    TurnEnded,
)
from schemas.sessions import SpeechStatus
from server.demo.headset import Tick
from server.demo.narration import word_times
from server.demo.sound_card import FRAME_MS

LABEL_COLUMNS: Final = 7
SPAN_MS: Final = 10_000
"""The axis grows by so much when the conversation reaches its end."""
SHORTEST_SPAN_MS: Final = 20_000
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_LOUDNESS_EXPONENT: Final = 0.6
"""Of the amplitude: about as loud as it sounds (Stevens' power law of sound pressure)."""
_USER: Final = "cyan"
_AGENT: Final = "magenta"
_CUT: Final = "bold red"
_DONE: Final = "bold green"
_FRAME_ROWS: Final = 9
"""Rows of everything but the texts."""


class _Mark(Struct, frozen=True):
    at_ms: int
    sign: str
    style: str


class _UserEntry:
    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.partial = ""
        self.final: TurnEnded | None = None


class _AgentEntry:
    def __init__(self, item_id: str) -> None:
        self.item_id = item_id
        self.text = ""
        self.received_ms = 0
        self.played_ms = 0
        self.ended: SayEnded | None = None


class Picture:
    """Renderable by rich at any time; grows by events and ticks."""

    def __init__(self) -> None:
        self._user_peaks: list[float] = []
        self._agent_peaks: list[float] = []
        self._voiced: list[tuple[int, int | None]] = []
        """Stretches of the user's speech; the last may be going on."""
        self._user_marks: list[_Mark] = []
        self._agent_marks: list[_Mark] = []
        self._users: dict[int, _UserEntry] = {}
        self._agents: dict[str, _AgentEntry] = {}
        self._entries: list[_UserEntry | _AgentEntry] = []

    def add_tick(self, tick: Tick) -> None:
        """A frame of both voices."""
        self._user_peaks.append(float(np.abs(tick.user).max(initial=0.0)))
        self._agent_peaks.append(float(np.abs(tick.agent).max(initial=0.0)))
        if tick.item_id in self._agents:
            self._agents[tick.item_id].played_ms = tick.played_ms

    def add_event(self, event: ServerEvent) -> None:  # noqa: C901 - one case an event
        """What happened."""
        match event:
            case SpeechStarted():
                self._voiced.append((event.started_ms, None))
                self._users[event.turn] = entry = _UserEntry(event.turn)
                self._entries.append(entry)
            case SpeechResumed():
                self._voiced.append((event.resumed_ms, None))
            case SpeechStopped():
                self._voiced[-1] = (self._voiced[-1][0], event.stopped_ms)
            case TranscriptPartial():
                self._users[event.turn].partial = event.text
            case TurnEnded():
                self._users[event.turn].final = event
                self._user_marks.append(_Mark(event.at_ms, "◆", _DONE))
            case SayText():
                self._agent(event.item_id).text += event.text
            case SayStarted():
                self._agent_marks.append(_Mark(event.at_ms, "▸", _AGENT))
            case SayAudio():
                self._agent(event.item_id).received_ms = event.offset_ms + event.duration_ms
            case PlaybackFlush():
                self._agent_marks.append(_Mark(event.at_ms, "✂", _CUT))
            case SayEnded():
                self._agent(event.item_id).ended = event
                if event.status is SpeechStatus.COMPLETED:
                    self._agent_marks.append(_Mark(event.at_ms, "◆", _DONE))
            case _:
                pass

    def _agent(self, item_id: str) -> _AgentEntry:
        if item_id not in self._agents:
            self._agents[item_id] = entry = _AgentEntry(item_id)
            self._entries.append(entry)
        return self._agents[item_id]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = max(20, options.max_width - LABEL_COLUMNS - 4)
        now_ms = len(self._user_peaks) * FRAME_MS
        span_ms = max(SHORTEST_SPAN_MS, -(-now_ms // SPAN_MS) * SPAN_MS)
        yield Panel(
            Group(
                *self._lanes(columns, span_ms),
                Rule(style="dim"),
                *[Padding(line, (0, 1)) for line in self._texts(console, options.max_width - 6)],
            ),
            title=Text(f" a conversation · {now_ms / 1000:5.1f} s ", style="bold"),
            title_align="left",
            border_style="dim",
        )

    def _texts(self, console: Console, columns: int) -> list[Text]:
        """What was said, as much of the newest as the terminal has room for."""
        texts: list[Text] = []
        rows = console.height - _FRAME_ROWS
        for entry in reversed(self._entries):
            lines = list(_described(entry))
            rows -= sum(len(line.wrap(console, columns)) for line in lines)
            if rows < 0 and texts:
                break
            texts[:0] = lines
        return texts

    def _lanes(self, columns: int, span_ms: int) -> Iterator[Text]:
        yield _labelled("", _axis(columns, span_ms))
        yield _labelled("user", _wave(self._user_peaks, columns, span_ms, _USER))
        yield _labelled("", _marked(self._speech(columns, span_ms), self._user_marks, columns, span_ms))
        yield _labelled("agent", _wave(self._agent_peaks, columns, span_ms, _AGENT))
        yield _labelled("", _marked(Text(" " * columns), self._agent_marks, columns, span_ms))

    def _speech(self, columns: int, span_ms: int) -> Text:
        now_ms = len(self._user_peaks) * FRAME_MS
        signs = [" "] * columns
        for start_ms, end_ms in self._voiced:
            for column in range(_column(start_ms, columns, span_ms), _column(end_ms or now_ms, columns, span_ms) + 1):
                signs[column] = "━"
        return Text("".join(signs), style=_USER)


def _column(at_ms: int, columns: int, span_ms: int) -> int:
    return min(columns - 1, at_ms * columns // span_ms)


def _labelled(label: str, lane: Text) -> Text:
    return Text(f"{label:>{LABEL_COLUMNS - 1}} ", style="bold").append_text(lane)


def _axis(columns: int, span_ms: int) -> Text:
    signs = [" "] * columns
    for second in range(0, span_ms // 1000, 5):
        label = f"{second}s"
        column = _column(second * 1000, columns, span_ms)
        signs[column : column + len(label)] = label[: columns - column]
    return Text("".join(signs[:columns]), style="dim")


def _wave(peaks: list[float], columns: int, span_ms: int, style: str) -> Text:
    frames = span_ms // FRAME_MS
    padded = np.zeros(frames, np.float32)
    padded[: len(peaks)] = peaks[:frames]
    starts = np.arange(columns) * frames // columns
    loudness = np.minimum(np.maximum.reduceat(padded, starts), 1.0) ** _LOUDNESS_EXPONENT
    return Text("".join(_BLOCKS[round(float(part) * (len(_BLOCKS) - 1))] for part in loudness), style=style)


def _marked(lane: Text, marks: list[_Mark], columns: int, span_ms: int) -> Text:
    signs, styles = list(lane.plain), [lane.style or ""] * columns
    for mark in marks:
        column = _column(mark.at_ms, columns, span_ms)
        signs[column], styles[column] = mark.sign, mark.style
    return Text.assemble(*zip(signs, styles, strict=True))


def _described(entry: _UserEntry | _AgentEntry) -> Iterator[Text]:
    match entry:
        case _UserEntry():
            yield from _user_lines(entry)
        case _AgentEntry():
            yield from _agent_lines(entry)


def _user_lines(entry: _UserEntry) -> Iterator[Text]:
    title = Text(f"user · turn {entry.turn}", style=f"bold {_USER}")
    final = entry.final
    if final is None:
        yield title.append(" · speaking", style="dim")
        yield Text(f"{entry.partial} …", style="italic")
        return
    yield title.append(f" · transcript {(final.at_ms - final.ended_ms) / 1000:.2f} s after the last word", style="dim")
    yield Text(final.text or "(nothing was understood)")
    if final.words:
        yield Text(word_times(final.words), style="dim")


def _agent_lines(entry: _AgentEntry) -> Iterator[Text]:
    title = Text(f"agent · {entry.item_id}", style=f"bold {_AGENT}")
    ended = entry.ended
    if ended is None:
        yield title.append(f" · played {entry.played_ms / 1000:.1f} of {entry.received_ms / 1000:.1f} s", style="dim")
        yield Text(entry.text, style="dim")
        return
    yield title.append(f" · {ended.status.value} · heard for {ended.heard_ms / 1000:.2f} s", style="dim")
    yield Text.assemble((ended.heard_text, "green"), " ", (ended.remaining_text, "dim strike red"))
