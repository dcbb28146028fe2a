"""Makes a Coqui VITS checkpoint of a Piper voice, so that it runs on torch.

Piper's voices and Coqui's VITS are the same architecture. What an export to ONNX changes is undone here:

- Modules have the names of the VITS paper's code, and the flows between them, which only flip channels, are counted;
  Coqui's are counted without.
- Weight normalisation is folded into weights, and those of the flow lose their names. Their biases keep them, so a
  convolution is known by its bias.
- The scale of the first duration flow is folded into a factor.
- Hyper-parameters are attributes of nodes and shapes of weights.

The posterior encoder and what only training needs are not in an ONNX file. Coqui's classes have them all the same;
in an imported voice they are left as initialised, and synthesis never asks them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from msgspec import Struct
from numpy.typing import NDArray

from engines.coqui.torch_runtime import import_extra
from engines.coqui.vits_config import PiperConfig, vits_config
from schemas.errors import ErrorCode, SpeechError

log = structlog.get_logger("antiphon.engines")

Weights = dict[str, NDArray[np.float32]]

CHECKPOINT_NAME: Final = "model.pth"
CONFIG_NAME: Final = "config.json"

_MODULES: Final = {
    "enc_p": "text_encoder",
    "dp": "duration_predictor",
    "flow": "flow",
    "dec": "waveform_decoder",
}
_NORMED: Final = re.compile(
    r"flow\.flows\.\d+\.enc\.(in_layers|res_skip_layers|cond_layer)\b.*|waveform_decoder\.(ups|resblocks)\..*"
)
"""Modules that Coqui keeps weight-normed."""
_SYMBOL_EMBEDDING: Final = "text_encoder.emb.weight"
_SPEAKER_EMBEDDING: Final = "emb_g.weight"
_WINDOW: Final = 4
"""Of relative attention: Coqui has no setting for it."""


class ImportedVoice(Struct, frozen=True):
    """A voice as Coqui has it."""

    weights: Weights
    """By the names of Coqui's state dictionary."""
    model_args: dict[str, Any]
    """What Coqui's ``VitsArgs`` must be told for these weights."""


def import_voice(source: Path, target: Path) -> None:
    """Write ``model.pth``, ``config.json`` and the voice's Piper configuration into a folder.

    Coqui's own tools read the first two: ``Vits.load_checkpoint(config, path, eval=True, strict=False)``.

    Args:
        source: Folder with one ``<voice>.onnx`` and its ``<voice>.onnx.json``.
        target: Folder to make the files in; must exist.

    Raises:
        SpeechError: ``missing_extra``, or ``model_corrupt`` if the files are not those of a Piper voice.
    """
    torch = import_extra("torch")
    path = _graph_path(source)
    config_path = path.with_name(path.name + ".json")
    try:
        piper = msgspec.json.decode(config_path.read_bytes(), type=PiperConfig)
        voice = read_voice(path)
    except (OSError, msgspec.DecodeError, ValueError, LookupError, ArithmeticError) as error:
        log.warning("voice_not_imported", reason=str(error))
        raise SpeechError(
            ErrorCode.MODEL_CORRUPT, f"The folder {source.name} does not hold a Piper voice that can be imported."
        ) from None
    vits_config(voice.model_args, piper).save_json(str(target / CONFIG_NAME))
    tensors = {name: torch.from_numpy(np.array(weight)) for name, weight in voice.weights.items()}
    torch.save({"model": tensors}, target / CHECKPOINT_NAME)
    shutil.copyfile(config_path, target / config_path.name)


def read_voice(graph_path: Path) -> ImportedVoice:
    """The weights and hyper-parameters of a Piper voice, named as Coqui names them.

    Raises:
        ValueError: The graph is not that of a VITS model of a kind that Coqui has.
        SpeechError: ``missing_extra``.
    """
    graph = _Graph(graph_path)
    weights: Weights = {}
    for name, weight in graph.named_weights().items():
        renamed = _renamed(name)
        if renamed is not None:
            weights[renamed] = weight
    model_args = _model_args(weights, graph)
    return ImportedVoice(_normed(weights), model_args)


