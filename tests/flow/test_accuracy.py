"""Recognition through the API is recognition by faster-whisper, no better and no worse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import jiwer
import pytest
from openai import OpenAI
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.timeout(1_200)]

NORMALISE: dict[str, Callable[[str], str]] = {"en": cast("Any", EnglishTextNormalizer)()}
NORMALISE_OTHERS: Callable[[str], str] = cast("Any", BasicTextNormalizer)()
MAX_DIFFERENCE_PERCENT = 0.1
WORKERS = 2


def wer_percent(rows: list[dict[str, Any]], texts: list[str]) -> float:
    def normalise(row: dict[str, Any], text: str) -> str:
        return NORMALISE.get(row["language"], NORMALISE_OTHERS)(text)

    references = [normalise(row, row["text"]) for row in rows]
    hypotheses = [normalise(row, text) for row, text in zip(rows, texts, strict=True)]
    return 100 * jiwer.wer(references, hypotheses)


def test_the_word_error_rate_of_the_api_is_that_of_faster_whisper(
    server: Any,
    speech_dir: Path,
    speech_manifest: list[dict[str, Any]],
    model_dir: Callable[[str], Path],
    record_property: Callable[[str, object], None],
) -> None:
    from faster_whisper import WhisperModel  # noqa: PLC0415 - slow to import

    rows = [row for row in speech_manifest if row["kind"] == "utterance"]
    assert len(rows) > 40
    client = OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
    model: Any = WhisperModel(
        str(model_dir("whisper-base")), device="cpu", compute_type="auto", cpu_threads=1, num_workers=WORKERS
    )

    def ours(row: dict[str, Any]) -> str:
        file = speech_dir / row["file"]
        return client.audio.transcriptions.create(file=file, model="whisper-base", language=row["language"]).text

    def theirs(row: dict[str, Any]) -> list[Any]:
        file = str(speech_dir / row["file"])
        segments, _ = model.transcribe(file, language=row["language"], condition_on_previous_text=False)
        return list(segments)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(theirs, rows))
        # Where decoding fails Whisper's own checks it samples, and even faster-whisper itself differs from run to run.
        steady = [index for index, segments in enumerate(found) if not any(one.temperature for one in segments)]
        assert len(steady) > 40
        rows = [rows[index] for index in steady]
        direct = ["".join(segment.text for segment in found[index]).strip() for index in steady]
        through_api = list(pool.map(ours, rows))
    api_percent, direct_percent = wer_percent(rows, through_api), wer_percent(rows, direct)
    record_property("wer_api_percent", api_percent)
    record_property("wer_direct_percent", direct_percent)
    print(f"WER over {len(rows)} utterances: API {api_percent:.2f} %, faster-whisper {direct_percent:.2f} %")
    different = [row["file"] for row, api, other in zip(rows, through_api, direct, strict=True) if api != other]
    assert abs(api_percent - direct_percent) <= MAX_DIFFERENCE_PERCENT, different
