import json
import wave
from pathlib import Path

import numpy as np
import pytest

from evals.turns.eot_bench import eot_bench_turns
from evals.turns.rendering import Span
from schemas.errors import SpeechError


def write(folder: Path, **row: object) -> None:
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.full(32_000, 1_000, np.int16).tobytes())
    full: dict[str, object] = {"id": "a", "language": "en", "audio": "a.wav", "messages": [], **row}
    (folder / "manifest.jsonl").write_text(json.dumps(full) + "\n", "utf-8")


def test_all_silences_but_the_last_are_holds(tmp_path: Path) -> None:
    spans = [{"start": 0.5, "end": 0.65}, {"start": 0.8, "end": 1.2}, {"start": 1.75, "end": 2.0}]
    write(tmp_path, silence_spans=spans)
    (turn,) = eot_bench_turns(tmp_path)
    assert turn.holds == (Span(12_800, 19_200),)
    assert turn.speech == Span(0, 28_000)
    assert len(turn.samples) == 28_000 + 56_000
    assert turn.samples[100] == pytest.approx(1_000 / 32_768)


def test_a_turn_without_a_silence_has_no_end_and_is_refused(tmp_path: Path) -> None:
    write(tmp_path, silence_spans=[])
    with pytest.raises(SpeechError, match="silence_spans"):
        eot_bench_turns(tmp_path)


def test_what_is_not_there_or_no_eot_bench_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="has no manifest"):
        eot_bench_turns(tmp_path)
    write(tmp_path, silence_spans=[{"start": 1.75, "end": 2.0}], audio="b.wav")
    with pytest.raises(SpeechError, match="cannot be read"):
        eot_bench_turns(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.wav"}\n', "utf-8")
    with pytest.raises(SpeechError, match="no eot-bench"):
        eot_bench_turns(tmp_path)
