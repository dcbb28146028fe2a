from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from evals import environment


def test_the_digest_of_an_installation_is_of_its_data_too_and_of_no_compiled_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> ModuleSpec:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path)]
        return spec

    monkeypatch.setattr(environment, "find_spec", find)
    (tmp_path / "models").mkdir()
    digests = [environment.source_digest()]
    for name in ("code.py", "models/weights.json", "models/catalog.toml"):
        (tmp_path / name).write_text("1", "utf-8")
        digests.append(environment.source_digest())
        (tmp_path / name).write_text("2", "utf-8")
        digests.append(environment.source_digest())
    assert len(set(digests)) == len(digests)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"1")
    assert environment.source_digest() == digests[-1]


@pytest.mark.parametrize("name", ["ctranslate2", "faster-whisper", "onnxruntime", "av", "soxr", "numpy", "piper-tts"])
def test_versions_are_told_of_what_recognises_speaks_and_decodes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, known = environment.engine_versions(), environment.version

    def version(distribution: str) -> str:
        return "9" if distribution == name else known(distribution)

    monkeypatch.setattr(environment, "version", version)
    assert environment.engine_versions() != before


def test_so_is_what_decides_the_last_bits_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transcript that was kept with one thread of NumPy's is not that of two."""
    found: set[str] = set()
    for threads in ("1", "2"):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", threads)
        found.add(environment.engine_versions())
    monkeypatch.setattr(environment, "cpu", lambda: "another")
    assert len(found | {environment.engine_versions()}) == 3
