"""Transcripts as the OpenAI clients read them: a body in each format, and the events of a stream."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import Final

from litestar import MediaType, Response
from msgspec.structs import replace

from schemas.language_names import language_name
from schemas.openai import (
    DurationUsage,
    Logprob,
    TokenDetails,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFormat,
    TranscriptionJson,
    TranscriptionLanguage,
    TranscriptionVerbose,
    TranscriptSegment,
    TranscriptUsage,
    VerboseSegment,
    VerboseWord,
)
from schemas.transcripts import AsrTask, Progress, Segment, TokenLogprob, Transcript, continuation
from server.subtitles import srt, vtt

SUBTITLES: Final = {"srt": (srt, "application/x-subrip; charset=utf-8"), "vtt": (vtt, "text/vtt")}
_AUDIO_TOKENS_PER_S: Final = 50
"""Whisper's encoder makes one of every 20 ms."""


def transcript_response(
    transcript: Transcript,
    fmt: TranscriptFormat,
    *,
    task: AsrTask = AsrTask.TRANSCRIBE,
    granularities: Collection[str] = (),
    logprobs: bool = False,
) -> Response[object]:
    """A transcript as the body of a response.

    Args:
        transcript: What was heard.
        fmt: The format.
        task: What was done.
        granularities: Of times in ``verbose_json``: ``word``, ``segment``, or both; left out, ``segment``.
        logprobs: Whether ``json`` tells of its tokens.
    """
    if fmt in SUBTITLES:
        write, media_type = SUBTITLES[fmt]
        return Response(write(transcript.segments), media_type=media_type)
    if fmt == "text":
        return Response(f"{transcript.text}\n", media_type=MediaType.TEXT)
    if fmt == "verbose_json":
        return Response(_verbose(transcript, task, granularities or ("segment",)), media_type=MediaType.JSON)
    body = TranscriptionJson(
        text=transcript.text,
        languages=_languages(transcript),
        usage=_duration(transcript),
        logprobs=_logprobs(transcript.segments) if logprobs else None,
    )
    return Response(body, media_type=MediaType.JSON)


async def transcript_events(
    results: AsyncIterator[Segment | Progress | Transcript], *, segments: bool, logprobs: bool
) -> AsyncGenerator[TranscriptDelta | TranscriptSegment | TranscriptDone]:
    """Deltas that, joined, are exactly the final text.

    Args:
        results: What recognition gives.
        segments: Whether each segment is also told with its times.
        logprobs: Whether the tokens of the text are told.
    """
    sent = ""
    async for result in results:
        match result:
            case Segment(text=text):
                delta = continuation(sent, text)
                sent += delta
                yield TranscriptDelta(delta=delta, logprobs=_scored(result, delta) if logprobs else None)
                if segments:
                    yield TranscriptSegment(
                        id=f"seg_{result.id}", start=result.start_s, end=result.end_s, text=text.strip()
                    )
            case Progress():  # OpenAI's streams have no event for it.
                pass
            case Transcript(text=text):
                yield TranscriptDone(
                    text=text,
                    languages=_languages(result),
                    usage=_tokens(result),
                    logprobs=_logprobs(result.segments) if logprobs else None,
                )


def _duration(transcript: Transcript) -> DurationUsage:
    return DurationUsage(seconds=round(transcript.duration_s, 3))


def _tokens(transcript: Transcript) -> TranscriptUsage:
    heard = math.ceil(transcript.duration_s * _AUDIO_TOKENS_PER_S)
    written = sum(len(segment.tokens) for segment in transcript.segments)
    return TranscriptUsage(
        input_tokens=heard,
        output_tokens=written,
        total_tokens=heard + written,
        input_token_details=TokenDetails(audio_tokens=heard),
    )


def _languages(transcript: Transcript) -> tuple[TranscriptionLanguage, ...]:
    # An empty array says that no language was made out.
    return (TranscriptionLanguage(transcript.language),) if transcript.text else ()


def _logprobs(segments: Sequence[Segment]) -> tuple[Logprob, ...]:
    text = ""
    found: list[Logprob] = []
    for segment in segments:
        delta = continuation(text, segment.text)
        text += delta
        found += _scored(segment, delta)
    return tuple(found)


def _scored(segment: Segment, delta: str) -> tuple[Logprob, ...]:
    """The tokens of what a segment adds to the text: its own, but for the space between segments."""
    if not segment.logprobs:
        return ()
    space = delta[: len(delta) - len(delta.lstrip())]
    first, *others = segment.logprobs
    return tuple(map(_logprob, (replace(first, data=space.encode() + first.data.lstrip()), *others)))


def _logprob(token: TokenLogprob) -> Logprob:
    return Logprob(token=token.data.decode(errors="replace"), bytes=tuple(token.data), logprob=token.logprob)


def _verbose(transcript: Transcript, task: AsrTask, granularities: Collection[str]) -> TranscriptionVerbose:
    segments = tuple(
        VerboseSegment(
            id=segment.id,
            seek=segment.seek,
            start=segment.start_s,
            end=segment.end_s,
            text=segment.text,
            tokens=segment.tokens,
            temperature=segment.temperature,
            avg_logprob=segment.avg_logprob,
            compression_ratio=segment.compression_ratio,
            no_speech_prob=segment.no_speech_prob,
        )
        for segment in transcript.segments
    )
    words = tuple(VerboseWord(word=word.text, start=word.start_s, end=word.end_s) for word in transcript.words)
    return TranscriptionVerbose(
        task=task.value,
        language=language_name(transcript.language),
        duration=round(transcript.duration_s, 3),
        text=transcript.text,
        usage=_duration(transcript),
        segments=segments if "segment" in granularities else None,
        words=words if "word" in granularities else None,
    )
