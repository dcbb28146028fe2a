from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from engines.phoneme_cache import PhonemeCache


class Phonemiser:
    """A sentence is what stands before a full stop, a phoneme is a letter."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, text: str) -> list[list[str]]:
        self.asked[text] += 1
        return [list(sentence) for sentence in text.split(".") if sentence]


def test_a_text_is_phonemised_once() -> None:
    phonemiser = Phonemiser()
    cache = PhonemeCache(phonemiser)
    assert cache("ab.c") == cache("ab.c") == (("a", "b"), ("c",))
    assert cache("ab") == (("a", "b"),)
    assert phonemiser.asked == {"ab.c": 1, "ab": 1}


def test_what_was_used_longest_ago_makes_room() -> None:
    phonemiser = Phonemiser()
    cache = PhonemeCache(phonemiser, max_bytes=2_000)
    for number in range(10):
        cache("hello")
        cache(str(number))
    cache("0")
    assert phonemiser.asked["hello"] == 1
    assert phonemiser.asked["0"] == 2


def test_a_text_larger_than_the_cache_is_phonemised_all_the_same() -> None:
    phonemiser = Phonemiser()
    cache = PhonemeCache(phonemiser, max_bytes=2_000)
    assert cache("a" * 500) == (("a",) * 500,)
    assert cache.size_bytes == 0


@given(st.lists(st.text("ab.", max_size=120), max_size=80))
def test_it_never_holds_more_than_it_may_and_never_mixes_texts_up(texts: list[str]) -> None:
    cache = PhonemeCache(Phonemiser(), max_bytes=5_000)
    for text in texts:
        assert "".join("".join(sentence) for sentence in cache(text)) == text.replace(".", "")
        assert cache.size_bytes <= 5_000


def test_many_threads_may_ask_at_once() -> None:
    cache = PhonemeCache(Phonemiser(), max_bytes=3_000)
    texts = [str(number % 20) for number in range(2_000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(cache, texts)) == [((*text,),) for text in texts]
