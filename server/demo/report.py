"""What the demo leaves behind: a folder of files anyone can open."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from engines.codec.encoder import encode_all
from schemas.audio import AudioFormat, pcm16_from_float
from server.demo.script import Dialogue
from server.demo.timeline import both_voices, render_timeline
from server.demo.verdict import Verdict

SERVER_LOG: Final = "server.log"


class ReportFile(Struct, frozen=True):
    """One file."""

    name: str
    title: str


FILES: Final = (
    ReportFile("timeline.html", "the conversation to look at and listen to; open it in a browser"),
    ReportFile("conversation.wav", "both voices: user left, agent right"),
    ReportFile("reply.wav", "the first answer, as the loudspeaker played it"),
    ReportFile("reply-interrupted.wav", "the second, up to where it was cut off"),
    ReportFile("events.jsonl", "every event of the session, one a line"),
    ReportFile("conversation.json", "what was said and heard, as a language model gets it"),
    ReportFile(SERVER_LOG, "what the server logged"),
)
"""Most interesting first."""


def write_report(folder: Path, dialogue: Dialogue, verdict: Verdict) -> None:
    """Write all of :data:`FILES` but the server's log. Blocks: call it on a worker thread."""
    rate_hz = dialogue.session.settings.output_rate_hz
    for name, spoken in zip(("reply.wav", "reply-interrupted.wav"), dialogue.replies, strict=True):
        (folder / name).write_bytes(encode_all(spoken.playback.played, AudioFormat.WAV, rate_hz))
    _write_stereo(folder / "conversation.wav", dialogue, rate_hz)
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in dialogue.events)
    (folder / "events.jsonl").write_bytes(lines)
    conversation = msgspec.json.encode(dialogue.conversation)
    (folder / "conversation.json").write_bytes(msgspec.json.format(conversation) + b"\n")
    (folder / "timeline.html").write_text(render_timeline(dialogue, verdict), "utf-8")


def _write_stereo(path: Path, dialogue: Dialogue, rate_hz: int) -> None:
    interleaved = np.stack(both_voices(dialogue), axis=1).reshape(-1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm16_from_float(interleaved))
