"""Whether the conversation was right, and how long the user had to wait: from facts, not from what the server says.

What the user heard of an answer is judged by the audio that the loudspeaker played, written down by the recogniser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, Samples
from schemas.events import TurnEnded
from schemas.sessions import SpeechStatus
from schemas.tools import TranscribeOutput
from schemas.transcripts import Word
from server.demo.client import AgentClient
from server.demo.script import LANGUAGE, Dialogue, Recording, Scenario, Spoken
from server.demo.wording import says, words_of

HEARD_TOLERANCE_WORDS: Final = 1
"""The word that was cut off may or may not be recognised."""


class Check(Struct, frozen=True):
    """Something that must be so."""

    title: str
    passed: bool
    detail: str


class Figure(Struct, frozen=True, kw_only=True):
    """A time that a user feels: between two moments of the session's clock."""

    title: str
    from_ms: int
    to_ms: int

    @property
    def ms(self) -> int:
        """Its length."""
        return self.to_ms - self.from_ms


class Verdict(Struct, frozen=True, kw_only=True):
    """What is to be said about a dialogue."""

    checks: tuple[Check, ...]
    figures: tuple[Figure, ...]
    agent_words: tuple[tuple[Word, ...], ...]
    """What the recogniser understood of each reply as it was played; times on the session's clock."""

    @property
    def passed(self) -> bool:
        """Whether everything was right."""
        return all(check.passed for check in self.checks)


async def judge(client: AgentClient, dialogue: Dialogue, scenario: Scenario) -> Verdict:
    """Look at a dialogue; has the server write down what its own voice said."""
    first, second = dialogue.replies
    rate_hz = dialogue.session.settings.output_rate_hz
    first_back = await _recognised(client, first.playback.played, rate_hz)
    second_back = await _recognised(client, second.playback.played, rate_hz)
    checks = (
        _transcript_check("The user's words", scenario.speech, dialogue.turn.text),
        _completed_check(first),
        _quoted("Its audio, recognised", first.text, first_back.text),
        _interrupted_check(second),
        _heard_check(second, second_back.text),
        _transcript_check(
            "The interruption", scenario.interruption, second.result.user_turn.text if second.result.user_turn else ""
        ),
        _events_check(dialogue),
    )
    return Verdict(
        checks=checks,
        figures=tuple(_figures(dialogue)),
        agent_words=(_on_session_clock(first, first_back), _on_session_clock(second, second_back)),
    )


async def _recognised(client: AgentClient, samples: Samples, rate_hz: int) -> TranscribeOutput:
    if not len(samples):  # interrupted before its first sound
        return TranscribeOutput(
            text="", language=LANGUAGE, language_probability=1.0, duration_s=0.0, segments=(), words=(), model=""
        )
    return await client.transcribe(encode_all(samples, AudioFormat.WAV, rate_hz), LANGUAGE)


def _on_session_clock(spoken: Spoken, recognised: TranscribeOutput) -> tuple[Word, ...]:
    offset_s = spoken.playback.started_ms / 1000
    return tuple(
        Word(word.text, word.start_s + offset_s, word.end_s + offset_s, word.probability) for word in recognised.words
    )


def _transcript_check(title: str, recording: Recording, actual: str) -> Check:
    if recording.text is None:
        return Check(title, passed=bool(actual), detail=f"“{actual}”" if actual else "nothing was understood")
    return _quoted(title, recording.text, actual)


def _quoted(title: str, expected: str, actual: str) -> Check:
    passed = says(expected, actual)
    return Check(title, passed, f"“{actual}”" if passed else f"“{actual}” instead of “{expected}”")


def _completed_check(spoken: Spoken) -> Check:
    result = spoken.result
    passed = result.status is SpeechStatus.COMPLETED and result.heard_text == spoken.text and not result.remaining_text
    detail = "heard to its end" if passed else f"{result.status.value}, heard: “{result.heard_text}”"
    return Check("The first answer", passed, detail)


def _interrupted_check(spoken: Spoken) -> Check:
    result = spoken.result
    passed = (
        result.status is SpeechStatus.INTERRUPTED
        and 0 < len(result.heard_text) < len(spoken.text)
        and spoken.text.startswith(result.heard_text)
        and [*result.heard_text.split(), *result.remaining_text.split()] == spoken.text.split()
    )
    return Check("The second answer", passed, f"{result.status.value} after “{result.heard_text}”")


def _heard_check(spoken: Spoken, recognised: str) -> Check:
    """The server's account of what was heard, against what came out of the loudspeaker."""
    told, counted = len(words_of(spoken.result.heard_text)), len(words_of(recognised))
    return Check(
        "Words heard of it",
        abs(told - counted) <= HEARD_TOLERANCE_WORDS,
        f"{told} by the server's account, {counted} in the loudspeaker's audio",
    )


def _events_check(dialogue: Dialogue) -> Check:
    sse, websocket = dialogue.events, dialogue.headset_events
    passed = [event.seq for event in sse] == list(range(1, len(sse) + 1)) and sse == websocket
    if passed:
        return Check("The event log", passed, f"{len(sse)} events, the same over SSE and WebSocket, none missing")
    alone = [
        f"{event.seq} {event.__struct_config__.tag}"
        for event in (*sse, *websocket)
        if not (event in sse and event in websocket)
    ]
    return Check(
        "The event log",
        passed,
        f"{len(sse)} events over SSE, {len(websocket)} over WebSocket; not in both: {', '.join(alone) or 'none'}",
    )


def _figures(dialogue: Dialogue) -> Iterator[Figure]:
    first, second = dialogue.replies
    ended = {event.turn: event for event in dialogue.events if isinstance(event, TurnEnded)}
    turn = ended[dialogue.turn.turn]
    yield Figure(title="turn 1 → transcript", from_ms=turn.ended_ms, to_ms=turn.at_ms)
    yield Figure(title="say → first sound", from_ms=first.called_ms, to_ms=first.playback.started_ms)
    yield Figure(title="turn 1 → answer heard", from_ms=turn.ended_ms, to_ms=first.playback.started_ms)
    if second.flushed_ms is not None and second.result.user_turn is not None:
        interruption = second.result.user_turn
        yield Figure(title="barge-in → silence", from_ms=interruption.started_ms, to_ms=second.flushed_ms)
        yield Figure(title="turn 2 → transcript", from_ms=interruption.ended_ms, to_ms=ended[interruption.turn].at_ms)
