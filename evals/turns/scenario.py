"""A dialogue with a cast, a line and a device: one conversation of the simulator, ready to be held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from evals.acoustics import CHANNELS, ECHOES, Channel, at_level, background, cough, heard_through, in_room, noise_burst
from evals.recordings import Recordings
from evals.turns.cast import side_voice, user_voices
from evals.turns.corpus import rng_of
from evals.turns.dialogue import Dialogue, Intent, Split, UserLine, load
from evals.turns.play import Part, UserPart
from evals.turns.rendering import Renderer, SpokenLine
from schemas.audio import SESSION_RATE_HZ, Samples

BUFFERS_MS: Final = (0, 200, 60, 800, 400)
"""What clients buffer before they play, in turn over conversations."""
_AROUND_S: Final = 0.1
"""Silence about an utterance that goes through a channel."""
_SIDE_DB: Final = -12.0
"""People who talk elsewhere in the room, under the user's voice."""
_NOISE_DB: Final = 4.0
_ROOM_DB: Final = -60.0
"""A room is not digitally silent; under the level of speech."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a conversation will be."""

    name: str
    dialogue: Dialogue
    voice: str
    channel: Channel
    buffer_ms: int
    seed: int


class Scenario(Struct, frozen=True, kw_only=True, eq=False):
    """A conversation with all its sounds made."""

    plan: Plan
    parts: tuple[Part, ...]
    noise: Samples
    """``float32, (n,)``, 16 kHz: what the microphone hears all the time, over and over."""


def plans(split: Split, *, repeats: int = 1, seed: int = 0, languages: Sequence[str] | None = None) -> list[Plan]:
    """Conversations of a split. Any beginning of the list has many voices, channels and devices."""
    found: list[Plan] = []
    for repeat in range(repeats):
        for dialogue in load(split):
            voices = user_voices(split, dialogue.language)
            is_wanted = languages is None or dialogue.language in languages
            if not voices or not is_wanted or not dialogue.has_agent:
                continue
            place = len(found)
            found.append(
                Plan(
                    name=f"{dialogue.language}.{dialogue.name}.{repeat}",
                    dialogue=dialogue,
                    voice=voices[(place + repeat) % len(voices)],
                    channel=replace(CHANNELS[(place + repeat) % len(CHANNELS)], echo=ECHOES[place % len(ECHOES)]),
                    buffer_ms=BUFFERS_MS[place % len(BUFFERS_MS)],
                    seed=seed,
                )
            )
    return found


async def prepare(
    chosen: Sequence[Plan],
    renderer: Renderer,
    recordings: Recordings,
    advance: Callable[[], None] = lambda: None,
) -> list[Scenario]:
    """Make the sounds of conversations; ``advance`` is called after each."""
    scenarios: list[Scenario] = []
    for plan in chosen:
        split = plan.dialogue.split
        noises, rooms = recordings.noises(split), recordings.rooms(split)
        rng = rng_of(plan.seed, plan.name)
        parts = [
            UserPart(line, await _sound(line, plan, renderer, rooms, noises, rng))
            if isinstance(line, UserLine)
            else line
            for line in plan.dialogue.lines
        ]
        scenarios.append(Scenario(plan=plan, parts=tuple(parts), noise=_noise(plan, noises, rng)))
        advance()
    return scenarios


async def _sound(
    line: UserLine,
    plan: Plan,
    renderer: Renderer,
    rooms: Sequence[Samples],
    noises: Sequence[Samples],
    rng: np.random.Generator,
) -> SpokenLine:
    match line.intent:
        case Intent.COUGH:
            spoken = SpokenLine("", cough(rng))
        case Intent.NOISE:
            spoken = SpokenLine("", at_level(noise_burst(rng), _NOISE_DB))
        case Intent.SIDE:
            said = await renderer.render(line, side_voice(plan.dialogue.split, plan.voice), rng)
            heard = in_room(said.samples, rooms[int(rng.integers(len(rooms)))]) if rooms else said.samples
            spoken = replace(said, samples=at_level(heard, _SIDE_DB))
        case _:
            spoken = await renderer.render(line, plan.voice, rng)
    # Noise that never stops is the scenario's; what a line does to speech happens here.
    through = replace(plan.channel, noise_snr_db=None, bursts=False)
    around = round(_AROUND_S * SESSION_RATE_HZ)
    heard = heard_through(through, np.pad(spoken.samples, around), noises, rng)
    return replace(spoken, samples=heard[around : len(heard) - around])


def _noise(plan: Plan, noises: Sequence[Samples], rng: np.random.Generator) -> Samples:
    n = 20 * SESSION_RATE_HZ
    noise = at_level(background(n, (), rng), _ROOM_DB)
    if plan.channel.noise_snr_db is not None:
        noise += at_level(background(n, noises, rng), -plan.channel.noise_snr_db)
    if plan.channel.bursts:
        for _ in range(4):
            burst = at_level(noise_burst(rng), -rng.uniform(-5, 10))
            start = int(rng.integers(0, n - len(burst)))
            noise[start : start + len(burst)] += burst
    return noise
