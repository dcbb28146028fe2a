"""The gate of a release: Antiphon by its public interface against plain faster-whisper; it passes, and it can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = [pytest.mark.real, pytest.mark.flow, pytest.mark.timeout(900)]

ENGINE = "engine:whisper-base"
# Languages in which this model is far from perfect, so that little is enough to show: eleven recordings, two minutes.
CORPUS = ("--language", "de", "--language", "pt", "--compute-type", "int8", "--no-detect", "--calibrate", "0")
# How long things take is for a quiet machine to say, not for a test.
GATE = '[absolute]\n"*.wer" = 0.005\n\n[relative]\n'

WRONG_RATE = """
import sys
from engines.codec.decoder import Decoder

worker = '''
import av
from engines.codec import audio_file, decode_worker
audio_file._MonoPcm16._new_resampler = lambda self: av.AudioResampler(format="s16", layout="mono", rate=10_000)
decode_worker.main()
'''
Decoder.__init__.__kwdefaults__["command"] = (sys.executable, "-P", "-c", worker)
"""
SHARED_BUFFER = """
from msgspec.structs import replace

from engines.host import EngineHost

honest = EngineHost.transcribe
kept = {}


async def leaking(self, samples, options, *, owner=None, **terms):
    own = await honest(self, samples, options, owner=owner, **terms)
    before = next((text for session, text in kept.items() if session != owner), own)
    kept[owner] = own
    return LEAK


EngineHost.transcribe = leaking
"""
ANOTHERS, ANOTHERS_TOO = "before", "replace(own, text=f'{own.text} {before.text}')"


def antiphon(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "eval", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def measure(speech_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Measures recognition by a target; the folder of the run."""

    def run(target: str, *options: str) -> Path:
        out = tmp_path_factory.mktemp("run")
        done = antiphon("asr", "--corpus", speech_dir, "--target", target, "--out", out, *CORPUS, *options)
        assert (out / "report.html").exists(), done.stdout + done.stderr
        return out

    return run


@pytest.fixture(scope="module")
def plain(measure: Callable[..., Path]) -> Path:
    return measure(ENGINE)


@pytest.fixture
def failures(tmp_path: Path) -> Callable[[Path, Path], list[str]]:
    """Holds a run against another; what fails."""
    gate = tmp_path / "gate.toml"
    gate.write_text(GATE, "utf-8")

    def compare(before: Path, after: Path) -> list[str]:
        done = antiphon("compare", before, after, "--gate", gate, "--subset", "--out", tmp_path / "change")
        suites = ET.parse(tmp_path / "change" / "junit.xml")
        failed = [
            case.attrib["name"].partition(":")[0]
            for case in suites.iter("testcase")
            if case.find("failure") is not None
        ]
        assert done.returncode == int(bool(failed)), done.stdout + done.stderr
        return failed

    return compare


@contextmanager
def planted(code: str, folder: Path) -> Generator[str]:
    """A server with something wrong in it; its address."""
    start = "from server.cli.main import main\nmain()"
    environment = {"ANTIPHON_STORE_PATH": str(folder / "sessions.db"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", f"{code}\n{start}", "serve", "--port", "0", "--log-format", "json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout)
        yield next(match[1] for line in lines if (match := re.search(r"listens on (http://[^ ]+?)\.? ", line)))
    finally:
        process.terminate()
        process.stdout.read()
        process.wait(timeout=60)
        process.stdout.close()


def test_antiphon_recognises_as_well_as_its_engine(
    measure: Callable[..., Path], plain: Path, failures: Callable[[Path, Path], list[str]]
) -> None:
    assert failures(plain, measure("inproc", "--stream", "6")) == []


def test_a_worse_beam_is_caught(
    measure: Callable[..., Path], plain: Path, failures: Callable[[Path, Path], list[str]]
) -> None:
    assert failures(plain, measure("inproc", "--beam", "1", "--stream", "0")) == ["asr.wer"]


def test_a_broken_resampler_is_caught(
    measure: Callable[..., Path], plain: Path, failures: Callable[[Path, Path], list[str]], tmp_path: Path
) -> None:
    with planted(WRONG_RATE, tmp_path) as url:
        assert failures(plain, measure(url, "--limit", "6", "--stream", "0")) == ["asr.wer"]


@pytest.mark.parametrize("leak", [ANOTHERS, ANOTHERS_TOO])
def test_a_leaked_session_is_caught(
    measure: Callable[..., Path], plain: Path, failures: Callable[[Path, Path], list[str]], tmp_path: Path, leak: str
) -> None:
    with planted(SHARED_BUFFER.replace("LEAK", leak), tmp_path) as url:
        assert "stream.leaks" in failures(plain, measure(url, "--limit", "6", "--stream", "6"))
