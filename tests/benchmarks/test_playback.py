"""The simulated loudspeaker, the sentences, and histograms read back."""

from __future__ import annotations

import math

import pytest

from benchmarks.antiphon_server import histogram, quantile_of
from benchmarks.http_client import Reply
from benchmarks.playback import Playback, played
from benchmarks.sentences import sentences


def test_audio_that_comes_in_time_plays_without_a_gap() -> None:
    assert played([(0.1, 0.5), (0.5, 1.0), (1.0, 2.0)]) == Playback(0, 0.0)


def test_a_late_piece_is_a_gap_and_delays_what_follows() -> None:
    found = played([(0.0, 0.5), (0.8, 1.0), (1.2, 1.5)])
    assert found.gaps == 1
    assert found.silent_s == pytest.approx(0.3)


def test_nothing_cannot_be_played() -> None:
    with pytest.raises(ValueError, match="nothing to play"):
        played([])


def test_no_sentence_comes_twice() -> None:
    found = list(sentences())
    assert len(found) == len(set(found)) > 300
    assert all(60 < len(one) < 110 for one in found)


EXPOSITION = """# TYPE lag histogram
lag_bucket{le="0.001"} 10.0
lag_bucket{le="0.01"} 99.0
lag_bucket{le="+Inf"} 100.0
other_bucket{le="1.0"} 7.0
"""


def test_quantiles_of_a_histogram_are_read_from_what_it_counted_in_between() -> None:
    after = histogram(EXPOSITION, "lag")
    assert after == {0.001: 10, 0.01: 99, math.inf: 100}
    assert quantile_of({}, after, 0.1) == pytest.approx(0.001)
    assert quantile_of({}, after, 0.999) == 0.01
    assert quantile_of({0.001: 10.0, 0.01: 10.0, math.inf: 10.0}, after, 0.5) == pytest.approx(0.001 + 0.009 * 45 / 89)


def test_a_histogram_that_counted_nothing_has_no_quantiles() -> None:
    after = histogram(EXPOSITION, "lag")
    assert quantile_of(after, after, 0.5) is None
    assert quantile_of({}, {}, 0.5) is None


def test_a_reply_knows_when_each_byte_was_there() -> None:
    reply = Reply(status=200, body=b"x" * 50, arrivals=((0.1, 20), (0.3, 50)))
    assert (reply.arrived_s(20), reply.arrived_s(21), reply.took_s) == (0.1, 0.3, 0.3)
    with pytest.raises(ValueError, match="not 51"):
        reply.arrived_s(51)


def test_an_error_is_not_taken_for_a_result() -> None:
    with pytest.raises(RuntimeError, match="HTTP 503: busy"):
        Reply(status=503, body=b"busy", arrivals=()).checked()
