"""What is read from ``/metrics``."""

from __future__ import annotations

import pytest

from benchmarks.antiphon_server import histogram, quantile_of, total_of

EXPOSITION = """\
# TYPE lag histogram
lag_bucket{le="0.001"} 60.0
lag_bucket{le="0.01"} 90.0
lag_bucket{le="+Inf"} 100.0
service_seconds_sum{model="a"} 1.5
service_seconds_sum{model="ab"} 2.5
"""


def test_a_total_is_that_of_the_series_named() -> None:
    assert total_of(EXPOSITION, 'service_seconds_sum{model="a"}') == 1.5


def test_a_series_that_is_not_shown_is_named() -> None:
    with pytest.raises(RuntimeError, match="service_seconds_sum"):
        total_of(EXPOSITION, 'service_seconds_sum{model="b"}')


def test_quantiles_of_a_histogram_are_linear_within_a_bucket() -> None:
    found = histogram(EXPOSITION, "lag")
    assert quantile_of({}, found, 0.75) == pytest.approx(0.0055)
    assert quantile_of({}, found, 0.99) == 0.01  # beyond the last bound nothing is known
    assert quantile_of(found, found, 0.5) is None
