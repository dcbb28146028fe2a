"""What the models alone cost, stage by stage: no server is faster than what it must compute.

Each figure is that with as many threads as there are cores, beside it that with one: what a server can gain by giving
one caller the whole machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks import intervals, machine
from benchmarks.bench import Bench, models_dir
from benchmarks.clips import SHORT_S, utterances
from benchmarks.report import Row
from benchmarks.sections.result import Result
from benchmarks.sentences import sentences
from engines.base import Cancellation, Tts, TtsJob
from engines.kokoro import KokoroTts
from engines.piper import PiperTts
from engines.silero import SileroVad
from engines.vits_network import NetworkPart, open_graph
from engines.whisper_window import WindowDecoder
from schemas.audio import VAD_FRAME_SAMPLES

_fw: Any = WhisperModel
_ct2: Any = ctranslate2
_WHISPER: Final = "whisper-base"
_PIPER: Final = "piper-en_US-joe-medium"
_KOKORO: Final = "kokoro-82m-v1.0-int8"
_SILERO: Final = "silero-vad-v6"
_WINDOWS: Final = (800, 1_000, 3_000)
_BEAMS: Final = (1, 5)
_STREAMS: Final = (1, 32, 75)
"""75 frames come in a tick of 8 ms of 300 sessions."""
_CLIPS: Final = 6
_SENTENCES: Final = 8

Times = dict[str, list[float]]
"""Seconds, by what was computed."""


async def run(bench: Bench, result: Result) -> None:
    """Recognition, both voices, and voice activity."""
    machine.pin_this_process(bench.cores.engines)
    for name, measure in (("whisper", _whisper), ("piper", _piper), ("kokoro", _kokoro)):
        bench.say(f"{name}, stage by stage")
        found = {threads: measure(bench, threads) for threads in (bench.threads, 1)}
        for stage, times_s in found[bench.threads].items():
            alone = intervals.median(found[1][stage]).scaled(1000)
            result.rows.append(
                Row(
                    id=f"floors.{name}.{stage}",
                    title=f"{name.title()} alone, {bench.threads} threads: {stage}",
                    unit="ms",
                    estimate=intervals.median(times_s).scaled(1000),
                    details={"one thread": f"{alone.value:.0f} ms"},
                )
            )
    bench.say("voice activity")
    result.rows += _voice_activity(bench)


def _whisper(bench: Bench, threads: int) -> Times:
    model: Any = _fw(str(models_dir() / _WHISPER), device="cpu", compute_type="int8", cpu_threads=threads)
    window = WindowDecoder(model)
    times: Times = {}
    for clip in islice(utterances(max_s=SHORT_S, language="en"), round(bench.scaled(_CLIPS, 2))):
        tokenizer = Tokenizer(model.hf_tokenizer, multilingual=True, task="transcribe", language="en")
        prompt: list[int] = model.get_prompt(tokenizer, [])
        encoded: Any = None
        for frames in reversed(_WINDOWS):  # the last is what turns are decoded in
            with _Timed(times, "features"):
                features = window.features([clip.samples], frames)
            with _Timed(times, f"encoder, {frames // 100} s"):
                encoded = np.asarray(model.model.encode(_ct2.StorageView.from_array(features), to_cpu=True))
        view = _ct2.StorageView.from_array(encoded)
        text: list[int] = []
        for beam in _BEAMS:
            with _Timed(times, f"decoder, beam {beam}"):
                (found,) = model.model.generate(view, [prompt], beam_size=beam, max_length=64)
            text = [token for token in found.sequences_ids[0] if token < tokenizer.eot]
        with _Timed(times, "word times"):
            model.model.align(view, tokenizer.sot_sequence, [text], int(clip.duration_s * 100))
    return times


def _piper(bench: Bench, threads: int) -> Times:
    folder = models_dir() / _PIPER
    (graph,) = folder.glob("*.onnx")
    network = open_graph(graph.read_bytes(), threads=threads)
    assert network.flow is not None
    assert network.decoder is not None
    ran: Times = {}
    network = replace(
        network,
        front=_TimedPart(network.front, ran, "encoder and durations"),
        flow=_TimedPart(network.flow, ran, "flow, first window"),
        decoder=_TimedPart(network.decoder, ran, "decoder, first window"),
    )
    voice = PiperTts(folder, network=network)
    times: Times = {}
    for text in _texts(voice, bench):
        ran.clear()
        first_s = _first_chunk_s(voice, text)
        stages = {stage: found[0] for stage, found in ran.items()}
        for stage, took_s in {**stages, "the rest": first_s - sum(stages.values()), "first sound": first_s}.items():
            times.setdefault(stage, []).append(took_s)
    return times


def _kokoro(bench: Bench, threads: int) -> Times:
    voice = KokoroTts(models_dir() / _KOKORO, threads=threads)
    times: Times = {}
    for text in _texts(voice, bench):
        times.setdefault("first sound", []).append(_first_chunk_s(voice, text))
        times.setdefault("one word", []).append(_first_chunk_s(voice, text.split()[1]))  # less cannot be said
    return times


def _voice_activity(bench: Bench) -> Iterator[Row]:
    vad = SileroVad(models_dir() / _SILERO)
    rng = np.random.default_rng(0)
    for streams in _STREAMS:
        frames = rng.normal(0, 1e-3, (streams, 1, VAD_FRAME_SAMPLES)).astype(np.float32)
        states = [vad.initial_state()] * streams
        times: Times = {}
        for _ in range(10 * bench.pairs):
            with _Timed(times, "call"):
                vad.score(frames, states)
        yield Row(
            id=f"floors.silero.{streams}",
            title=f"Voice activity alone, a frame of 32 ms, {streams} at once",
            unit="µs",
            estimate=intervals.median(times["call"]).scaled(1e6 / streams),
        )


def _texts(voice: Tts, bench: Bench) -> Iterator[str]:
    """Sentences of five seconds, after one for the libraries to get ready."""
    warming, *texts = islice(sentences(), 1 + round(bench.scaled(_SENTENCES, 2)))
    _first_chunk_s(voice, warming)
    yield from texts


def _first_chunk_s(voice: Tts, text: str) -> float:
    job = TtsJob(text=text, voice=voice.voices[0].id, cancellation=Cancellation())
    began = time.perf_counter()
    next(iter(voice.synthesize(job)))
    return time.perf_counter() - began


class _Timed:
    """A block whose time is added to those of its stage."""

    def __init__(self, times: Times, stage: str) -> None:
        self._times_s = times.setdefault(stage, [])
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._times_s.append(time.perf_counter() - self._began)


class _TimedPart:
    def __init__(self, part: NetworkPart, times: Times, stage: str) -> None:
        self._part = part
        self._times = times
        self._stage = stage

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with _Timed(self._times, self._stage):
            return self._part.run(outputs, inputs)
