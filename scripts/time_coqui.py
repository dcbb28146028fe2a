"""How fast a Piper voice is on torch and on ONNX Runtime: one after the other, in turns, with one thread.

Runs in an environment with the extra ``coqui``, on a GPU if torch sees one. Prints medians of the rounds: processor
time on a CPU, elapsed time on a GPU, and on both how several utterances share batches.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engines.base import Cancellation, TtsJob
from engines.coqui.piper_import import import_voice
from engines.coqui.torch_runtime import import_extra
from engines.coqui.vits import CoquiVitsTts
from engines.piper import PiperTts

TEXT = "We met at nine o'clock, had coffee, and then walked along the river until it began to rain."
ROUNDS = 9
AT_ONCE = (1, 2, 4, 8)


def main(folder: Path) -> None:
    """Time the voice of a folder."""
    torch = import_extra("torch")
    torch.set_num_threads(1)
    gpu = bool(torch.cuda.is_available())
    clock = time.perf_counter if gpu else time.process_time
    with tempfile.TemporaryDirectory() as made:
        import_voice(folder, Path(made))
        engines = {"onnx": PiperTts(folder), "torch": CoquiVitsTts(Path(made), workers=max(AT_ONCE))}

    def speak(engine: PiperTts) -> tuple[float, float, float]:
        """Seconds to the first audio, to the last, and of audio."""
        begun, first, audio_s = clock(), 0.0, 0.0
        for chunk in engine.synthesize(TtsJob(text=TEXT, voice=engine.voices[0].id, cancellation=Cancellation())):
            first = first or clock() - begun
            audio_s += len(chunk.samples) / chunk.sample_rate_hz
        return first, clock() - begun, audio_s

    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for _ in range(ROUNDS + 1):
        for name, engine in engines.items():
            times[name].append(speak(engine))
    print("device", torch.cuda.get_device_name() if gpu else "cpu")
    for name, rounds in times.items():
        first = statistics.median(each[0] for each in rounds[1:])
        factor = statistics.median(each[1] / each[2] for each in rounds[1:])
        print(f"{name:6} first audio {1000 * first:6.1f} ms   real-time factor {factor:.4f}")
    for count in AT_ONCE:
        factors: list[float] = []
        for _ in range(3):
            begun = clock()
            with ThreadPoolExecutor(count) as threads:
                audio_s = sum(each[2] for each in threads.map(speak, [engines["torch"]] * count))
            factors.append((clock() - begun) / audio_s)
        print(f"torch, {count} at once: {statistics.median(factors):.4f} s for a second of speech")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
