"""How Japanese is read: Open JTalk by pyopenjtalk-plus (both under BSD and MIT licences), which says numbers too.

Kokoro's correspondences of kana to symbols are those of misaki's first reader of Japanese, which phonemised its
training texts (cutlet.py of https://github.com/hexgrad/misaki).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from engines.unspaced import Reading
from schemas.errors import ErrorCode, SpeechError

_UNREADABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|(?<![ｳｶ-ﾄﾊ-ﾎ])ﾞ|(?<![ﾊ-ﾎ])ﾟ")
"""Controls, and marks of voice without a kana, for which Open JTalk has no place."""
_ROWS: Final = """
    アイウエオ a i ɯ e o
    カキクケコ ka kʲi kɯ ke ko
    ガギグゲゴ ɡa ɡʲi ɡɯ ɡe ɡo
    サシスセソ sa ɕi sɨ se so
    ザジズゼゾ ʣa ʥi zɨ ʣe ʣo
    タチツテト ta ʨi ʦɨ te to
    ダヂヅデド da ʥi zɨ de do
    ナニヌネノ na ɲi nɯ ne no
    ハヒフヘホ ha çi ɸɯ he ho
    バビブベボ ba bʲi bɯ be bo
    パピプペポ pa pʲi pɯ pe po
    マミムメモ ma mʲi mɯ me mo
    ラリルレロ ɾa ɾʲi ɾɯ ɾe ɾo
    ヤユヨ ja jɯ jo
    ワヰヱヲ βa i e o
    ヴヷヸヹヺ vɯ va vʲi ve vo
    ヵヶ ka ke
"""
_KANA: Final = {
    kana: symbols
    for line in _ROWS.split("\n")
    if line.strip()
    for kana, symbols in zip(line.split()[0], line.split()[1:], strict=True)
}
_SMALL: Final = dict(zip("ァィゥェォャュョヮ", "a i ɯ e o a ɨ o a".split(), strict=True))
"""What a small kana makes of the vowel of the one before."""
_SMALL_ALONE: Final = dict(zip("ァィゥェォャュョヮ", "a i ɯ e o ja jɯ jo βa".split(), strict=True))
_BEFORE_SMALL: Final = dict(zip("イウクグツフテデトドヴ", "j β kᵝ ɡᵝ ʦ ɸ t d t d v".split(), strict=True))
"""The consonants of those that do not lose their vowel alone."""
_PALATAL: Final = {"ツィ": "ʦʲi", "フィ": "ɸʲi", "フュ": "ɸʲɨ", "フョ": "ɸʲo", "ティ": "tʲi", "テュ": "tʲɨ"} | {
    "ディ": "dʲi",
    "デュ": "dʲɨ",
    "ヴィ": "vʲi",
    "ヴュ": "bʲɨ",
    "ヴョ": "bʲo",
}
_NASALS: Final = {"m": "mpb", "ŋ": "kɡ", "ɲ": "ɲʨʥ", "n": "ntdɾz"}
"""What ン is before which consonant."""
_NASAL_ALONE: Final = "ɴ"
_STOP: Final = "ʔ"
_LONG: Final = "ː"


def import_openjtalk() -> Any:  # noqa: ANN401 (a module)
    """The package.

    Raises:
        SpeechError: ``missing_extra``.
    """
    try:
        import pyopenjtalk  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            "This voice needs pyopenjtalk-plus. Run: pip install 'antiphon[kokoro-ja]'",
        ) from None
    return pyopenjtalk


class JapaneseReader:
    """The words of Japanese texts, in Kokoro's symbols: nouns with their particles, verbs with their endings.

    Raises:
        SpeechError: ``missing_extra``.
    """

    def __init__(self) -> None:
        self._openjtalk = import_openjtalk()

    def __call__(self, text: str) -> list[Reading]:
        """The words that have a sound, in order."""
        words: list[Reading] = []
        was_number = False
        # Its second opinion, by Sudachi, takes 80 MB; Open JTalk asks for it all the same where it knows no reading.
        morphemes = self._openjtalk.g2p_mapping(_UNREADABLE.sub(" ", text), use_sudachi_kanji_yomi=False)
        for morpheme in morphemes:
            symbols = to_symbols(morpheme["pron"]) if morpheme["mora_count"] else ""
            is_number = morpheme["pos_group1"] == "数"
            start, end = morpheme["char_span"]
            if symbols:
                # Where a numeral's digits have become words, some of them have no span of their own.
                is_bound = morpheme["chain_flag"] == 1 or (is_number and was_number) or (words and end <= words[-1].end)
                if words and is_bound and start <= words[-1].end:
                    last = words.pop()
                    gap = "" if last.symbols.endswith(_STOP) else " "
                    words.append(Reading(last.start, max(last.end, end), f"{last.symbols}{gap}{symbols}"))
                else:
                    words.append(Reading(max(start, words[-1].end if words else 0), max(end, 1), symbols))
            was_number = is_number
        return words


def to_symbols(kana: str) -> str:
    """Kokoro's symbols for katakana as they sound; marks of what is not voiced are left out."""
    moras = list(_moras(kana))
    return "".join(
        _nasal(moras[number + 1] if number + 1 < len(moras) else "") if mora == _NASAL_ALONE else mora
        for number, mora in enumerate(moras)
    )


def _moras(kana: str) -> Iterator[str]:
    place = 0
    while place < len(kana):
        pair = kana[place : place + 2]
        place += 2
        if pair in _PALATAL:
            yield _PALATAL[pair]
        elif pair[0] in _KANA and pair[1:] in _SMALL:
            yield _BEFORE_SMALL.get(pair[0], _KANA[pair[0]][:-1]) + _SMALL[pair[1]]
        else:
            place -= len(pair) - 1
            yield _ALONE.get(pair[0], "")


def _nasal(following: str) -> str:
    for nasal, consonants in _NASALS.items():
        if following and following[0] in consonants:
            return nasal
    return _NASAL_ALONE


_ALONE: Final = {**_KANA, **_SMALL_ALONE, "ン": _NASAL_ALONE, "ッ": _STOP, "ー": _LONG}
