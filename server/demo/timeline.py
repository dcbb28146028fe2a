"""The conversation as one page of HTML that needs nothing else, not even a network.

The page is data and a script that draws it. Texts of the conversation are only ever data: they are embedded as JSON
in which no tag can begin, drawn as text, and the page's own policy lets no script run but the one it was made with.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from engines.codec.encoder import encode_all
from engines.codec.resampler import resample
from schemas.audio import AudioFormat, Samples
from schemas.events import SayStarted, ServerEvent
from schemas.sessions import ConversationItem
from schemas.transcripts import Word
from server.demo.script import Dialogue, Spoken
from server.demo.verdict import Check, Figure, Verdict
from server.demo.wording import words_of

PEAK_MS: Final = 10
_FOLDER: Final = Path(__file__).parent


class _TimedWord(Struct, frozen=True):
    """A word as it is written, and when it was heard if that is known."""

    text: str
    start_s: float | None = None
    end_s: float | None = None
    probability: float | None = None


class _Reply(Struct, frozen=True, kw_only=True):
    item_id: str
    called_ms: int
    started_ms: int
    played_ms: int
    flushed_ms: int | None
    dropped_ms: int
    dropped_peaks: tuple[int, ...]
    words: tuple[Word, ...]
    """What the recogniser understood of it."""
    heard_words: tuple[_TimedWord, ...]


class _Peaks(Struct, frozen=True):
    """Percent of full scale, one every :data:`PEAK_MS`."""

    user: tuple[int, ...]
    agent: tuple[int, ...]


class _Page(Struct, frozen=True, kw_only=True):
    """What the script draws."""

    session_id: str
    created_at: str
    voice: str
    duration_ms: int
    peak_ms: int
    peaks: _Peaks
    events: tuple[ServerEvent, ...]
    items: tuple[ConversationItem, ...]
    replies: tuple[_Reply, ...]
    checks: tuple[Check, ...]
    figures: tuple[Figure, ...]
    audio: str
    """Data URL."""


def render_timeline(dialogue: Dialogue, verdict: Verdict) -> str:
    """The page. Blocks for as long as encoding the audio takes."""
    settings = dialogue.session.settings
    page = _Page(
        session_id=dialogue.session.session_id,
        created_at=dialogue.session.created_at,
        voice=next((event.voice for event in dialogue.events if isinstance(event, SayStarted)), ""),
        duration_ms=len(dialogue.user_audio) * 1000 // settings.input_rate_hz,
        peak_ms=PEAK_MS,
        peaks=_Peaks(
            _peaks(dialogue.user_audio, settings.input_rate_hz), _peaks(dialogue.agent_audio, settings.output_rate_hz)
        ),
        events=dialogue.events,
        items=dialogue.conversation.items,
        replies=tuple(
            _reply(spoken, words, settings.output_rate_hz)
            for spoken, words in zip(dialogue.replies, verdict.agent_words, strict=True)
        ),
        checks=verdict.checks,
        figures=verdict.figures,
        audio=_audio_url(dialogue),
    )
    return _assembled(msgspec.json.encode(page).decode())


def both_voices(dialogue: Dialogue) -> tuple[Samples, Samples]:
    """User and agent at the agent's rate, ``float32, (n,)``, equally long."""
    settings = dialogue.session.settings
    user = resample(dialogue.user_audio, settings.input_rate_hz, settings.output_rate_hz)
    length = max(len(user), len(dialogue.agent_audio))
    return _padded(user, length), _padded(dialogue.agent_audio, length)


def _padded(samples: Samples, length: int) -> Samples:
    return np.pad(samples, (0, length - len(samples)))


def _peaks(samples: Samples, rate_hz: int) -> tuple[int, ...]:
    step = rate_hz * PEAK_MS // 1000
    whole = _padded(np.abs(samples), -(-len(samples) // step) * step).reshape(-1, step)
    return tuple(int(peak) for peak in np.rint(np.minimum(whole.max(axis=1, initial=0.0), 1.0) * 100))


def _reply(spoken: Spoken, words: tuple[Word, ...], rate_hz: int) -> _Reply:
    playback = spoken.playback
    return _Reply(
        item_id=playback.item_id,
        called_ms=spoken.called_ms,
        started_ms=playback.started_ms,
        played_ms=len(playback.played) * 1000 // rate_hz,
        flushed_ms=spoken.flushed_ms,
        dropped_ms=len(playback.dropped) * 1000 // rate_hz,
        dropped_peaks=_peaks(playback.dropped, rate_hz),
        words=words,
        heard_words=_timed(spoken.result.heard_text, words),
    )


def _timed(text: str, recognised: tuple[Word, ...]) -> tuple[_TimedWord, ...]:
    """The words of a text, with the times of those that were recognised as they are written."""
    written = text.split()
    matcher = difflib.SequenceMatcher(
        None, [words_of(word) for word in written], [words_of(word.text) for word in recognised], autojunk=False
    )
    times = {
        block.a + offset: recognised[block.b + offset]
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }
    return tuple(
        _TimedWord(word, time.start_s, time.end_s, time.probability) if (time := times.get(place)) else _TimedWord(word)
        for place, word in enumerate(written)
    )


def _audio_url(dialogue: Dialogue) -> str:
    user, agent = both_voices(dialogue)
    mp3 = encode_all(np.clip(user + agent, -1.0, 1.0), AudioFormat.MP3, dialogue.session.settings.output_rate_hz)
    return f"data:audio/mpeg;base64,{base64.b64encode(mp3).decode()}"


def _assembled(data: str) -> str:
    template, style, script = ((_FOLDER / f"timeline.{suffix}").read_text("utf-8") for suffix in ("html", "css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; media-src data:"
    safe_data = data.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
    page = template.replace("@policy@", policy).replace("@style@", style).replace("@script@", script)
    return page.replace("@data@", safe_data)  # last: nothing is replaced in what people said