class _Node(Struct, frozen=True):
    op_type: str
    inputs: list[str]
    attributes: dict[str, Any]


class _Graph:
    """The nodes and weights of an ONNX file."""

    def __init__(self, path: Path) -> None:
        onnx = import_extra("onnx")
        try:
            # Weights outside the file could be any file of this machine.
            model = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # noqa: BLE001 (the parser's exceptions have no common root)
            raise ValueError(f"not an ONNX model: {type(error).__name__}") from None
        self.weights: Weights = {
            weight.name: onnx.numpy_helper.to_array(weight)
            for weight in model.graph.initializer
            if weight.data_type == onnx.TensorProto.FLOAT
        }
        self.nodes = [
            _Node(
                node.op_type,
                list(node.input),
                {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
            )
            for node in model.graph.node
            if node.op_type in {"Conv", "ConvTranspose", "Gather", "Mul", "Sub"}
        ]
        self._outputs_of_sub = {
            output: list(node.input) for node in model.graph.node if node.op_type == "Sub" for output in node.output
        }

    def named_weights(self) -> Weights:
        """Every weight by the name it has in VITS, whatever the export called it."""
        named = {name: weight for name, weight in self.weights.items() if _is_named(name)}
        for node in self.nodes:
            if node.op_type in {"Conv", "ConvTranspose"} and len(node.inputs) == 3:  # noqa: PLR2004 (with a bias)
                _, weight, bias = node.inputs
                if bias.endswith(".bias") and weight in self.weights:
                    named[bias.removesuffix("bias") + "weight"] = self.weights[weight]
            elif node.op_type == "Gather":
                table, indices = node.inputs
                known = {"input": "enc_p.emb.weight", "sid": _SPEAKER_EMBEDDING}.get(indices)
                if known and table in self.weights:
                    named[known] = self.weights[table]
            elif node.op_type == "Mul":
                scale = next((self.weights[name] for name in node.inputs if name in self.weights), None)
                shifted = any("dp.flows.0.m" in self._outputs_of_sub.get(name, ()) for name in node.inputs)
                if scale is not None and shifted:
                    named["dp.flows.0.logs"] = -np.log(scale)
        return named

    def dilations(self, bias_prefix: str) -> list[int]:
        """Of the convolutions whose biases have names with this prefix, in order of their numbers."""
        found = {
            node.inputs[2]: int(node.attributes["dilations"][0])
            for node in self.nodes
            if node.op_type == "Conv" and len(node.inputs) == 3 and node.inputs[2].startswith(bias_prefix)  # noqa: PLR2004
        }
        return [found[name] for name in sorted(found)]

    def strides(self) -> list[int]:
        """Of the transposed convolutions, in order."""
        return [int(node.attributes["strides"][0]) for node in self.nodes if node.op_type == "ConvTranspose"]


def _is_named(name: str) -> bool:
    return name.partition(".")[0] in {*_MODULES, "emb_g"} and "." in name


def _renamed(name: str) -> str | None:
    """What Coqui calls a weight of VITS; ``None`` for one that only training needs."""
    if name == _SPEAKER_EMBEDDING:
        return name
    module, _, rest = name.partition(".")
    if module == "dp":
        if rest.startswith("post_"):
            return None
        special = {"flows.0.m": "flows.0.translation", "flows.0.logs": "flows.0.log_scale"}
        rest = special.get(rest) or re.sub(r"^flows\.(\d+)\.", lambda found: f"flows.{(int(found[1]) + 1) // 2}.", rest)
    elif module == "flow":
        rest = re.sub(r"^flows\.(\d+)\.", lambda found: f"flows.{int(found[1]) // 2}.", rest)
    elif module == "dec" and rest.startswith("cond."):
        rest = "cond_layer." + rest.removeprefix("cond.")
    return f"{_MODULES[module]}.{rest}"


def _normed(weights: Weights) -> Weights:
    """With the weights that Coqui keeps in two parts, direction and length, in those two."""
    parts: Weights = {}
    for name, weight in weights.items():
        module = name.removesuffix(".weight")
        if module != name and _NORMED.fullmatch(module):
            length = np.sqrt(np.square(weight, dtype=np.float64).sum(axis=tuple(range(1, weight.ndim)), keepdims=True))
            parts[f"{module}.parametrizations.weight.original0"] = length.astype(np.float32)
            parts[f"{module}.parametrizations.weight.original1"] = weight
        else:
            parts[name] = weight
    return parts


def _model_args(weights: Weights, graph: _Graph) -> dict[str, Any]:
    """The hyper-parameters that the shapes of the weights and the attributes of the nodes tell."""
    missing = {_SYMBOL_EMBEDDING, "text_encoder.proj.weight", "waveform_decoder.conv_pre.weight"} - weights.keys()
    if missing or "duration_predictor.flows.0.log_scale" not in weights:
        raise ValueError("weights of a VITS model with stochastic durations are missing")
    symbols, hidden = weights[_SYMBOL_EMBEDDING].shape
    ups = [weights[f"waveform_decoder.ups.{number}.weight"] for number in range(len(graph.strides()))]
    per_stage = _count(weights, "waveform_decoder.resblocks") // len(ups)
    two_rows = "waveform_decoder.resblocks.0.convs1.0.weight" in weights
    row = "convs1" if two_rows else "convs"
    in_layer = "flow.flows.0.enc.in_layers.0"
    attention = weights["text_encoder.encoder.attn_layers.0.emb_rel_k"]
    first_ffn = weights["text_encoder.encoder.ffn_layers.0.conv_1.weight"]
    speakers = weights.get(_SPEAKER_EMBEDDING)
    if attention.shape[1] != 2 * _WINDOW + 1:
        raise ValueError("the window of the text encoder's attention is not one that Coqui has")
    return {
        "num_chars": symbols,
        "out_channels": 513,
        "hidden_channels": hidden,
        "hidden_channels_ffn_text_encoder": first_ffn.shape[0],
        "num_heads_text_encoder": hidden // attention.shape[2],
        "num_layers_text_encoder": _count(weights, "text_encoder.encoder.attn_layers"),
        "kernel_size_text_encoder": first_ffn.shape[2],
        "kernel_size_flow": weights[f"{in_layer}.weight"].shape[2],
        "dilation_rate_flow": 1,
        "num_layers_flow": _count(weights, "flow.flows.0.enc.in_layers"),
        "resblock_type_decoder": "1" if two_rows else "2",
        "resblock_kernel_sizes_decoder": [
            weights[f"waveform_decoder.resblocks.{number}.{row}.0.weight"].shape[2] for number in range(per_stage)
        ],
        "resblock_dilation_sizes_decoder": [
            graph.dilations(f"dec.resblocks.{number}.{row}.") for number in range(per_stage)
        ],
        "upsample_rates_decoder": graph.strides(),
        "upsample_kernel_sizes_decoder": [up.shape[2] for up in ups],
        "upsample_initial_channel_decoder": weights["waveform_decoder.conv_pre.weight"].shape[0],
        "init_discriminator": False,
        **({} if speakers is None else _speaker_args(speakers)),
    }


def _speaker_args(embedding: NDArray[np.float32]) -> dict[str, Any]:
    count, channels = embedding.shape
    return {"use_speaker_embedding": True, "num_speakers": count, "speaker_embedding_channels": channels}


def _count(weights: Mapping[str, object], module: str) -> int:
    """How many numbered children a module has."""
    return len({name.removeprefix(module + ".").partition(".")[0] for name in weights if name.startswith(module + ".")})


def _graph_path(folder: Path) -> Path:
    graphs = list(folder.glob("*.onnx"))
    if len(graphs) != 1:
        raise SpeechError(
            ErrorCode.MODEL_CORRUPT, f"The folder {folder.name} must hold one Piper voice, a file that ends in .onnx."
        )
    return graphs[0]
