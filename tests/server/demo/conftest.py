from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from schemas.audio import Samples
from schemas.errors import ErrorCode, ErrorInfo
from schemas.events import (
    PlaybackFlush,
    SayAudio,
    SayEnded,
    SayStarted,
    SayText,
    ServerEvent,
    SessionClosed,
    SessionError,
    SessionOpened,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TranscriptPartial,
    TurnEnded,
)
from schemas.sessions import (
    AgentTurn,
    Conversation,
    HeardSource,
    SessionInfo,
    SessionSettings,
    SessionState,
    SpeechStatus,
    UserTurn,
)
from schemas.tools import SayOutput
from schemas.transcripts import Word
from server.demo.script import Dialogue, Recording, Scenario, Spoken
from server.demo.sound_card import Playback

SETTINGS = SessionSettings(language="en", input_rate_hz=16_000, output_rate_hz=24_000)
SESSION = SessionInfo(
    session_id="ses_test",
    state=SessionState.CLOSED,
    created_at="2026-01-02T03:04:05.678Z",
    settings=SETTINGS,
    last_seq=18,
    received_ms=6_000,
)
FIRST, SECOND = "I heard you say: good morning.", "One two three. Four five six."
TURN = UserTurn(
    turn=1,
    text="Good morning.",
    language="en",
    started_ms=200,
    ended_ms=900,
    words=(Word("Good", 0.2, 0.5, 0.9), Word("morning.", 0.5, 0.9, 0.4)),
)
INTERRUPTION = UserTurn(turn=2, text="Wait a moment.", language="en", started_ms=4_500, ended_ms=5_200)


def _turn_ended(turn: UserTurn) -> TurnEnded:
    return TurnEnded(
        turn=turn.turn,
        text=turn.text,
        language="en",
        started_ms=turn.started_ms,
        ended_ms=turn.ended_ms,
        decided_ms=turn.ended_ms + 300,
        words=turn.words,
    )


def _say_ended(item_id: str, text: str, heard: str, heard_ms: int) -> SayEnded:
    remaining = text.removeprefix(heard).lstrip()
    return SayEnded(
        item_id=item_id,
        status=SpeechStatus.INTERRUPTED if remaining else SpeechStatus.COMPLETED,
        heard_text=heard,
        remaining_text=remaining,
        heard_ms=heard_ms,
        duration_ms=1_500,
        heard_source=HeardSource.ACKNOWLEDGED,
    )


@pytest.fixture(scope="session")
def events() -> tuple[ServerEvent, ...]:
    """A session in which every kind of event happens."""
    story: list[tuple[int, ServerEvent]] = [
        (0, SessionOpened(session_id="ses_test", settings=SETTINGS)),
        (300, SpeechStarted(turn=1, started_ms=200)),
        (500, SpeechStopped(turn=1, stopped_ms=400)),
        (600, SpeechResumed(turn=1, resumed_ms=500)),
        (800, TranscriptPartial(turn=1, text="Good", audio_end_ms=700)),
        (1_100, SpeechStopped(turn=1, stopped_ms=900)),
        (1_400, _turn_ended(TURN)),
        (1_400, SessionError(error=ErrorInfo(ErrorCode.INVALID_REQUEST, "Something was refused.", retryable=False))),
        (1_500, SayText(item_id="item_1", text=FIRST)),
        (1_500, SayStarted(item_id="item_1", voice="en_US-joe-medium")),
        (1_600, SayAudio(item_id="item_1", epoch=1, offset_ms=0, duration_ms=1_000)),
        (2_800, _say_ended("item_1", FIRST, FIRST, 1_000)),
        (3_000, SayText(item_id="item_2", text=SECOND)),
        (3_000, SayStarted(item_id="item_2", voice="en_US-joe-medium")),
        (3_100, SayAudio(item_id="item_2", epoch=1, offset_ms=0, duration_ms=1_500)),
        (4_700, PlaybackFlush(item_id="item_2", epoch=2)),
        (4_700, SpeechStarted(turn=2, started_ms=4_500)),
        (4_700, _say_ended("item_2", SECOND, "One two three.", 1_000)),
        (5_400, SpeechStopped(turn=2, stopped_ms=5_200)),
        (5_700, _turn_ended(INTERRUPTION)),
        (6_000, SessionClosed(reason="client")),
    ]
    return tuple(replace(event, seq=seq, at_ms=at_ms) for seq, (at_ms, event) in enumerate(story, start=1))


def _spoken(item_id: str, text: str, heard: str, started_ms: int, *, dropped_ms: int) -> Spoken:
    remaining = text.removeprefix(heard).lstrip()
    tone: Samples = np.sin(np.arange(24_000) / 10).astype(np.float32)
    return Spoken(
        text=text,
        called_ms=started_ms - 200,
        result=SayOutput(
            item_id=item_id,
            status=SpeechStatus.INTERRUPTED if remaining else SpeechStatus.COMPLETED,
            heard_text=heard,
            remaining_text=remaining,
            user_turn=INTERRUPTION if remaining else None,
        ),
        playback=Playback(item_id, started_ms, tone, tone[: dropped_ms * 24]),
        flushed_ms=started_ms + 1_000 if remaining else None,
    )


@pytest.fixture(scope="session")
def make_dialogue(events: tuple[ServerEvent, ...]) -> Callable[..., Dialogue]:
    """A conversation in which all is well, but for what is given."""

    def make(**changes: object) -> Dialogue:
        replies = (
            _spoken("item_1", FIRST, FIRST, 1_700, dropped_ms=0),
            _spoken("item_2", SECOND, "One two three.", 3_700, dropped_ms=500),
        )
        items = (
            TURN,
            AgentTurn(item_id="item_1", text=FIRST, status=SpeechStatus.COMPLETED, heard_text=FIRST, heard_ms=1_000),
            AgentTurn(
                item_id="item_2",
                text=SECOND,
                status=SpeechStatus.INTERRUPTED,
                heard_text="One two three.",
                remaining_text="Four five six.",
                heard_ms=1_000,
            ),
            INTERRUPTION,
        )
        dialogue = Dialogue(
            session=SESSION,
            conversation=Conversation(session=SESSION, items=items),
            events=events,
            headset_events=events,
            user_audio=np.zeros(6 * 16_000, np.float32),
            agent_audio=np.full(6 * 24_000, 0.25, np.float32),
            turn=TURN,
            replies=replies,
        )
        return replace(dialogue, **changes)

    return make


@pytest.fixture
def scenario() -> Scenario:
    silence = np.zeros(1_600, np.float32)
    return Scenario(speech=Recording(silence, "Good morning!"), interruption=Recording(silence, "Wait a moment."))
