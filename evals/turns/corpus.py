"""The user's turns of a split, spoken by its voices, through its channels: what end-of-turn policies are scored on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from evals.acoustics import CHANNELS, Channel, heard_through
from evals.recordings import Recordings
from evals.turns.cast import user_voices
from evals.turns.dialogue import Dialogue, Intent, Split, UserLine, load
from evals.turns.rendering import Renderer, Span, SpokenLine
from schemas.audio import SESSION_RATE_HZ, Samples

BEFORE_S: Final = 0.6
"""Silence before a turn: the pre-roll and a little."""
AFTER_S: Final = 3.5
"""Silence after it: the longest that a policy waits, and a little."""
VOICES_A_LINE: Final = 1
"""Each line is said by so many voices, other ones from line to line: more take longer, and have the same texts."""


class TurnClip(Struct, frozen=True, eq=False):
    """One turn of the user, complete, with silence around it."""

    name: str
    language: str
    voice: str
    channel: str
    text: str
    samples: Samples
    """``float32, (n,)``, 16 kHz, as it arrives."""
    speech: Span | None
    """From the first sound to the last; ``None`` where only a VAD can tell, in a recording."""
    holds: tuple[Span, ...]
    """Silences in which the turn is not over."""
    block: str
    """The dialogue, or the recording: what is not independent of it."""


class PlannedTurn(Struct, frozen=True):
    """A turn that is to be rendered."""

    name: str
    dialogue: str
    language: str
    line: UserLine
    voice: str
    channel: Channel


def plan(
    split: Split, *, voices_a_line: int = VOICES_A_LINE, languages: Sequence[str] | None = None
) -> list[PlannedTurn]:
    """The turns of a split, in an order in which any beginning of the list has all voices and channels."""
    return [turn for n in range(voices_a_line) for turn in _round(load(split), n, languages)]


def _round(dialogues: Sequence[Dialogue], n: int, languages: Sequence[str] | None) -> list[PlannedTurn]:
    turns: list[PlannedTurn] = []
    for dialogue in dialogues:
        voices = user_voices(dialogue.split, dialogue.language)
        if not voices or (languages is not None and dialogue.language not in languages):
            continue
        for number, line in enumerate(dialogue.lines):
            if isinstance(line, UserLine) and line.intent is Intent.TURN:
                place = len(turns)
                voice = voices[(place + n * max(1, len(voices) // 2 - 1)) % len(voices)]
                block = f"{dialogue.language}.{dialogue.name}"
                name = f"{block}.{number}.{voice}.{n}"
                if not dialogue.has_agent:
                    block = f"{block}.{number}"
                channel = CHANNELS[(place // len(voices) + place + n) % len(CHANNELS)]
                turns.append(PlannedTurn(name, block, dialogue.language, line, voice, channel))
    return turns


async def turn_clips(
    turns: Sequence[PlannedTurn],
    renderer: Renderer,
    recordings: Recordings,
    split: Split,
    *,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> list[TurnClip]:
    """The turns as audio. The same seed draws the same lengths of holds and the same noise.

    Args:
        turns: From :func:`plan`.
        renderer: Speaks.
        recordings: Have noise for the channels.
        split: Which noise.
        seed: Draws.
        advance: Called after each turn.
    """
    noises = recordings.noises(split)
    clips: list[TurnClip] = []
    for turn in turns:
        rng = rng_of(seed, turn.name)
        spoken = await renderer.render(turn.line, turn.voice, rng)
        clips.append(_clip(turn, spoken, noises, rng))
        advance()
    return clips


def rng_of(seed: int, name: str) -> np.random.Generator:
    """Draws of one thing, whatever else is drawn."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def _clip(turn: PlannedTurn, spoken: SpokenLine, noises: Sequence[Samples], rng: np.random.Generator) -> TurnClip:
    before, after = (round(seconds * SESSION_RATE_HZ) for seconds in (BEFORE_S, AFTER_S))
    dry = np.pad(spoken.samples, (before, after))
    return TurnClip(
        name=turn.name,
        language=turn.language,
        voice=turn.voice,
        channel=turn.channel.name,
        text=spoken.text,
        samples=heard_through(turn.channel, dry, noises, rng),
        speech=Span(before, before + len(spoken.samples)),
        holds=tuple(hold.shifted(before) for hold in spoken.holds),
        block=turn.dialogue,
    )


def recorded_turns(
    recordings: Recordings, kinds: Sequence[str], languages: Sequence[str] | None = None
) -> list[TurnClip]:
    """Recordings of people, each channel a turn: pauses in it are holds, and what follows it is the end.

    Where speech begins and ends in them is for a VAD to say: see :func:`evals.turns.pauses.observe`.
    """
    before, after = (round(seconds * SESSION_RATE_HZ) for seconds in (BEFORE_S, AFTER_S))
    clips: list[TurnClip] = []
    for row in recordings.rows:
        if row.kind not in kinds or (languages is not None and row.language not in languages):
            continue
        for channel in range(row.channels):
            samples = recordings.samples(row, channel)
            hush = _hush(samples)
            clips.append(
                TurnClip(
                    name=f"{row.file}.{channel}",
                    language=row.language,
                    voice="",
                    channel="recording",
                    text=row.text or "",
                    samples=np.concatenate((np.resize(hush, before), samples, np.resize(hush, after))),
                    speech=None,
                    holds=(),
                    block=row.file,
                )
            )
    return clips


def _hush(samples: Samples) -> Samples:
    """The quietest tenth of a second of a recording: what its room sounds like when nobody speaks."""
    n = SESSION_RATE_HZ // 10
    whole = samples[: len(samples) // n * n].reshape(-1, n)
    return whole[int(np.argmin(np.mean(whole**2, axis=1)))] if len(whole) else np.zeros(n, np.float32)
