import numpy as np
import pytest

from evals.acoustics import speech_level
from evals.robustness.degradations import Degradation, families, made_up_room, reverberation_s
from schemas.audio import SESSION_RATE_HZ, Samples


def speech() -> Samples:
    t = np.arange(2 * SESSION_RATE_HZ) / SESSION_RATE_HZ
    return (0.1 * np.sin(2 * np.pi * 440 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)


WAYS = [(family.name, one) for family in families((), ()) for one in family.degradations]


def damaged(degradation: Degradation) -> Samples:
    return degradation.damage(speech(), np.random.default_rng(3))


@pytest.mark.parametrize(("name", "degradation"), WAYS, ids=[f"{name} {one.label}" for name, one in WAYS])
def test_speech_is_made_worse_within_full_scale_and_alike_each_time(name: str, degradation: Degradation) -> None:
    out = damaged(degradation)
    assert out.dtype == np.float32
    assert np.abs(out).max() <= 1.0
    assert np.array_equal(out, damaged(degradation))
    assert name == "speed" or len(out) == len(speech())
    assert name == "speed" or not np.allclose(out, speech(), atol=1e-3)


def test_strengths_are_in_order() -> None:
    by_name = {family.name: family for family in families((), ())}
    noise = [float(np.mean((damaged(one) - speech()) ** 2)) for one in by_name["noise"].degradations]
    assert noise == sorted(noise)
    clipped = [float(np.mean(np.abs(damaged(one)) > 0.97)) for one in by_name["clipping"].degradations]
    assert clipped == sorted(clipped)
    assert clipped[0] > 0.1
    levels = [20 * np.log10(speech_level(damaged(one))) for one in by_name["level"].degradations]
    assert levels == pytest.approx([-40, -55, -70], abs=1.5)


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0])
def test_the_reverberation_time_of_a_room_is_found(seconds: float) -> None:
    room = made_up_room(seconds, np.random.default_rng(0))
    assert reverberation_s(np.pad(room, (500, 0))) == pytest.approx(seconds, rel=0.25)


def test_recorded_rooms_take_the_place_of_made_up_ones() -> None:
    rooms = [made_up_room(seconds, np.random.default_rng(9)) for seconds in (0.9, 0.2)]
    (family,) = (family for family in families((), rooms) if family.name == "room")
    first, second = (float(one.label.removesuffix(" s")) for one in family.degradations)
    assert first < 0.35 < second
