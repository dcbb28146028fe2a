"""Who speaks in a dialogue: no voice of the calibration split is heard in the test split."""

from __future__ import annotations

from typing import Final

from evals.turns.dialogue import Split

AGENT_VOICE: Final = "en_US-joe-medium"
"""Of the agent, in every dialogue; nothing is measured on what it says but how much of it was heard."""

_VOICES: Final[dict[Split, dict[str, tuple[str, ...]]]] = {
    Split.CALIBRATION: {
        "en": (
            *("af_heart", "am_michael", "bf_emma", "am_adam", "af_bella", "bm_george", "af_kore", "am_echo"),
            *("af_alloy", "am_eric", "bf_alice", "am_liam", "af_aoede", "bm_fable", "af_jessica", "am_onyx"),
            *("bf_lily", "af_nicole", "af_river", "am_santa"),
        ),
        "es": ("ef_dora", "em_santa"),
        "pt": ("pf_dora", "pm_santa"),
    },
    Split.TEST: {
        "en": ("af_sarah", "am_puck", "bf_isabella", "am_fenrir", "af_nova", "bm_lewis", "af_sky", "bm_daniel"),
        "es": ("em_alex",),
        "fr": ("ff_siwis",),
        "pt": ("pm_alex",),
    },
}
"""Kokoro's. It has one French voice and no German one: German is measured on recordings only."""


def user_voices(split: Split, language: str) -> tuple[str, ...]:
    """Voices that may speak for the user; empty for a language the split does not have."""
    return _VOICES[split].get(language, ())


def side_voice(split: Split, user_voice: str) -> str:
    """Who talks in the background: another voice of the same split."""
    voices = _VOICES[split]["en"]
    place = voices.index(user_voice) if user_voice in voices else 0
    return voices[(place + len(voices) // 2) % len(voices)]
