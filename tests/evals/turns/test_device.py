import numpy as np

from evals.turns.device import Coverage, Device, Played, coverage
from schemas.audio import SESSION_RATE_HZ, Samples

MS = SESSION_RATE_HZ // 1000


def ramp(start_ms: int, duration_ms: int) -> Samples:
    """Samples that say where in the item they are."""
    return np.arange(start_ms * MS, (start_ms + duration_ms) * MS, dtype=np.float32)


def play(device: Device, ms: int) -> Samples:
    return np.concatenate([device.play(20 * MS) for _ in range(ms // 20)])


def test_audio_waits_in_the_buffer_before_it_is_first_played() -> None:
    device = Device(buffer_ms=100)
    device.push("a", 0, ramp(0, 200))
    assert not np.any(play(device, 100))
    assert np.array_equal(play(device, 100), ramp(0, 100))
    assert device.position_ms("a") == 100


def test_what_is_flushed_is_never_played() -> None:
    device = Device(buffer_ms=0)
    device.push("a", 0, ramp(0, 200))
    play(device, 60)
    assert device.flush("a") == 60
    device.push("a", 200, ramp(200, 100))
    assert not np.any(play(device, 100))
    assert coverage(device.played, "a") == Coverage(60 * MS, 0, 0)


def test_a_pause_keeps_what_waits_and_a_resumed_item_goes_on_where_it_is_sent_again() -> None:
    device = Device(buffer_ms=0)
    device.push("a", 0, ramp(0, 300))
    play(device, 100)
    assert device.pause("a") == 100
    assert not np.any(play(device, 60))
    device.resume("a", 80)
    device.push("a", 80, ramp(80, 220))
    assert np.array_equal(play(device, 220), ramp(80, 220))
    assert coverage(device.played, "a") == Coverage(300 * MS, 0, 20 * MS)


def test_a_resumed_item_without_a_position_goes_on_with_what_waits() -> None:
    device = Device(buffer_ms=0)
    device.push("a", 0, ramp(0, 100))
    device.duck("a", -20.0)
    assert np.allclose(play(device, 40), ramp(0, 40) * 0.1)
    device.resume("a", None)
    assert np.array_equal(play(device, 60), ramp(40, 60))


def test_what_was_skipped_is_lost() -> None:
    played = [Played("a", 0, 0, 100, 1.0), Played("a", 100, 150, 50, 1.0), Played("b", 150, 0, 10, 1.0)]
    assert coverage(played, "a") == Coverage(150, 50, 0)


def test_items_play_one_after_the_other() -> None:
    device = Device(buffer_ms=0)
    device.push("a", 0, ramp(1, 30))
    device.push("b", 0, ramp(1, 30))
    play(device, 80)
    assert [one.item_id for one in device.played] == ["a", "b"]
    assert device.is_silent


def test_offsets_rounded_to_milliseconds_are_no_gaps() -> None:
    device = Device(buffer_ms=0)
    device.push("a", 0, np.ones(1_601, np.float32))
    device.push("a", 100, np.ones(1_599, np.float32))
    play(device, 220)
    assert coverage(device.played, "a") == Coverage(3_200, 0, 0)
