"""ONNX Runtime sessions, opened the same way for every engine that uses them.

They compute on the CPU, also where there is a GPU: on one, the voices were slower (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from engines.onnx_arithmetic import is_exact

_ort: Any = onnxruntime  # has no types


class OnnxSession:
    """A loaded ONNX model; :meth:`run` may be called from several threads at once.

    Args:
        model: The model's file, or its bytes.
        threads: Threads one call computes with. Many callers of one session with a thread each do more work than one
            caller with many threads, so this is 1 unless one call must be fast.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        options = _ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads sleep: spinning ones take the processor from the engines beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of memory per input shape is kept for ever, and speech has a new shape with each utterance.
        options.enable_mem_pattern = False
        if not is_exact():
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.raw: Any = _opened(model, options)
        """The session itself, for libraries that want one."""
        self._run_options = _ort.RunOptions()
        # The longest utterance ever spoken would otherwise be paid for in memory until the end of the process.
        # Measured with a Piper voice: 130 MB less after 300 phonemes, for 13 % more processor time.
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs for these inputs."""
        return self.raw.run(list(outputs), dict(inputs), self._run_options)


def _opened(model: Path | bytes, options: Any) -> Any:  # noqa: ANN401 (ONNX Runtime has no types)
    if isinstance(model, Path):
        return _ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    # From a file a 63 MB voice takes 90 MB, from bytes 150: ONNX Runtime keeps what it was given.
    with NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model)
        file.flush()
        return _ort.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])
