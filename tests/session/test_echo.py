"""The agent's voice in the user's microphone: real speech, played back through delays, gains and rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.silero import SileroVad
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from schemas.sessions import TurnSettings
from session.audio_buffer import AudioBuffer
from session.echo import EchoDetector
from session.turn import step
from session.turn_actions import CancelSpeech, PauseItem, TurnAction
from session.turn_events import ItemAudible, SayRequested, VadFrame
from session.turn_state import TurnState, samples_of_ms

Recording = Callable[[str], Samples]

AGENT_S: Final = 9
USER_FROM_MS: Final = 5_000
SETTLED_MS: Final = 700
PATHS: Final = {
    "a loudspeaker beside the microphone": (0.0, 0.0),
    "a laptop in a room": (0.05, 0.3),
    "a loudspeaker across a living room": (0.12, 0.4),
}
"""Loudness of the reverberation in each sample, by that of the direct sound, and its reverberation time in seconds."""


@pytest.fixture(scope="module")
def agent(recording: Recording) -> Samples:
    speech = np.concatenate([recording(f"ljspeech/LJ001-000{number}.flac") for number in (1, 2)])
    return _normal(speech[: AGENT_S * SESSION_RATE_HZ])


@pytest.fixture(scope="module")
def user(recording: Recording) -> Samples:
    return _normal(recording("fleurs/fleurs-en-000.ogg")[SESSION_RATE_HZ : 3 * SESSION_RATE_HZ])


def _normal(samples: Samples) -> Samples:
    return (0.05 * samples / np.sqrt(np.mean(samples**2))).astype(np.float32)


def _played(agent: Samples, path: str, *, delay_ms: int, gain_db: float) -> Samples:
    """What the microphone hears of the agent."""
    loudness, reverberation_s = PATHS[path]
    random = np.random.default_rng(3)
    response = np.array([1.0])
    if reverberation_s:
        time_s = np.arange(int(0.3 * SESSION_RATE_HZ)) / SESSION_RATE_HZ
        response = loudness * random.standard_normal(len(time_s)) * 10 ** (-3 * time_s / reverberation_s)
        response[0] = 1.0
        response = np.convolve(response, [0.2, 0.3, 0.3, 0.2])  # of a small loudspeaker
    echo = np.convolve(agent, response)[: len(agent)]
    echo *= 10 ** (gain_db / 20) * np.sqrt(np.mean(agent**2) / np.mean(echo**2))
    heard = np.concatenate((np.zeros(samples_of_ms(delay_ms)), echo, np.zeros(SESSION_RATE_HZ)))
    return (heard + 1e-4 * random.standard_normal(len(heard))).astype(np.float32)


def _frames(samples: Samples) -> Samples:
    return samples[: len(samples) // VAD_FRAME_SAMPLES * VAD_FRAME_SAMPLES].reshape(-1, VAD_FRAME_SAMPLES)


def _explained(agent: Samples, microphone: Samples) -> Samples:
    detector = EchoDetector()
    detector.sent(agent)
    return np.array([detector.explained(frame) for frame in _frames(microphone)], np.float32)


def _energy(frames: Samples) -> Samples:
    return np.einsum("fs,fs->f", frames, frames) / np.float32(frames.shape[1])


def _ms(frames: Samples) -> NDArray[np.int_]:
    return np.arange(len(frames)) * 1000 * VAD_FRAME_SAMPLES // SESSION_RATE_HZ


@pytest.mark.parametrize("delay_ms", [20, 300, 1_100])
@pytest.mark.parametrize("gain_db", [-3.0, -20.0])
@pytest.mark.parametrize("path", PATHS)
def test_echo_is_explained_and_the_user_over_it_is_not(
    agent: Samples, user: Samples, path: str, gain_db: float, delay_ms: int
) -> None:
    echo = _played(agent, path, delay_ms=delay_ms, gain_db=gain_db)
    explained, frames = _explained(agent, echo), _frames(echo)
    is_loud = (_energy(frames) > 0.05 * np.mean(echo**2)) & (_ms(frames) > delay_ms + SETTLED_MS)
    assert np.mean(explained[is_loud] >= 0.5) >= 0.8

    both = echo.copy()
    spoken = 10 ** (gain_db / 20) * user  # as loud as the echo
    first = samples_of_ms(USER_FROM_MS)
    both[first : first + len(spoken)] += spoken
    explained, frames = _explained(agent, both), _frames(both)
    alone = np.zeros_like(both)
    alone[first : first + len(spoken)] = spoken
    is_users = _energy(_frames(alone)) > 0.6 * _energy(frames)
    assert np.sum(is_users) > 10
    assert np.mean(explained[is_users] < 0.5) >= 0.6


@pytest.mark.parametrize("path", PATHS)
def test_what_is_recognised_has_less_echo_and_the_user_still(agent: Samples, user: Samples, path: str) -> None:
    echo = _played(agent, path, delay_ms=250, gain_db=-6)
    spoken = np.zeros_like(echo)
    first = samples_of_ms(USER_FROM_MS)
    spoken[first : first + len(user)] = user
    both = echo + spoken
    cleaned = _without_echo(agent, both)
    settled = samples_of_ms(SETTLED_MS + 250)
    before_user = slice(settled, first)
    assert np.mean(cleaned[before_user] ** 2) < 0.1 * np.mean(both[before_user] ** 2)
    over = slice(first, first + len(user))
    assert _likeness_db(cleaned[over], spoken[over]) > _likeness_db(both[over], spoken[over]) + 3


def test_audio_without_an_echo_is_recognised_as_it_came(agent: Samples, user: Samples) -> None:
    microphone = np.concatenate((np.zeros(2 * SESSION_RATE_HZ, np.float32), user))
    assert np.array_equal(_without_echo(agent, microphone), microphone[: len(_frames(microphone)) * VAD_FRAME_SAMPLES])


def _without_echo(agent: Samples, microphone: Samples) -> Samples:
    """What would be recognised of it."""
    detector = EchoDetector()
    detector.sent(agent)
    audio = AudioBuffer()
    for frame in _frames(microphone):
        detector.explained(frame)
        audio.append(frame, before=detector.without_echo)
    return audio.read(0, audio.end)


def _likeness_db(heard: Samples, meant: Samples) -> float:
    """How much of what was heard is what was meant, whatever its loudness (SI-SDR)."""
    wanted = np.dot(heard, meant) / np.dot(meant, meant) * meant
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((heard - wanted) ** 2)))


def test_without_an_echo_nothing_is_explained_and_after_a_while_it_is_known(agent: Samples, user: Samples) -> None:
    random = np.random.default_rng(5)
    microphone = np.concatenate((np.zeros(5 * SESSION_RATE_HZ), user, np.zeros(SESSION_RATE_HZ)))
    microphone = (microphone + 1e-3 * random.standard_normal(len(microphone))).astype(np.float32)
    detector = EchoDetector()
    detector.sent(agent)
    frames = _frames(microphone)
    explained = [detector.explained(frame) for frame in frames[:60]]
    assert not detector.is_known
    explained += [detector.explained(frame) for frame in frames[60:]]
    assert detector.is_known
    assert np.mean(np.array(explained) >= 0.5) < 0.02


def test_nothing_is_computed_while_the_agent_has_been_silent_for_long(user: Samples) -> None:
    detector = EchoDetector()
    assert not any(detector.explained(frame) for frame in _frames(user))
    assert not detector.has_echo


def test_a_pause_of_the_loudspeaker_and_what_comes_after_it_are_followed(agent: Samples) -> None:
    whole = _frames(_played(agent, "a laptop in a room", delay_ms=100, gain_db=-10))
    detector = EchoDetector()
    detector.sent(agent)
    before = [detector.explained(frame) for frame in whole[:60]]
    detector.paused()
    quiet = np.zeros_like(whole[:20]) + np.float32(1e-5)
    for frame in quiet:
        detector.explained(frame)
    detector.resumed()
    detector.sent(agent[40 * VAD_FRAME_SAMPLES :])  # from a word before
    after = [detector.explained(frame) for frame in whole[40:120]]
    assert np.median(before[20:]) > 0.5
    assert np.median(after[20:]) > 0.5


@pytest.fixture(scope="module")
def vad(model_dir: Callable[[str], Path]) -> Iterator[SileroVad]:
    engine = SileroVad(model_dir("silero-vad-v6"))
    yield engine
    engine.close()


def _actions(vad: SileroVad, agent: Samples, microphone: Samples) -> list[tuple[int, TurnAction]]:
    """What the turn core wants while the agent speaks, and when, in milliseconds."""
    settings = TurnSettings()
    detector = EchoDetector()
    detector.sent(agent)
    turn, _ = step(TurnState(), SayRequested("item_1"), settings)
    turn, _ = step(turn, ItemAudible("item_1"), settings)
    state = vad.initial_state()
    found: list[tuple[int, TurnAction]] = []
    for number, frame in enumerate(_frames(microphone)):
        ((probability,),), (state,) = vad.score(frame[None, None], [state])
        share = detector.explained(frame)
        turn, actions = step(turn, VadFrame(float(probability), share if detector.is_known else None), settings)
        at_ms = number * 1000 * VAD_FRAME_SAMPLES // SESSION_RATE_HZ
        found += [(at_ms, action) for action in actions]
    return found


@pytest.mark.real
@pytest.mark.parametrize("path", PATHS)
def test_the_agent_is_not_stopped_by_its_echo_and_is_by_an_interruption_over_it(
    vad: SileroVad, agent: Samples, user: Samples, path: str
) -> None:
    echo = _played(agent, path, delay_ms=250, gain_db=-6)
    assert not [at_ms for at_ms, action in _actions(vad, agent, echo) if isinstance(action, CancelSpeech)]
    first = samples_of_ms(USER_FROM_MS)
    echo[first : first + len(user)] += user * np.float32(1.5)
    paused = [at_ms for at_ms, action in _actions(vad, agent, echo) if isinstance(action, PauseItem)]
    assert any(USER_FROM_MS <= at_ms <= USER_FROM_MS + 1_500 for at_ms in paused)
