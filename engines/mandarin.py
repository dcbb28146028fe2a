"""How Chinese is read: words by rjieba, Pinyin by pypinyin, both under the MIT licence; numbers by Unicode CLDR.

Kokoro's correspondences of Pinyin to symbols are those of misaki's first reader of Chinese, which phonemised its
training texts (zh.py of https://github.com/hexgrad/misaki), and those are pinyin-to-ipa's
(https://github.com/stefantaubert/pinyin-to-ipa): of several the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from engines.text.numbers import MAX_CARDINAL_DIGITS, Numbers
from engines.unspaced import Reading, narrow
from schemas.errors import ErrorCode, SpeechError

_HAN: Final = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN: Final = re.compile(
    rf"(?P<han>[{_HAN}]+)"
    r"|(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?!\d)"
    r"|(?P<whole>\d+(?:,\d{3})*)(?:\.(?P<fraction>\d+))?(?P<percent>%?)"
    rf"|[^\W\d_{_HAN}]+(?:['’-][^\W\d_{_HAN}]+)*"
)
"""A run of Chinese, a time, a number or a word in other letters."""
_COUNTED: Final = re.compile("[个位本次天年种件杯条张块只名岁点]")
"""Measure words: two of what they measure are 两."""
_YEAR_DIGITS: Final = 4
_MAX_COUNT_DIGITS: Final = 7
"""Longer numbers without commas are those of telephones, orders and the like."""
_TWO: Final = 2
_TWO_DIGITS: Final = 10


def _table(pairs: str) -> dict[str, str]:
    return {pinyin: symbols for pinyin, _, symbols in (pair.partition(":") for pair in pairs.split())}


_INITIALS: Final = _table(
    "b:p p:pʰ m:m f:f d:t t:tʰ n:n l:l g:k k:kʰ h:x j:ʨ q:ʨʰ x:ɕ zh:ꭧ ch:ꭧʰ sh:ʂ r:ɻ z:ʦ c:ʦʰ s:s"
)
_FINALS: Final = _table(
    "a:a0 ai:ai0 an:a0n ang:a0ŋ ao:au0 e:ɤ0 ei:ei0 en:ə0n eng:ə0ŋ er:ɚ0 o:wo0 ong:ʊ0ŋ ou:ou0 "
    "i:i0 ia:ja0 ian:jɛ0n iang:ja0ŋ iao:jau0 ie:je0 in:i0n ing:i0ŋ io:jɔ0 iong:jʊ0ŋ iou:jou0 "
    "u:u0 ua:wa0 uai:wai0 uan:wa0n uang:wa0ŋ uei:wei0 uen:wə0n ueng:wə0ŋ uo:wo0 "
    "v:y0 ve:ɥe0 van:ɥɛ0n vn:y0n"
)
"""The tone stands at the 0."""
_AFTER_SIBILANTS: Final = "ɨ0"
"""The final of zhi, chi, shi, ri, zi, ci and si."""
_SIBILANTS: Final = frozenset("zh ch sh r z c s".split())
_BARE: Final = {"o": "ɔ0"}
"""Finals that are others without an initial."""
_UNWRITTEN: Final = {"嗯": "ə↘n"}
"""Interjections without initial or final."""
_TONES: Final = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}


def import_pinyin() -> tuple[Any, Any]:
    """Rjieba and pypinyin.

    Raises:
        SpeechError: ``missing_extra``.
    """
    try:
        import pypinyin  # noqa: PLC0415 (an extra)
        import rjieba  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            "This voice needs rjieba and pypinyin. Run: pip install 'antiphon[kokoro-zh]'",
        ) from None
    return rjieba, pypinyin


class MandarinReader:
    """The words of Chinese texts, in Kokoro's symbols.

    Args:
        foreign: The symbols of a word in Latin letters.

    Raises:
        SpeechError: ``missing_extra``.
    """

    def __init__(self, foreign: Callable[[str], str]) -> None:
        self._rjieba, self._pypinyin = import_pinyin()
        self._foreign = foreign
        self._numbers = Numbers("zh")

    def __call__(self, text: str) -> list[Reading]:
        """The words that have a sound, in order."""
        plain = narrow(text)
        return [word for match in _TOKEN.finditer(plain) for word in self._words(match) if word.symbols]

    def _words(self, match: re.Match[str]) -> Iterator[Reading]:
        if match["han"]:
            for word, start, end in self._rjieba.tokenize(match["han"]):
                yield Reading(match.start() + start, match.start() + end, self._symbols(word))
            return
        said = self._time(match) if match["hour"] else self._number(match) if match["whole"] else None
        yield Reading(*match.span(), self._foreign(match[0]) if said is None else self._symbols(said))

    def _time(self, match: re.Match[str]) -> str:
        hour, minute = int(match["hour"]), int(match["minute"])
        minutes = "整" if minute == 0 else f"{'零' if minute < _TWO_DIGITS else ''}{self._numbers.cardinal(minute)}分"
        return f"{'两' if hour == _TWO else self._numbers.cardinal(hour)}点{minutes}"

    def _number(self, match: re.Match[str]) -> str:
        whole, fraction = match["whole"].replace(",", ""), match["fraction"]
        rest = match.string[match.end() : match.end() + 1]
        if (
            len(whole) > MAX_CARDINAL_DIGITS
            or _is_code(match["whole"])
            or (len(whole) == _YEAR_DIGITS and rest == "年")
        ):
            said = "".join(self._numbers.cardinal(int(digit)) for digit in whole)
        elif int(whole) == _TWO and not fraction and _COUNTED.match(rest):
            said = "两"
        else:
            said = self._numbers.cardinal(int(whole))
        if fraction:
            said += "点" + "".join(self._numbers.cardinal(int(digit)) for digit in fraction)
        return f"百分之{said}" if match["percent"] else said

    def _symbols(self, word: str) -> str:
        """Of Chinese characters; those without a reading are left out."""
        initials, finals = (
            self._pypinyin.lazy_pinyin(word, style=style, neutral_tone_with_five=True)
            for style in (self._pypinyin.Style.INITIALS, self._pypinyin.Style.FINALS_TONE3)
        )
        if len(initials) != len(word) or len(finals) != len(word):
            return ""
        return "".join(map(_syllable, word, initials, finals))


def _is_code(digits: str) -> bool:
    """Whether digits are read one by one, as of a telephone number."""
    return (len(digits) > 1 and digits.startswith("0")) or (len(digits) > _MAX_COUNT_DIGITS and "," not in digits)


def _syllable(character: str, initial: str, final: str) -> str:
    plain, tone = final[:-1], final[-1:]
    if initial in _SIBILANTS and plain == "i":
        written = _AFTER_SIBILANTS
    elif not initial and plain in _BARE:
        written = _BARE[plain]
    else:
        written = _FINALS.get(plain, "")
    if not written:
        return _UNWRITTEN.get(character, "")
    return _INITIALS.get(initial, "") + written.replace("0", _TONES.get(tone, ""))
