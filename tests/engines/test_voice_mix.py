from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.voice_mix import format_mix, is_mix, parse_mix
from engines.voicebook import VoiceBook
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import Voice

HEART = Voice("af_heart", "kokoro", "en-US", 24_000, can_be_mixed=True)
EMMA = Voice("bf_emma", "kokoro", "en-GB", 24_000, aliases=("emma",), can_be_mixed=True)
JOE = Voice("joe", "piper", "en-US", 22_050)
OTHER = Voice("zoe", "other", "en-US", 24_000, can_be_mixed=True)


@pytest.mark.parametrize(
    ("name", "mix"),
    [
        ("af_heart:0.7+bf_emma:0.3", (("af_heart", 0.7), ("bf_emma", 0.3))),
        ("af_heart+bf_emma", (("af_heart", 0.5), ("bf_emma", 0.5))),
        ("af_heart:3 + bf_emma", (("af_heart", 0.75), ("bf_emma", 0.25))),
        ("af_heart+af_heart+bf_emma:2", (("af_heart", 0.5), ("bf_emma", 0.5))),
        ("af_heart", (("af_heart", 1.0),)),
    ],
)
def test_shares_add_up_to_one(name: str, mix: tuple[tuple[str, float], ...]) -> None:
    assert parse_mix(name) == mix


@pytest.mark.parametrize(
    "name", ["a+", "+a", "a:x+b", "a:0+b", "a:-1+b", "a:nan+b", "a:inf+b", "a:+b", ":1", "a+b+c+d+e", "+"]
)
def test_what_is_no_mix_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(SpeechError, match=r"af_heart:0\.7\+bf_emma:0\.3") as raised:
        parse_mix(name)
    assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_REQUEST, "voice")


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 100.0), min_size=2, max_size=4))
def test_a_mix_written_is_the_mix_read(weights: dict[str, float]) -> None:
    mix = parse_mix("+".join(f"{voice}:{weight}" for voice, weight in weights.items()))
    assert sum(share for _, share in mix) == pytest.approx(1.0)
    again = parse_mix(format_mix(mix))
    assert [voice for voice, _ in again] == [voice for voice, _ in mix]
    assert all(abs(one - two) < 0.01 for (_, one), (_, two) in zip(again, mix, strict=True))


def test_a_mixed_voice_has_one_name_and_the_language_of_the_heaviest() -> None:
    book = VoiceBook([HEART, EMMA, JOE])
    mixed = book["emma:3+af_heart"]
    assert mixed.id == "bf_emma:0.75+af_heart:0.25"
    assert (mixed.language, mixed.model, mixed.aliases) == ("en-GB", "kokoro", ())
    assert book["af_heart:0.1+bf_emma:0.3"] == mixed
    assert is_mix(mixed.id)


@pytest.mark.parametrize("name", ["af_heart+joe", "joe+joe:2", "af_heart+zoe"])
def test_voices_of_different_models_cannot_be_mixed(name: str) -> None:
    with pytest.raises(SpeechError, match="cannot be mixed") as raised:
        _ = VoiceBook([HEART, EMMA, JOE, OTHER])[name]
    assert raised.value.code is ErrorCode.INVALID_REQUEST


def test_a_mix_of_an_unknown_voice_names_it() -> None:
    with pytest.raises(SpeechError, match="nobody") as raised:
        _ = VoiceBook([HEART, EMMA])["af_heart+nobody"]
    assert raised.value.code is ErrorCode.UNKNOWN_VOICE
