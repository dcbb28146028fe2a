"""Which voice a name means."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final

from msgspec import structs

from engines.names import quoted, some
from engines.voice_mix import format_mix, is_mix, parse_mix
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import Voice

OPENAI_VOICES: Final = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
"""The voices of OpenAI's speech API, which its clients ask for by name."""


class VoiceBook:
    """The installed voices by id and alias.

    OpenAI's names are dealt out in turn, in the order of :data:`OPENAI_VOICES`, to the voices that speak the default
    voice's language: a client that asks for ``alloy`` expects its own language. A name that is the id or alias of an
    installed voice already stays with that, and one that the default's model calls a voice by (Kokoro has an ``alloy``)
    reaches that voice.

    Args:
        voices: The installed ones; the first is the default.
        default: The id of another default.

    Raises:
        SpeechError: ``invalid_setting`` if the default is none of the voices.
    """

    def __init__(self, voices: Sequence[Voice], default: str | None = None) -> None:
        ordered = sorted(voices, key=lambda voice: voice.id != default)
        if default is not None and (not ordered or ordered[0].id != default):
            known = some([voice.id for voice in voices])
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                f"The default voice {quoted(default)} is not installed. There is: {known}.",
                param="voice",
            )
        self.voices = _with_openai_names(ordered)
        """The default first."""

    def of(self, tenant: str | None) -> VoiceBook:
        """What a tenant may speak with; ``None`` sees everything."""
        if tenant is None or all(voice.tenant is None for voice in self.voices):
            return self
        book = copy(self)
        book.voices = tuple(voice for voice in self.voices if voice.tenant in {None, tenant})
        return book

    def __getitem__(self, id_or_alias: str | None) -> Voice:
        """The voice of that id or alias, or mixed of some; of ``None``, the default.

        Raises:
            SpeechError: ``unknown_voice``, ``invalid_request`` for a mix that cannot be made, or
                ``model_not_installed`` if there is no voice at all.
        """
        if not self.voices:
            raise SpeechError(
                ErrorCode.MODEL_NOT_INSTALLED,
                "No synthesis model is installed. Run: antiphon models pull --default",
            )
        if id_or_alias is None:
            return self.voices[0]
        for voice in self.voices:
            if id_or_alias == voice.id or id_or_alias in voice.aliases:
                return voice
        if is_mix(id_or_alias):
            return self._mixed(id_or_alias)
        known = some([voice.id for voice in self.voices])
        raise SpeechError(
            ErrorCode.UNKNOWN_VOICE, f"There is no voice {quoted(id_or_alias)}. There is: {known}.", param="voice"
        )

    def _mixed(self, name: str) -> Voice:
        """A voice of its own, with the language of the one that weighs most."""
        mix = sorted(((self[part], share) for part, share in parse_mix(name)), key=lambda part: -part[1])
        first = mix[0][0]
        for voice, _ in mix:
            if not voice.can_be_mixed or voice.model != first.model:
                raise SpeechError(
                    ErrorCode.INVALID_REQUEST,
                    f"The voice {voice.id} cannot be mixed with {first.id}. Voices are mixed within one model, if they "
                    "can be: GET /v1/audio/voices says which.",
                    param="voice",
                )
        mixed = format_mix(tuple((voice.id, share) for voice, share in mix))
        return structs.replace(first, id=mixed, name=mixed, aliases=())


def _with_openai_names(voices: Sequence[Voice]) -> tuple[Voice, ...]:
    if not voices:
        return ()
    language = _primary(voices[0])
    speakers = [voice.id for voice in voices if _primary(voice) == language and voice.tenant is None] or [voices[0].id]
    taken = {name for voice in voices for name in (voice.id, *voice.aliases)}
    named = {voice.name: voice.id for voice in voices if voice.model == voices[0].model and voice.id in speakers}
    dealt = {
        name: named.get(name) or speakers[turn % len(speakers)]
        for turn, name in enumerate(OPENAI_VOICES)
        if name not in taken
    }
    return tuple(
        structs.replace(voice, aliases=(*voice.aliases, *(name for name, owner in dealt.items() if owner == voice.id)))
        for voice in voices
    )


def _primary(voice: Voice) -> str:
    return voice.language.split("-")[0]
