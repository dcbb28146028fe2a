"""``antiphon transcribe``."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import click
import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text
from rich_click import RichCommand

from engines.base import AsrOptions
from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.long_audio import transcribe_file
from schemas.errors import ErrorCode, ErrorInfo, SpeechError
from schemas.tools import ToolProgress, TranscribeInput, TranscribeOutput
from schemas.transcripts import AsrTask, Progress, Segment, Transcript
from server import speech_engines
from server.cli import event_loop
from server.cli.remote import events, raise_for_error, remote_server
from server.cli.settings_options import settings_from, settings_options
from server.settings import Settings
from server.subtitles import srt, vtt

OnProgress = Callable[[float], None]
"""Takes the share of the recording that is done, 0…1."""


class Wish(Struct, frozen=True, kw_only=True):
    """What the options ask for."""

    task: AsrTask
    language: str | None
    model: str | None
    prompt: str | None
    words: bool
    whole: bool


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of ``--format json``."""

    file: str
    transcript: Transcript | None = None
    error: ErrorInfo | None = None


class Transcriber(Protocol):
    """Something that writes down recordings."""

    async def transcribe(self, name: str, recording: bytes, on_progress: OnProgress) -> Transcript:
        """The transcript. Raises ``SpeechError``."""
        ...


@click.command(cls=RichCommand)
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--language", metavar="CODE", help="ISO 639-1, such as en. Detected when left out.")
@click.option(
    "--task",
    type=click.Choice([task.value for task in AsrTask]),
    default=AsrTask.TRANSCRIBE.value,
    show_default=True,
    help="translate writes English.",
)
@click.option("--model", metavar="NAME", help="See: antiphon models list. The default when left out.")
@click.option("--prompt", metavar="TEXT", help="Names and terms to expect.")
@click.option("--words", is_flag=True, help="With json: also when each word was said.")
@click.option("--whole", is_flag=True, help="Do not cut recordings of 30 s to ten minutes at silences.")
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["text", "json", "srt", "vtt"]),
    default="text",
    show_default=True,
    help="json prints one line a file.",
)
@click.option("--json", "fmt", flag_value="json", help="The same as --format json.")
@click.option("--url", metavar="URL", help="Have a running server do it, such as http://127.0.0.1:8080.")
@settings_options
@click.pass_context
def transcribe(
    context: click.Context,
    files: tuple[Path, ...],
    *,
    language: str | None,
    task: str,
    model: str | None,
    prompt: str | None,
    words: bool,
    whole: bool,
    fmt: str,
    url: str | None,
    config: Path | None,
    **flags: object,
) -> None:
    """Write down what is said in FILE…: WAV, FLAC, MP3, Ogg, WebM or M4A.

    The models run in this process, unless --url names a server. Exit status 1 if any file failed.
    """
    settings = settings_from(config, flags).settings
    wish = Wish(task=AsrTask(task), language=language, model=model, prompt=prompt, words=words, whole=whole)
    failed = event_loop.run(_transcribe_all, files, wish, fmt, url, settings)
    context.exit(1 if failed else 0)


async def _transcribe_all(files: Sequence[Path], wish: Wish, fmt: str, url: str | None, settings: Settings) -> int:
    """How many failed."""
    failed = 0
    console = Console(stderr=True, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    async with _transcriber(wish, url, settings) as transcriber:
        with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            for file in files:
                bar = progress.add_task(file.name, total=1.0)
                result = await _transcribe_one(transcriber, file, _updater(progress, bar))
                progress.remove_task(bar)
                failed += result.error is not None
                if result.error is not None and fmt != "json":
                    console.print(Text(f"{file}: {result.error.message}", style="red"))
                else:
                    click.echo(_written(result, fmt, title=str(file) if len(files) > 1 else None), nl=False)
    return failed


async def _transcribe_one(transcriber: Transcriber, file: Path, on_progress: OnProgress) -> Result:
    try:
        try:
            recording = await anyio.Path(file).read_bytes()
        except OSError as error:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"It cannot be read: {error.strerror}.") from error
        return Result(file=str(file), transcript=await transcriber.transcribe(file.name, recording, on_progress))
    except SpeechError as error:
        return Result(file=str(file), error=error.info)


def _updater(progress: ProgressBar, bar: Any) -> OnProgress:  # noqa: ANN401  rich's TaskID is a NewType without a home
    def update(done: float) -> None:
        progress.update(bar, completed=done)

    return update


def _written(result: Result, fmt: str, *, title: str | None) -> str:
    if fmt == "json" or result.transcript is None:
        return f"{msgspec.json.encode(result).decode()}\n"
    write = {"srt": srt, "vtt": vtt}.get(fmt)
    text = f"{result.transcript.text}\n" if write is None else write(result.transcript.segments)
    return text if title is None else f"{title}:\n{text}\n"


@asynccontextmanager
async def _transcriber(wish: Wish, url: str | None, settings: Settings) -> AsyncGenerator[Transcriber]:
    if url is not None:
        async with remote_server(url) as client:
            yield _Remote(client, wish)
    else:
        async with speech_engines.engine_host(settings) as host, speech_engines.decoder(settings) as decoder:
            yield _Local(host, decoder, wish)


class _Local:
    """The engines of this process."""

    def __init__(self, host: EngineHost, decoder: Decoder, wish: Wish) -> None:
        self._host = host
        self._decoder = decoder
        self._wish = wish

    async def transcribe(self, name: str, recording: bytes, on_progress: OnProgress) -> Transcript:  # noqa: ARG002
        audio = await self._decoder.decode(recording)
        wish = self._wish
        options = AsrOptions(task=wish.task, language=wish.language, prompt=wish.prompt, word_times=wish.words)
        transcript: Transcript | None = None
        async with transcribe_file(self._host, audio.samples, options, model=wish.model, whole=wish.whole) as results:
            async for result in results:
                match result:
                    case Segment():
                        pass
                    case Progress(done_s=done_s):
                        on_progress(done_s / audio.duration_s)
                    case Transcript():
                        transcript = result
        assert transcript is not None, "a stream of segments ends with the transcript"
        return transcript


class _Remote:
    """A server."""

    def __init__(self, client: httpx.AsyncClient, wish: Wish) -> None:
        self._client = client
        self._wish = wish

    async def transcribe(self, name: str, recording: bytes, on_progress: OnProgress) -> Transcript:  # noqa: ARG002
        wish = self._wish
        arguments = TranscribeInput(
            audio=base64.b64encode(recording).decode(),
            language=wish.language,
            task=wish.task,
            model=wish.model,
            prompt=wish.prompt,
            word_times=wish.words,
            whole=wish.whole,
        )
        request = self._client.stream(
            "POST",
            "/v1/tools/transcribe",
            content=msgspec.json.encode(arguments),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
        )
        async with request as response:
            await raise_for_error(response)
            async for kind, data in events(response):
                match kind:
                    case "progress":
                        progress = msgspec.json.decode(data, type=ToolProgress)
                        on_progress(progress.done_s / (progress.total_s or progress.done_s or 1.0))
                    case "result":
                        found = msgspec.json.decode(data, type=TranscribeOutput)
                        return Transcript(
                            found.text, found.language, found.language_probability, found.duration_s, found.segments
                        )
                    case _:
                        pass
        raise SpeechError(ErrorCode.INTERNAL, "The server broke off. Is it still running?")
