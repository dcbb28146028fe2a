"""Examples of what goes over the wire, for the descriptions of every surface.

They are values of the types they show, so that they cannot be out of date.
"""

from __future__ import annotations

from typing import Final

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
from schemas.speech import Voice
from schemas.transcripts import Segment, Word

WAV: Final = "UklGRkQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YSAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
"""Base64 of a millisecond of silence, 16 kHz: a whole file, short enough to be read."""
SESSION_ID: Final = "ses_Vq3bN0kXr2yLw8TzHc1a5g"
WORD: Final = Word(text="Hello.", start_s=0.2, end_s=0.7, probability=0.98)
SEGMENT: Final = Segment(
    id=0,
    text=" Hello.",
    start_s=0.0,
    end_s=0.9,
    avg_logprob=-0.21,
    compression_ratio=0.43,
    no_speech_prob=0.02,
    words=(WORD,),
)
VOICE: Final = Voice(
    id="en_US-joe-medium",
    model="piper-en_US-joe-medium",
    language="en-US",
    sample_rate_hz=22_050,
    name="joe",
    gender="male",
    aliases=("alloy",),
)
USER_TURN: Final = UserTurn(turn=1, text="How is the weather?", language="en", started_ms=352, ended_ms=2_240)
USER_TURN_AFTER: Final = UserTurn(turn=2, text="And tomorrow?", language="en", started_ms=4_100, ended_ms=4_900)
AGENT_TURN: Final = AgentTurn(
    item_id="item_1",
    text="It is sunny, and it will stay so.",
    status=SpeechStatus.INTERRUPTED,
    heard_text="It is sunny,",
    remaining_text="and it will stay so.",
    heard_ms=900,
    heard_source=HeardSource.ACKNOWLEDGED,
)
SESSION: Final = SessionInfo(
    session_id=SESSION_ID,
    state=SessionState.OPEN,
    created_at="2026-01-01T12:00:00.000Z",
    settings=SessionSettings(language="en"),
    last_seq=11,
    received_ms=4_200,
)
CONVERSATION: Final = Conversation(session=SESSION, items=(USER_TURN, AGENT_TURN))
