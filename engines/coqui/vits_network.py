"""A Coqui VITS checkpoint as the three parts that :class:`engines.piper.PiperTts` speaks with.

Coqui's own inference runs as far as the flow and is stopped there, so that flow and decoder can run in windows. Each
part takes what waits from several utterances in one batch: the front with padding, which VITS masks throughout; flow
and decoder only what has the same length, because a HiFi-GAN would hear the padding. As windows grow by one rule, many
have.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.coqui.gathering import Gathering
from engines.coqui.piper_import import CHECKPOINT_NAME, CONFIG_NAME
from engines.coqui.torch_runtime import import_extra
from engines.coqui.vits_config import HYPER_PARAMETERS, PiperConfig, vits_config
from engines.vits_graph import SPEAKER
from engines.vits_network import VitsNetwork

_DURATIONS, _LATENTS, _FRAMES, _AUDIO, _MASK = "durations", "latents", "frames", "audio", "mask"
_UNUSED: Final = ("posterior_encoder.", "duration_predictor.post_", "duration_predictor.flows.1.")
"""Modules that only training runs; an imported voice has no weights for them."""

Arrays = Mapping[str, NDArray[Any]]


def load_network(model_dir: Path, *, device: Any, max_batch: int) -> VitsNetwork:  # noqa: ANN401 (a torch.device)
    """The network of an imported voice.

    Args:
        model_dir: What :func:`engines.coqui.piper_import.import_voice` made.
        device: Where to compute.
        max_batch: Utterances in one batch at most.

    Raises:
        ValueError: The files are not those of such a voice.
        SpeechError: ``missing_extra``.
    """
    torch = import_extra("torch")
    model = _load_model(model_dir)
    model.to(device)
    decoder, flow = model.waveform_decoder, model.flow
    # Coqui's inference asks both; here they give back what they are given, and run later, in windows.
    del model.waveform_decoder, model.flow
    model.waveform_decoder = model.flow = _unchanged
    lock = threading.Lock()

    def tensor(array: NDArray[Any]) -> Any:  # noqa: ANN401
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    def speakers(batch: Sequence[Arrays]) -> Any:  # noqa: ANN401
        return tensor(np.concatenate([inputs[SPEAKER] for inputs in batch])) if SPEAKER in batch[0] else None

    def condition(batch: Sequence[Arrays]) -> Any:  # noqa: ANN401
        chosen = speakers(batch)
        return None if chosen is None else model.emb_g(chosen).unsqueeze(-1)

    @torch.inference_mode()
    def front(batch: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        lengths = [inputs["input"].shape[1] for inputs in batch]
        symbols = np.zeros((len(batch), max(lengths)), dtype=np.int64)
        for row, inputs in enumerate(batch):
            symbols[row, : lengths[row]] = inputs["input"][0]
        # Coqui multiplies with these three: one value an utterance does as well as one for all.
        scales = tensor(np.stack([inputs["scales"] for inputs in batch])).reshape(len(batch), 3, 1, 1)
        model.inference_noise_scale, model.length_scale, model.inference_noise_scale_dp = scales.unbind(1)
        made = model.inference(
            tensor(symbols),
            {
                "x_lengths": tensor(np.array(lengths)),
                "speaker_ids": speakers(batch),
                "d_vectors": None,
                "language_ids": None,
                "durations": None,
            },
        )
        durations = made["durations"].cpu().numpy()
        latents = made["z_p"].cpu().numpy()
        frames = np.maximum(durations.sum(axis=(1, 2)), 1).astype(np.int64)
        return [
            {_DURATIONS: durations[row : row + 1, :, :length], _LATENTS: latents[row : row + 1, :, : frames[row]]}
            for row, length in enumerate(lengths)
        ]

    @torch.inference_mode()
    def run_flow(batch: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        latents, mask = (tensor(np.concatenate([inputs[name] for inputs in batch])) for name in (_LATENTS, _MASK))
        return _rows(_FRAMES, flow(latents, mask, g=condition(batch), reverse=True))

    @torch.inference_mode()
    def run_decoder(batch: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        frames = tensor(np.concatenate([inputs[_FRAMES] for inputs in batch]))
        return _rows(_AUDIO, decoder(frames, g=condition(batch)))

    def part(compute: _Compute, bucket: Callable[[Arrays], int]) -> _Part:
        gathering = Gathering(
            compute,
            bucket=bucket,
            max_batch=max_batch,
            model_lock=lock,
            out_of_memory=torch.OutOfMemoryError,
        )
        return _Part(gathering)

    several = model.num_speakers > 1
    return VitsNetwork(
        front=part(front, lambda _: 0),
        durations=_DURATIONS,
        latents=_LATENTS,
        frames=_FRAMES,
        audio=_AUDIO,
        flow=part(run_flow, lambda inputs: inputs[_LATENTS].shape[2]),
        flow_takes_speaker=several,
        mask=_MASK,
        decoder=part(run_decoder, lambda inputs: inputs[_FRAMES].shape[2]),
        decoder_takes_speaker=several,
    )


_Compute = Callable[[Sequence[Arrays]], Sequence[dict[str, NDArray[Any]]]]


class _Part:
    def __init__(self, gathering: Gathering[Arrays, dict[str, NDArray[Any]]]) -> None:
        self._gathering = gathering

    def run(self, outputs: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        """See :class:`engines.vits_network.NetworkPart`."""
        made = self._gathering(inputs)
        return [made[name] for name in outputs]


def _load_model(model_dir: Path) -> Any:  # noqa: ANN401 (Coqui's Vits)
    """Coqui's model with the weights of a folder, ready to speak; on the CPU."""
    torch = import_extra("torch")
    parametrize = import_extra("torch.nn.utils.parametrize")
    vits = import_extra("TTS.tts.models.vits")
    try:
        (piper_path,) = model_dir.glob("*.onnx.json")
        piper = msgspec.json.decode(piper_path.read_bytes(), type=PiperConfig)
        # Coqui writes ``Infinity``, which JSON has not.
        known = json.loads((model_dir / CONFIG_NAME).read_bytes())["model_args"]
        config = vits_config({name: known[name] for name in HYPER_PARAMETERS if name in known}, piper)
        model = vits.Vits(config)
        # Never what pickle would run: a checkpoint may come from anybody.
        checkpoint = torch.load(model_dir / CHECKPOINT_NAME, map_location="cpu", weights_only=True)
        left = model.load_state_dict(checkpoint["model"], strict=False)
    except Exception as error:  # whatever Coqui, torch and pickle make of files that are not right
        raise ValueError(f"not a Coqui VITS voice: {type(error).__name__}") from error
    missing = [name for name in left.missing_keys if not name.startswith(_UNUSED)]
    if missing or left.unexpected_keys:
        raise ValueError(f"{len(missing)} weights are missing and {len(left.unexpected_keys)} are unknown")
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    del model.posterior_encoder
    return model.eval()


def _unchanged(value: Any, *_: object, **__: object) -> Any:  # noqa: ANN401 (a tensor)
    return value


def _rows(name: str, made: Any) -> list[dict[str, NDArray[Any]]]:  # noqa: ANN401 (a tensor)
    rows = made.cpu().numpy()
    return [{name: rows[row : row + 1]} for row in range(len(rows))]
