"""``antiphon say``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec
import numpy as np
from anyio import to_thread
from msgspec import Struct
from rich.console import Console
from rich.text import Text
from rich_click import RichCommand

from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import MAX_GAIN_DB, MAX_SPEED, MIN_SPEED, Lexicon, SpeechOptions, is_speakable
from server import speech_engines
from server.cli import event_loop
from server.cli.remote import raise_for_error, remote_server
from server.cli.settings_options import settings_from, settings_options
from server.settings import Settings

_STDIO: Final = Path("-")


class Wish(Struct, frozen=True, kw_only=True):
    """What the options ask for."""

    text: str
    voice: str | None
    format: AudioFormat
    options: SpeechOptions


class Spoken(Struct, frozen=True, kw_only=True):
    """The audio, and what ``--json`` says about it."""

    data: bytes
    voice: str | None
    duration_s: float | None
    """Unknown if a server made it."""


@click.command(cls=RichCommand)
@click.argument("text")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file; - is standard output.  [default: speech.wav, by the format]",
)
@click.option("--voice", metavar="NAME", help="A voice id or alias. The default when left out.")
@click.option("--speed", type=click.FloatRange(MIN_SPEED, MAX_SPEED), default=1.0, show_default=True)
@click.option(
    "--gain", "gain_db", type=click.FloatRange(-MAX_GAIN_DB, MAX_GAIN_DB), default=0.0, help="Loudness, in decibels."
)
@click.option("--ssml", is_flag=True, help="TEXT is SSML.")
@click.option("--as-written", is_flag=True, help="Leave numbers, markdown and the like to the voice.")
@click.option(
    "--lexicon",
    type=click.File("rb"),
    metavar="FILE",
    help='Pronunciations, as JSON: [{"word": "Nguyen", "say": "win"}, {"word": "Xi", "ipa": "ʃiː"}].',
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice([fmt.value for fmt in AudioFormat]),
    help="By the name of the output when left out, else wav.",
)
@click.option("--json", "as_json", is_flag=True, help="Describe the result as JSON.")
@click.option("--url", metavar="URL", help="Have a running server do it, such as http://127.0.0.1:8080.")
@settings_options
def say(
    *,
    text: str,
    output: Path | None,
    voice: str | None,
    speed: float,
    gain_db: float,
    ssml: bool,
    as_written: bool,
    lexicon: BinaryIO | None,
    fmt: str | None,
    as_json: bool,
    url: str | None,
    config: Path | None,
    **flags: object,
) -> None:
    """Speak TEXT into a file; - reads the text from standard input."""
    settings = settings_from(config, flags).settings
    wish = Wish(
        text=sys.stdin.read() if text == "-" else text,
        voice=voice,
        format=_format(fmt, output),
        options=SpeechOptions(
            speed=speed, ssml=ssml, normalize=not as_written, lexicon=_lexicon(lexicon), gain_db=gain_db
        ),
    )
    if not is_speakable(wish.text):
        raise SpeechError(ErrorCode.EMPTY_TEXT, "The text is empty. Give the words to speak.")
    target = output or Path(f"speech.{wish.format.value}")
    started_s = time.perf_counter()
    spoken = event_loop.run(_speak, wish, url, settings)
    took_s = time.perf_counter() - started_s
    _write(target, spoken.data)
    if as_json:
        summary = {
            "file": str(target),
            "format": wish.format,
            "bytes": len(spoken.data),
            "voice": spoken.voice,
            "duration_s": spoken.duration_s,
        }
        click.echo(msgspec.json.encode(summary), err=target == _STDIO)
    else:
        length = f"{spoken.duration_s:.1f} s of speech" if spoken.duration_s is not None else "speech"
        by = f" by {spoken.voice}" if spoken.voice else ""
        Console(stderr=True).print(Text(f"{target}: {length}{by}, made in {took_s:.1f} s", style="green"))


def _lexicon(file: BinaryIO | None) -> Lexicon:
    if file is None:
        return ()
    try:
        return msgspec.json.decode(file.read(), type=Lexicon)
    except msgspec.DecodeError as error:
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"The lexicon is not right: {error}", param="lexicon") from None


def _format(name: str | None, output: Path | None) -> AudioFormat:
    if name is not None:
        return AudioFormat(name)
    suffix = output.suffix.removeprefix(".").lower() if output is not None else ""
    suffix = {"ogg": "opus", "raw": "pcm"}.get(suffix, suffix)
    return AudioFormat(suffix) if suffix in {fmt.value for fmt in AudioFormat} else AudioFormat.WAV


def _write(target: Path, data: bytes) -> None:
    if target == _STDIO:
        sys.stdout.buffer.write(data)
        return
    try:
        target.write_bytes(data)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}.") from error


async def _speak(wish: Wish, url: str | None, settings: Settings) -> Spoken:
    with Console(stderr=True).status("Speaking …"):
        return await (_speak_here(wish, settings) if url is None else _speak_there(wish, url))


async def _speak_here(wish: Wish, settings: Settings) -> Spoken:
    async with speech_engines.engine_host(settings) as host:
        voice = host.voice(wish.voice)
        pieces: list[Samples] = []
        async with host.synthesize(wish.text, voice=voice.id, options=wish.options) as chunks:
            pieces += [chunk.samples async for chunk in chunks]
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        data = await to_thread.run_sync(encode_all, samples, wish.format, voice.sample_rate_hz)
        return Spoken(data=data, voice=voice.id, duration_s=round(len(samples) / voice.sample_rate_hz, 3))


async def _speak_there(wish: Wish, url: str) -> Spoken:
    body: dict[str, object] = {"input": wish.text, "speed": wish.options.speed, "response_format": wish.format.value}
    asked: dict[str, object] = msgspec.to_builtins(wish.options)
    usual: dict[str, object] = msgspec.to_builtins(SpeechOptions())
    # Most are extensions: other servers may refuse them.
    body |= {name: value for name, value in asked.items() if value != usual[name]}
    if wish.voice is not None:
        body["voice"] = wish.voice
    async with remote_server(url) as client:
        response = await client.post("/v1/audio/speech", json=body)
        await raise_for_error(response)
        return Spoken(data=response.content, voice=wish.voice, duration_s=None)
