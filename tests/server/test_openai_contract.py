"""Every parameter and field that the installed ``openai`` client knows is known here: accepted, or refused on purpose.

A newer client that knows more fails here, by the name of what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from openai.types import AudioModel, AudioResponseFormat, Model
from openai.types.audio import (
    SpeechCreateParams,
    SpeechModel,
    Transcription,
    TranscriptionCreateParams,
    TranscriptionInclude,
    TranscriptionSegment,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranscriptionWord,
    Translation,
    TranslationCreateParams,
    TranslationVerbose,
    Voice,
    VoiceCreateParams,
    VoiceDeleted,
    speech_create_params,
    transcription,
    transcription_create_params,
)

from engines.voicebook import OPENAI_VOICES
from schemas.audio import AudioFormat
from schemas.openai import (
    ASR_ALIASES,
    TTS_ALIASES,
    CreatedVoice,
    DeletedVoice,
    Logprob,
    ModelObject,
    ServerVad,
    SpeechRequest,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFormat,
    TranscriptionForm,
    TranscriptionJson,
    TranslationForm,
    VerboseSegment,
    VerboseWord,
    VoiceForm,
    VoiceRef,
)
from schemas.openai import (
    TranscriptionVerbose as OurVerbose,
)
from server.http import voices
from server.http.transcriptions import REFUSED

OPENAI_MD = "docs/openai.md"


def fields(kind: type[msgspec.Struct]) -> set[str]:
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    return names | ({"type"} if kind.__struct_config__.tag else set())


def parameters(*kinds: Any) -> set[str]:
    """The keys of TypedDicts, and of unions of them."""
    return {name for kind in kinds for each in (get_args(kind) or (kind,)) for name in get_type_hints(each)}


def literals(annotation: Any) -> set[str]:
    """Every text that a type allows by name, however deep in unions, lists and the like."""
    if get_origin(annotation) is Literal:
        return {value for value in get_args(annotation) if isinstance(value, str)}
    return {text for part in get_args(annotation) for text in literals(part)}


def allowed(kind: Any, name: str) -> set[str]:
    hints = [get_type_hints(each) for each in get_args(kind) or (kind,)]
    return {text for each in hints if name in each for text in literals(each[name])}


def refused_values(name: str) -> set[str]:
    return {key.partition("=")[2] for key in REFUSED if key.startswith(f"{name}=")}


def test_every_parameter_of_a_transcription_is_known() -> None:
    known = fields(TranscriptionForm) | {"file"} | {name for name in REFUSED if "=" not in name}
    assert parameters(TranscriptionCreateParams) - known == set()
    assert parameters(transcription_create_params.ChunkingStrategyVadConfig) == fields(ServerVad)
    assert literals(AudioResponseFormat) == literals(TranscriptFormat) | refused_values("response_format")
    assert literals(AudioModel) == set(ASR_ALIASES)
    hints = get_type_hints(TranscriptionForm, include_extras=True)
    assert literals(TranscriptionInclude) == literals(hints["include"])
    assert allowed(TranscriptionCreateParams, "timestamp_granularities") == literals(hints["timestamp_granularities"])
    chunking = literals(transcription_create_params.ChunkingStrategy)
    assert chunking == literals(hints["chunking_strategy"])


def test_nothing_is_refused_that_the_client_does_not_know() -> None:
    assert {name.partition("=")[0] for name in REFUSED} <= parameters(TranscriptionCreateParams)


def test_every_parameter_of_a_translation_is_known() -> None:
    assert parameters(TranslationCreateParams) == fields(TranslationForm) | {"file"}
    assert allowed(TranslationCreateParams, "response_format") == literals(TranscriptFormat)


def test_every_parameter_of_speech_is_known() -> None:
    assert parameters(SpeechCreateParams) - fields(SpeechRequest) == set()
    assert parameters(speech_create_params.VoiceID) == fields(VoiceRef)
    assert literals(SpeechModel) == set(TTS_ALIASES)
    assert literals(speech_create_params.Voice) == set(OPENAI_VOICES)
    assert allowed(SpeechCreateParams, "response_format") == {fmt.value for fmt in AudioFormat}
    ours = get_type_hints(SpeechRequest, include_extras=True)
    assert allowed(SpeechCreateParams, "stream_format") == literals(ours["stream_format"])


def test_every_parameter_of_a_voice_is_known() -> None:
    known = fields(VoiceForm) | {voices.SAMPLE_FIELD} | {name for name in voices.REFUSED if "=" not in name}
    assert parameters(VoiceCreateParams) == known
    assert allowed(VoiceCreateParams, "type") == {"audio_sample", "prompt"}


@pytest.mark.parametrize(
    ("theirs", "ours", "not_ours"),
    [
        (Transcription, TranscriptionJson, ()),
        (transcription.Logprob, Logprob, ()),
        (TranscriptionVerbose, OurVerbose, ()),
        (TranscriptionSegment, VerboseSegment, ()),
        (TranscriptionWord, VerboseWord, ()),
        (Translation, TranscriptionJson, ()),
        (TranslationVerbose, OurVerbose, ()),
        (TranscriptionTextDeltaEvent, TranscriptDelta, ("segment_id",)),  # of a speaker
        (TranscriptionTextDoneEvent, TranscriptDone, ()),
        (Voice, CreatedVoice, ("prompt",)),  # of voices made from a description
        (VoiceDeleted, DeletedVoice, ()),
        (Model, ModelObject, ("shutdown_date",)),  # nothing here is ever switched off from afar
    ],
)
def test_every_field_that_the_client_reads_is_sent(
    theirs: Any, ours: type[msgspec.Struct], not_ours: Iterable[str]
) -> None:
    assert set(theirs.model_fields) - fields(ours) == set(not_ours)


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("`POST /v1/audio/transcriptions`", parameters(TranscriptionCreateParams)),
        ("`POST /v1/audio/translations`", parameters(TranslationCreateParams)),
        ("`POST /v1/audio/speech`", parameters(SpeechCreateParams)),
        ("`POST /v1/audio/voices`", parameters(VoiceCreateParams)),
    ],
)
def test_what_becomes_of_every_parameter_is_documented(root: Path, heading: str, names: set[str]) -> None:
    text = (root / OPENAI_MD).read_text("utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    documented = {
        name for row in re.findall(r"^\| (.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)", row)
    }
    assert names - documented == set()
