import numpy as np
import pytest

from evals.tts.listening import clipped_runs, gaps_s


def test_audio_that_comes_before_it_is_needed_has_no_gap() -> None:
    assert gaps_s([(0.1, 0.5), (0.3, 1.0), (1.0, 1.5)]) == []


def test_a_listener_who_waits_hears_a_gap_and_goes_on_after_it() -> None:
    # 0.5 s of audio from 0.1 s on is over at 0.6 s; the next piece comes at 0.8 s and is over at 1.3 s.
    assert gaps_s([(0.1, 0.5), (0.8, 1.0), (1.35, 2.0)]) == pytest.approx([0.2, 0.05])


def test_a_silence_that_nobody_hears_is_no_gap() -> None:
    assert gaps_s([(0.0, 0.5), (0.515, 1.0)]) == []


def test_what_came_early_covers_for_what_comes_late() -> None:
    assert gaps_s([(0.0, 2.0), (1.9, 2.1), (2.11, 3.0)]) == []


def test_nothing_has_no_gaps() -> None:
    assert gaps_s([]) == []


def test_a_wave_that_is_cut_off_is_clipped_once_a_peak() -> None:
    wave = np.sin(np.linspace(0, 8 * np.pi, 4_000)).astype(np.float32)
    assert clipped_runs(np.clip(1.5 * wave, -1.0, 1.0)) == 8
    assert clipped_runs(0.9 * wave) == 0


def test_a_peak_that_touches_full_scale_is_not_clipped() -> None:
    samples = np.zeros(100, np.float32)
    samples[[10, 11, 50]] = 1.0
    assert clipped_runs(samples) == 0
    assert clipped_runs(np.zeros(0, np.float32)) == 0
