"""The tool ``detect_language``: which language is spoken."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.principal import Scope
from schemas.tools import DetectLanguageInput, DetectLanguageOutput, ToolAnnotations
from schemas.transcripts import LanguageGuess
from tools.audio_argument import decoded_audio
from tools.tool import Tool, ToolContext


async def _detect_language(context: ToolContext, arguments: DetectLanguageInput) -> DetectLanguageOutput:
    deadline_s = context.engine_deadline_s()
    audio = await decoded_audio(context, arguments)
    candidates = await context.host.detect_language(audio.samples, model=arguments.model, deadline_s=deadline_s)
    best = candidates[0]
    return DetectLanguageOutput(language=best.language, probability=best.probability, candidates=tuple(candidates))


TOOL: Final = Tool(
    name="detect_language",
    title="Detect the language",
    description=(
        "Tells which language is spoken in a recording, with probabilities. It listens to the first 30 seconds. "
        "transcribe detects the language too; use this one to find it out without a transcript."
    ),
    scope=Scope.AUDIO,
    input=DetectLanguageInput,
    output=DetectLanguageOutput,
    handler=_detect_language,
    example=(
        DetectLanguageInput(audio=examples.WAV),
        DetectLanguageOutput(
            language="en", probability=0.97, candidates=(LanguageGuess("en", 0.97), LanguageGuess("de", 0.01))
        ),
    ),
    annotations=ToolAnnotations(read_only=True, idempotent=True, open_world=False),
)
