"""The OpenAI client, pointed at Antiphon: nothing but its base_url changes.

Needs `pip install openai` (`make setup-dev` has it). Run `make serve` in one terminal and
`.venv/bin/python examples/openai_client.py` in another.
"""

from __future__ import annotations

import os
from pathlib import Path

from openai import OpenAI

URL = os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8080")
RECORDING = Path(__file__).with_name("invention-of-printing.flac")


def main() -> None:
    """Transcribe, stream a transcript, speak."""
    client = OpenAI(base_url=f"{URL}/v1", api_key="not needed")

    transcript = client.audio.transcriptions.create(
        model="whisper-1", file=RECORDING, response_format="verbose_json", timestamp_granularities=["word"]
    )
    print("transcript:", transcript.text)
    print("first word:", (transcript.words or [])[0])

    for event in client.audio.transcriptions.create(model="whisper-1", file=RECORDING, stream=True):
        print("event:", event.type)

    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="The speech arrives while it is made.", response_format="pcm"
    ) as speech:
        size_bytes = sum(len(piece) for piece in speech.iter_bytes())
    print(f"speech: {size_bytes / 2 / 24_000:.1f} s at 24 kHz")


if __name__ == "__main__":
    main()
