"""The tool ``transcribe``: speech into text."""

from __future__ import annotations

from typing import Final

from engines.base import AsrOptions
from engines.long_audio import transcribe_file
from schemas import examples
from schemas.models import ModelKind
from schemas.principal import Scope
from schemas.tools import ToolAnnotations, ToolProgress, ToolSegment, TranscribeInput, TranscribeOutput
from schemas.transcripts import Progress, Segment, Transcript
from tools.audio_argument import decoded_audio
from tools.tool import Tool, ToolContext


async def _transcribe(context: ToolContext, arguments: TranscribeInput) -> TranscribeOutput:
    deadline_s = context.engine_deadline_s()
    model = context.host.model(ModelKind.ASR, arguments.model).name
    audio = await decoded_audio(context, arguments)
    options = AsrOptions(
        task=arguments.task,
        language=arguments.language,
        prompt=arguments.prompt,
        hotwords=arguments.hotwords,
        beam_size=arguments.beam_size,
        temperature=arguments.temperature,
        word_times=arguments.word_times,
    )
    transcript: Transcript | None = None
    async with transcribe_file(
        context.host, audio.samples, options, model=model, deadline_s=deadline_s, whole=arguments.whole
    ) as results:
        async for result in results:
            match result:
                case Segment():
                    await context.emit(ToolSegment(segment=result))
                case Progress(done_s=done_s):
                    await context.emit(ToolProgress(done_s=done_s, total_s=audio.duration_s))
                case Transcript():
                    transcript = result
    assert transcript is not None  # the last of the results
    return TranscribeOutput(
        text=transcript.text,
        language=transcript.language,
        language_probability=transcript.language_probability,
        duration_s=transcript.duration_s,
        segments=transcript.segments,
        words=transcript.words,
        model=model,
    )


TOOL: Final = Tool(
    name="transcribe",
    title="Transcribe speech",
    description=(
        "Turns a recording into text, with the language, segments and, if asked for, the time of each word. "
        "Works on whole files of up to an hour. For a live conversation use open_session and listen instead."
    ),
    scope=Scope.AUDIO,
    input=TranscribeInput,
    output=TranscribeOutput,
    handler=_transcribe,
    example=(
        TranscribeInput(audio=examples.WAV, language="en", word_times=True),
        TranscribeOutput(
            text="Hello.",
            language="en",
            language_probability=1.0,
            duration_s=0.9,
            segments=(examples.SEGMENT,),
            words=(examples.WORD,),
            model="whisper-base",
        ),
    ),
    annotations=ToolAnnotations(read_only=True, idempotent=True, open_world=False),
)
