from __future__ import annotations

import pytest

from engines.base import Pronunciation
from engines.espeak import marked


@pytest.mark.parametrize(
    ("ipa", "spoken"),
    [
        ("bəˈnænəz", "bənˈænəz"),
        ("bənˈænəz", "bənˈænəz"),
        ("ˈstɹɔːbɛɹi", "stɹˈɔːbɛɹi"),
        ("ˌkɒnvəˈseɪʃən", "kˌɒnvəsˈeɪʃən"),
        ("ˈæpəl", "ˈæpəl"),
        ("ˈnjuː ˈjɔːk", "njˈuː jˈɔːk"),
        ("ˈpst", "ˈpst"),
    ],
)
def test_stress_is_marked_before_the_vowel(ipa: str, spoken: str) -> None:
    assert marked("a xyz b", [Pronunciation(2, 5, ipa)], 0, 7) == f"a [[{spoken}]] b"
