import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from evals.corpora.corpus import open_corpus
from evals.corpora.selection import Selection, shard
from evals.decoding import wav
from schemas.errors import ErrorCode, SpeechError

SECOND = wav(np.full(16_000, 0.25, np.float32))


def put(folder: Path, name: str, content: bytes = SECOND) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def manifest(folder: Path, *rows: Mapping[str, object]) -> str:
    put(folder, "manifest.jsonl", "\n".join(json.dumps(row) for row in rows).encode())
    return str(folder)


@pytest.fixture
def small(tmp_path: Path) -> str:
    rows = [
        {"file": f"{language}/{n}.wav", "text": f"{n}", "language": language, "kind": kind, "duration_s": n}
        for language, kind, n in (
            ("en", "utterance", 1),
            ("en", "noise", 2),
            ("de", "utterance", 3),
            ("de", "noise", 4),
        )
    ]
    return manifest(tmp_path, *rows)


def ids(corpus: str, **filters: object) -> list[str]:
    return [one.id for one in open_corpus(corpus, Selection(**filters)).utterances]  # pyright: ignore[reportArgumentType]


def test_a_language_is_that_of_its_tag(tmp_path: Path) -> None:
    folder = manifest(tmp_path, {"file": "a.wav", "language": "en-US"}, {"file": "b.wav"})
    assert [one.language for one in open_corpus(folder, Selection()).utterances] == ["en", "und"]


def test_filters_must_all_agree(small: str) -> None:
    assert ids(small) == ["de/3", "de/4", "en/1", "en/2"]
    assert ids(small, languages=("de",), kinds=("noise",)) == ["de/4"]
    assert ids(small, min_s=2, max_s=3) == ["de/3", "en/2"]
    assert ids(small, match="^en") == ["en/1", "en/2"]
    assert ids(small, limit=1) == ["de/3"]


def test_shards_have_everything_once(small: str) -> None:
    parts = [ids(small, shard=shard(f"{n}/3")) for n in (1, 2, 3)]
    assert sorted(id_ for part in parts for id_ in part) == ids(small)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b"])
def test_what_is_no_part_is_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="2/5"):
        shard(text)


def test_a_filter_that_leaves_nothing_says_so(small: str) -> None:
    with pytest.raises(SpeechError, match="left by the filters") as caught:
        ids(small, languages=("fr",))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_wrong_expression_says_so(small: str) -> None:
    with pytest.raises(SpeechError, match="regular expression"):
        ids(small, match="(")


def test_a_file_with_a_speaker_a_channel_is_several_recordings(tmp_path: Path) -> None:
    both = {"file": "a.wav", "turns": [{"channel": 0, "text": "One."}, {"channel": 1, "text": "Two."}]}
    found = open_corpus(manifest(tmp_path, both)).utterances
    assert [(one.id, one.channel, one.text) for one in found] == [("a.0", 0, "One."), ("a.1", 1, "Two.")]


def test_a_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="Line 2 of"):
        open_corpus(manifest(tmp_path, {"file": "a.wav"}, {"text": "no file"}))


def test_librispeech_has_a_speaker_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "dev-clean/84/121123/84-121123-0000.flac")
    put(tmp_path, "dev-clean/84/121123/84-121123.trans.txt", b"84-121123-0000 GO ON\n84-121123-0001 NO FILE\n")
    (found,) = open_corpus(str(tmp_path)).utterances
    assert (found.id, found.text, found.speaker, found.language) == ("84-121123-0000", "go on", "84", "en")
    assert found.duration_s == pytest.approx(1.0)
    assert open_corpus(str(tmp_path / "dev-clean")).utterances == (found,)


def test_common_voice_has_a_language_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "de/clips/c_1.mp3")
    put(tmp_path, "de/test.tsv", b'client_id\tpath\tsentence\tlocale\nabc\tc_1.mp3\tEr sagte: "Ja.\tde\n')
    put(tmp_path, "de/clip_durations.tsv", b"clip\tduration[ms]\nc_1.mp3\t4200\n")
    (found,) = open_corpus(str(tmp_path)).utterances
    assert (found.id, found.text, found.speaker, found.duration_s) == ("de/c_1", 'Er sagte: "Ja.', "abc", 4.2)
    assert open_corpus(str(tmp_path / "de")).utterances[0].id == "c_1"


def test_a_folder_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="known form"):
        open_corpus(str(tmp_path))
    with pytest.raises(SpeechError, match="no folder"):
        open_corpus(str(tmp_path / "nowhere"))


def test_a_data_set_needs_a_library_that_says_what_to_install() -> None:
    with pytest.raises(SpeechError, match="pip install datasets") as caught:
        open_corpus("hf:google/fleurs/de_de:test")
    assert caught.value.code is ErrorCode.MISSING_EXTRA


def test_recordings_are_sent_as_they_are_unless_one_channel_is_meant(tmp_path: Path) -> None:
    put(tmp_path, "a.wav")
    (whole,) = open_corpus(manifest(tmp_path, {"file": "a.wav"})).utterances
    assert whole.content() == SECOND
    assert whole.samples() == pytest.approx(np.full(16_000, 0.25), abs=1e-4)


def test_a_recording_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    put(tmp_path, "a.wav", b"nothing")
    broken, absent = open_corpus(manifest(tmp_path, {"file": "a.wav"}, {"file": "b.wav"})).utterances
    with pytest.raises(SpeechError, match="recording of a cannot be read"):
        broken.samples()
    with pytest.raises(SpeechError, match="lacks the recording of b"):
        absent.content()
