"""The events of a session, told to a person."""

from __future__ import annotations

from typing import Literal, assert_never

from msgspec import Struct

from schemas.events import (
    DtmfReceived,
    InputStalled,
    PlaybackDuck,
    PlaybackFlush,
    PlaybackPause,
    PlaybackResume,
    PlaybackStalled,
    ResponseCancelled,
    SayAudio,
    SayEnded,
    SayStarted,
    SayText,
    ServerEvent,
    SessionClosed,
    SessionError,
    SessionIdle,
    SessionOpened,
    SpeechBackchannel,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TranscriptPartial,
    TurnAmended,
    TurnCleared,
    TurnEager,
    TurnEnded,
    TurnLatencyMeasured,
    TurnLimit,
    TurnNoResponse,
    TurnReopened,
    TurnResumed,
)
from schemas.sessions import SpeechStatus
from schemas.transcripts import Word

Side = Literal["user", "agent", "session"]


class Line(Struct, frozen=True):
    """One line of the story."""

    side: Side
    text: str


def narrate(event: ServerEvent) -> Line | None:  # noqa: C901, PLR0911, PLR0912 - one case an event
    """What happened; ``None`` for a piece of audio, of which there are ten a second."""
    match event:
        case SessionOpened():
            return Line("session", f"opened: {event.session_id}")
        case SessionClosed():
            return Line("session", f"closed ({event.reason})")
        case SessionError():
            return Line("session", f"{event.error.code.value}: {event.error.message}")
        case SpeechStarted():
            return Line("user", f"speech started at {_s(event.started_ms)}")
        case SpeechStopped():
            return Line("user", f"pause at {_s(event.stopped_ms)}")
        case SpeechResumed():
            return Line("user", f"goes on at {_s(event.resumed_ms)}")
        case SpeechBackchannel():
            return Line("user", f"listens aloud: “{event.text}”" if event.text else "made a sound")
        case TranscriptPartial():
            return Line("user", f"… {event.text}")
        case TurnEnded():
            said = f"“{event.text}”" if event.text else "nothing was understood"
            return Line("user", f"end of turn, {_s(event.at_ms - event.ended_ms)} after the last word: {said}")
        case TurnLatencyMeasured():
            return Line("session", f"answered {_s(event.latency.total_ms)} after the last word")
        case TurnEager():
            return Line("user", f"probably the end of the turn: “{event.text}”")
        case TurnResumed():
            return Line("user", "was not at the end")
        case TurnReopened():
            return Line("user", f"was not at the end, and goes on at {_s(event.resumed_ms)}")
        case TurnAmended():
            return Line("user", f"is understood late: “{event.text}”")
        case TurnCleared():
            return Line("user", "turn dropped by the client")
        case TurnLimit():
            return Line("user", "has spoken for as long as a turn may be")
        case TurnNoResponse():
            return Line("agent", "does not answer")
        case InputStalled():
            return Line("user", "sends no more audio")
        case DtmfReceived():
            return Line("user", "pressed a key")
        case SessionIdle():
            return Line("session", "nobody speaks")
        case SayText():
            return Line("agent", f"say “{event.text}”")
        case SayStarted():
            return Line("agent", f"begins to speak, voice {event.voice}")
        case SayAudio():
            return None
        case PlaybackDuck():
            return Line("agent", "somebody speaks: goes on more quietly")
        case PlaybackPause():
            return Line("agent", "stands still")
        case PlaybackResume():
            return Line("agent", "no interruption: goes on")
        case PlaybackStalled():
            return Line("agent", f"the loudspeaker has not reported since {_s(event.played_ms)}")
        case ResponseCancelled():
            return Line("agent", f"loses the floor to the {event.reason}")
        case PlaybackFlush():
            return Line("agent", "interrupted: falls silent")
        case SayEnded():
            return Line("agent", _ended(event))
        case _:
            assert_never(event)


def word_times(words: tuple[Word, ...]) -> str:
    """Each word after the second of the session in which it begins."""
    return " ".join(f"{word.start_s:.1f} {word.text}" for word in words)


def _ended(event: SayEnded) -> str:
    match event.status:
        case SpeechStatus.COMPLETED:
            return f"was heard to the end, {_s(event.heard_ms)}"
        case SpeechStatus.FAILED:
            return f"failed: {event.error.message if event.error else ''}"
        case _:
            return f"was heard for {_s(event.heard_ms)}: “{event.heard_text}” | not heard: “{event.remaining_text}”"


def _s(ms: int) -> str:
    return f"{ms / 1000:.2f} s"
