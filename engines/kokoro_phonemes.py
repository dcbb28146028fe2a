"""What Kokoro is told to say: its symbols, made of espeak-ng's phonemes.

Kokoro writes the diphthongs and affricates of its training as one letter each and does not tell apart what speakers do
not. The correspondences are those of misaki, which phonemised its training texts (EN_PHONES.md and espeak.py of
https://github.com/hexgrad/misaki); the symbols are those of the ``config.json`` of Kokoro-82M.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_NUMBERED: Final = {
    1: ";:,.!?",
    9: '—…"()“” \u0303ʣʥʦʨᵝꭧAI',
    31: "O",
    33: "Q",
    35: "ST",
    39: "W",
    41: "Yᵊabcdef",
    50: "hijklmnopqrstuvwxyzɑɐɒæ",
    75: "βɔɕç",
    80: "ɖðʤə",
    85: "ɚɛɜ",
    90: "ɟ",
    92: "ɡ",
    99: "ɥ",
    101: "ɨɪʝ",
    110: "ɯɰŋɳɲɴø",
    118: "ɸθœ",
    123: "ɹ",
    125: "ɾɻ",
    128: "ʁɽʂʃʈʧ",
    135: "ʊʋ",
    138: "ʌɣɤ",
    142: "χʎ",
    147: "ʒʔ",
    156: "ˈˌː",
    162: "ʰ",
    164: "ʲ",
    169: "↓",
    171: "→↗↘",
    177: "ᵻ",
}
SYMBOLS: Final = {symbol: first + number for first, run in _NUMBERED.items() for number, symbol in enumerate(run)}
"""The number of each symbol. 0 stands before and after all of them."""

ESPEAK_VOICES: Final = {
    "en-US": "en-us",
    "en-GB": "en-gb-x-rp",
    "es": "es",
    "fr": "fr",
    "hi": "hi",
    "it": "it",
    "pt-BR": "pt-br",
}
"""The languages Kokoro speaks that espeak-ng phonemises as its training did, with espeak-ng's names for them. Japanese
and Chinese are not among these: :mod:`engines.japanese` and :mod:`engines.mandarin` read them."""

_EVERYWHERE: Final = (("dʒ", "ʤ"), ("tʃ", "ʧ"), ("dz", "ʣ"), ("ts", "ʦ"), ("g", "ɡ"), ("\u0329", ""), ("\u032a", ""))
_ENGLISH: Final = (
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("eɪ", "A"),
    ("ɔɪ", "Y"),
    ("ʔˌn\u0329", "tᵊn"),
    ("ʔn\u0329", "tᵊn"),
    ("ʔn", "tᵊn"),
    ("əl", "ᵊl"),
    ("ʔ", "t"),
    ("n\u0329", "ᵊn"),
    ("l\u0329", "ᵊl"),
    ("\u0329", ""),
    ("\u0303", ""),
    ("ʲ", ""),
    ("ɬ", "l"),
    ("x", "k"),
    ("ç", "k"),
    ("r", "ɹ"),
    ("g", "ɡ"),
)
_AMERICAN: Final = (
    *_ENGLISH,
    ("oʊ", "O"),
    ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("ɐ", "ə"),
    ("ɪə", "iə"),
    ("ɾ", "T"),
    ("e", "A"),
    ("ː", ""),
)
_BRITISH: Final = (*_ENGLISH, ("əʊ", "Q"), ("oʊ", "Q"), ("eə", "ɛː"), ("iə", "ɪə"), ("ɚ", "ə"), ("e", "ɛ"), ("ɾ", "t"))

_SIBILANTS: Final = (("tɕ", "ʨ"), ("dʑ", "ʥ"), ("ʑ", "ʥ"), ("r", "ɾ"))
_TONES: Final = (
    *(("˨˩˦", "↓"), ("˧˩˧", "↓"), ("˨˩˩", "↓"), ("˥˩", "↘"), ("˥˧", "↘"), ("˧˥", "↗"), ("˨˩", "↓"), ("˥˥", "→")),
    *(("˥", "→"), ("˦", "→"), ("˧", "→"), ("˨", "↓"), ("˩", "↓")),
)
_MANDARIN: Final = (("tʂ", "ꭧ"), ("ʈʂ", "ꭧ"), ("ʐ", "ɻ"), ("ɚ̯", "ɚ"), *_SIBILANTS, *_TONES, *_EVERYWHERE)

_REPLACED: Final = {"en-US": _AMERICAN, "en-GB": _BRITISH, "ja": (*_SIBILANTS, *_EVERYWHERE), "zh": _MANDARIN}
_PATTERNS: Final = {
    language: re.compile("|".join(re.escape(old) for old, _ in _REPLACED.get(language, _EVERYWHERE)))
    for language in (*ESPEAK_VOICES, "ja", "zh")
}


def to_symbols(ipa: str, language: str) -> str:
    """Kokoro's symbols for phonemes of espeak-ng; what it has no symbol for is left out.

    Args:
        ipa: Phonemes and punctuation, with stress marks; for Chinese with tones in the letters of Chao.
        language: One of :data:`ESPEAK_VOICES`, ``ja`` or ``zh``.
    """
    replaced = dict(_REPLACED.get(language, _EVERYWHERE))
    # At each place the first of the list that fits: longer ones stand before their parts.
    text = unicodedata.normalize("NFD", ipa)
    text = _PATTERNS[language].sub(lambda found: replaced[found[0]], text)
    return "".join(symbol for symbol in text.replace("c\u0327", "ç") if symbol in SYMBOLS)
