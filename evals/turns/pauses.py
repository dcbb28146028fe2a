"""Pauses, as a turn policy meets them: silence by voice activity, what the models say of it, and what is true.

Truth comes from the corpus; whether there *is* a pause is for the VAD to find, and when: policies have only what it
hears, and their latency counts from the true end of speech.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.cache import Cache, digest
from evals.turns.corpus import TurnClip
from evals.turns.instruments import Ears
from evals.turns.rendering import Span
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples, pcm16_from_float

SCORED_MS: Final = (*range(200, 1300, 100), 1500, 1800, 2200, 2700)
"""Silence at which the turn detector is asked, as far as a pause lasts."""
TEXT_AT_MS: Final = 200
"""Silence at which the turn so far is recognised."""
PRE_ROLL_SAMPLES: Final = SESSION_RATE_HZ // 2
MIN_PAUSE_MS: Final = 200
"""Shorter silence is no pause: no policy acts on it, and eot-bench does not count it."""
_ON: Final = 0.5
_OFF: Final = 0.35
_ONSET_FRAMES: Final = 3
"""Voiced frames that end a pause. Fewer are a click. These three are the defaults of a session."""
_TOLERANCE_SAMPLES: Final = SESSION_RATE_HZ * 150 // 1000
"""By so much earlier than speech the VAD may take its end to be."""
_SOFT_SAMPLES: Final = SESSION_RATE_HZ * 700 // 1000
"""The same where it hears nothing more: two voices of the simulator end so softly. Their speech ends where it is heard
to, for nobody can wait for what nobody hears."""


class Score(Struct, frozen=True):
    """What the turn detector said."""

    silence_ms: int
    probability: float


class Pause(Struct, frozen=True, kw_only=True):
    """A silence of one clip, by its VAD."""

    clip: str
    language: str
    channel: str
    is_end: bool
    """Whether the turn was over. In a hold it was not."""
    turn_samples: int
    """Onset of the turn."""
    start_samples: int
    """End of the last voiced frame."""
    resume_samples: int
    """Start of the next voiced frame, or the end of the clip."""
    speech_end_samples: int
    """True end of the speech before it."""
    scores: tuple[Score, ...] = ()
    """By Smart Turn as it comes."""
    ours: tuple[Score, ...] = ()
    """By the turn detector of a session, at the same silences."""
    text: str = ""
    """Of the turn up to this pause."""
    sentence_end: float | None = None
    """Probability that a sentence ends behind it, by its words alone; ``None`` where nobody can say."""
    earlier_text: str = ""
    """Of the turn up to the start of this silence: what stayed the same since is stable."""

    @property
    def silence_ms(self) -> float:
        """How long it lasts."""
        return (self.resume_samples - self.start_samples) * 1000 / SESSION_RATE_HZ

    @property
    def lag_ms(self) -> float:
        """How much later than the true end of speech the VAD hears it."""
        return (self.start_samples - self.speech_end_samples) * 1000 / SESSION_RATE_HZ


class ClipPauses(Struct, frozen=True, kw_only=True):
    """The pauses of a clip in order; those after the end of speech come last."""

    clip: str
    holds: tuple[Pause, ...]
    ends: tuple[Pause, ...]
    """More than one if something was taken for speech after the end; none if the VAD hears no turn at all."""


async def observe(
    clips: Sequence[TurnClip], ears: Ears, cache: Cache, advance: Callable[[int], None] = lambda _: None
) -> list[ClipPauses]:
    """The pauses of each clip, with what the models say.

    Args:
        clips: Turns.
        ears: Listen, to what is not in the cache.
        cache: Of answers.
        advance: Called with the number of clips done.
    """
    found: list[ClipPauses] = []
    for begin in range(0, len(clips), _AT_ONCE):
        group = clips[begin : begin + _AT_ONCE]
        keys = [cache.key("pauses, soft ends known", ears.version, SCORED_MS, *_identity(clip)) for clip in group]
        kept = [cache.get(key) for key in keys]
        missing = [clip for clip, content in zip(group, kept, strict=True) if content is None]
        made = iter(await _observe(missing, ears))
        for clip, key, content in zip(group, keys, kept, strict=True):
            pauses = next(made) if content is None else msgspec.json.decode(content, type=ClipPauses)
            if content is None:
                cache.put(key, msgspec.json.encode(pauses))
            found.append(_with_unheard_holds(clip, pauses))
        found[begin:] = await _with_our_scores(group, found[begin:], ears, cache)
        advance(len(group))
    return found


_AT_ONCE: Final = 16


async def _with_our_scores(
    clips: Sequence[TurnClip], found: Sequence[ClipPauses], ears: Ears, cache: Cache
) -> list[ClipPauses]:
    """Kept by themselves: a new head for the turn detector asks nothing else anew."""
    keys = [cache.key("turn scores", ears.detector, SCORED_MS, *_identity(clip)) for clip in clips]
    kept = [cache.get(key) for key in keys]
    places = [
        [(pause, score.silence_ms) for pause in (*each.holds, *each.ends) for score in pause.scores] for each in found
    ]
    asked = [
        (_heard(clip, pause, silence_ms), silence_ms * SESSION_RATE_HZ // 1000)
        for clip, content, asked_at in zip(clips, kept, places, strict=True)
        if content is None
        for pause, silence_ms in asked_at
    ]
    made = iter(await ears.end_of_turn([clip for clip, _ in asked], [silence for _, silence in asked]))
    scored: list[ClipPauses] = []
    for key, content, each, asked_at in zip(keys, kept, found, places, strict=True):
        scores = [next(made) for _ in asked_at] if content is None else msgspec.json.decode(content, type=list[float])
        if content is None:
            cache.put(key, msgspec.json.encode(scores))
        rest = iter(scores)
        holds, ends = (
            tuple(
                msgspec.structs.replace(pause, ours=tuple(Score(one.silence_ms, next(rest)) for one in pause.scores))
                for pause in pauses
            )
            for pauses in (each.holds, each.ends)
        )
        scored.append(msgspec.structs.replace(each, holds=holds, ends=ends))
    return scored


def _identity(clip: TurnClip) -> tuple[object, ...]:
    return clip.name, clip.language, clip.channel, clip.speech, clip.holds, digest(pcm16_from_float(clip.samples))


async def _observe(clips: Sequence[TurnClip], ears: Ears) -> list[ClipPauses]:
    activity = await ears.voice_activity([clip.samples for clip in clips])
    silences = [_pauses(clip, frames) for clip, frames in zip(clips, activity, strict=True)]
    pairs = [(clip, pause) for clip, pauses in zip(clips, silences, strict=True) for pause in pauses]
    asked = [(clip, pause, ms) for clip, pause in pairs for ms in SCORED_MS if ms <= pause.silence_ms]
    scores = await ears.smart_turn([_heard(clip, pause, ms) for clip, pause, ms in asked])
    languages = [clip.language for clip, _ in pairs]
    texts = await ears.transcribe([_heard(clip, pause, TEXT_AT_MS) for clip, pause in pairs], languages)
    earlier = await ears.transcribe([_heard(clip, pause, 0) for clip, pause in pairs], languages)
    by_pause: dict[int, list[Score]] = {}
    for (_, pause, ms), score in zip(asked, scores, strict=True):
        by_pause.setdefault(id(pause), []).append(Score(ms, score))
    answers = {
        id(pause): msgspec.structs.replace(
            pause,
            scores=tuple(by_pause.get(id(pause), ())),
            text=understood.text,
            sentence_end=understood.sentence_end,
            earlier_text=before.text,
        )
        for (_, pause), understood, before in zip(pairs, texts, earlier, strict=True)
    }
    return [
        _grouped(clip, [answers[id(pause)] for pause in pauses]) for clip, pauses in zip(clips, silences, strict=True)
    ]


def _grouped(clip: TurnClip, pauses: Iterable[Pause]) -> ClipPauses:
    each = tuple(pauses)
    return ClipPauses(
        clip=clip.name,
        holds=tuple(pause for pause in each if not pause.is_end),
        ends=tuple(pause for pause in each if pause.is_end),
    )


def _with_unheard_holds(clip: TurnClip, pauses: ClipPauses) -> ClipPauses:
    """A hold in which the VAD hears no pause is one that no policy can cut off: it counts, too."""
    unheard = [
        Pause(
            clip=clip.name,
            language=clip.language,
            channel=clip.channel,
            is_end=False,
            turn_samples=0,
            start_samples=hold.start_samples,
            resume_samples=hold.start_samples,
            speech_end_samples=hold.start_samples,
        )
        for hold in clip.holds
        if 1000 * hold.duration_s >= MIN_PAUSE_MS
        and not any(
            pause.start_samples < hold.end_samples and hold.start_samples < pause.resume_samples
            for pause in (*pauses.holds, *pauses.ends)
        )
    ]
    return msgspec.structs.replace(pauses, holds=(*pauses.holds, *unheard))


def _heard(clip: TurnClip, pause: Pause, silence_ms: int) -> Samples:
    begin = max(0, pause.turn_samples - PRE_ROLL_SAMPLES)
    return clip.samples[begin : pause.start_samples + silence_ms * SESSION_RATE_HZ // 1000]


def _pauses(clip: TurnClip, probabilities: NDArray[np.float32]) -> list[Pause]:
    runs = voiced_runs(probabilities)
    if not runs:
        return []
    end = len(clip.samples)
    speech_end = clip.speech.end_samples if clip.speech is not None else runs[-1].end_samples
    pauses: list[Pause] = []
    for run, after in pairwise([*runs, Span(end, end)]):
        if (after.start_samples - run.end_samples) * 1000 < MIN_PAUSE_MS * SESSION_RATE_HZ:
            continue
        is_soft = after.start_samples == end and _is_soft_end(clip, run.end_samples, speech_end)
        is_end = is_soft or run.end_samples >= speech_end - _TOLERANCE_SAMPLES
        pauses.append(
            Pause(
                clip=clip.name,
                language=clip.language,
                channel=clip.channel,
                is_end=is_end,
                turn_samples=runs[0].start_samples,
                start_samples=run.end_samples,
                resume_samples=after.start_samples,
                speech_end_samples=speech_end if is_end and not is_soft else _true_end(clip, run.end_samples),
            )
        )
    return pauses


def _is_soft_end(clip: TurnClip, heard_end_samples: int, speech_end_samples: int) -> bool:
    """Whether what is left of a turn, of which nothing is heard, is no more than how a voice fades."""
    left_samples = speech_end_samples - heard_end_samples
    holds_on = any(hold.start_samples > heard_end_samples - _TOLERANCE_SAMPLES for hold in clip.holds)
    return _TOLERANCE_SAMPLES < left_samples <= _SOFT_SAMPLES and not holds_on


def _true_end(clip: TurnClip, heard_end_samples: int) -> int:
    """Where speech really ended before a pause: at the nearest hold, unless the voice itself made the pause."""
    nearest = min((hold.start_samples for hold in clip.holds), key=lambda at: abs(at - heard_end_samples), default=None)
    near = nearest is not None and abs(nearest - heard_end_samples) <= 3 * _TOLERANCE_SAMPLES
    return nearest if near and nearest is not None else heard_end_samples


def voiced_runs(probabilities: NDArray[np.float32]) -> list[Span]:
    """Stretches of voice as a session's turn core takes them: hysteresis, and no run shorter than an onset.

    Args:
        probabilities: ``float32, (n,)``, one a frame.
    """
    runs: list[Span] = []
    begun: int | None = None
    for frame, probability in enumerate([*probabilities.tolist(), 0.0]):
        if begun is None and probability >= _ON:
            begun = frame
        elif begun is not None and probability < _OFF:
            near = bool(runs) and begun * VAD_FRAME_SAMPLES - runs[-1].end_samples < _PAUSE_SAMPLES
            # Within a turn a single frame counts; after a pause, and before a turn, it takes an onset.
            if near or frame - begun >= _ONSET_FRAMES:
                runs.append(Span(begun * VAD_FRAME_SAMPLES, frame * VAD_FRAME_SAMPLES))
            begun = None
    return runs


_PAUSE_SAMPLES: Final = MIN_PAUSE_MS * SESSION_RATE_HZ // 1000
