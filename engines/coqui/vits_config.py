"""What Coqui must be told of an imported Piper voice.

The configuration on disk is for Coqui's own tools. Here it is made anew from the few values that matter: Coqui's
configurations can name classes to import and files to open, and a model's folder may come from anybody.
"""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from engines.coqui.torch_runtime import import_extra

_UNUSED: Final = 0xE000
"""Symbols that the weights have room for but the voice does not use get characters of private use."""

HYPER_PARAMETERS: Final = (
    "num_chars",
    "out_channels",
    "hidden_channels",
    "hidden_channels_ffn_text_encoder",
    "num_heads_text_encoder",
    "num_layers_text_encoder",
    "kernel_size_text_encoder",
    "kernel_size_flow",
    "dilation_rate_flow",
    "num_layers_flow",
    "resblock_type_decoder",
    "resblock_kernel_sizes_decoder",
    "resblock_dilation_sizes_decoder",
    "upsample_rates_decoder",
    "upsample_kernel_sizes_decoder",
    "upsample_initial_channel_decoder",
    "init_discriminator",
    "use_speaker_embedding",
    "num_speakers",
    "speaker_embedding_channels",
)
"""What of ``VitsArgs`` an imported voice sets."""


class _Audio(Struct, frozen=True):
    sample_rate: int


class _Inference(Struct, frozen=True):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class PiperConfig(Struct, frozen=True):
    """The part of ``<voice>.onnx.json`` that tells of the model."""

    audio: _Audio
    phoneme_id_map: dict[str, tuple[int, ...]]
    inference: _Inference = _Inference()
    num_speakers: int = 1
    speaker_id_map: dict[str, int] = {}


def vits_config(model_args: dict[str, Any], piper: PiperConfig) -> Any:  # noqa: ANN401 (Coqui's VitsConfig)
    """A ``VitsConfig``.

    Args:
        model_args: Hyper-parameters, as :class:`engines.coqui.piper_import.ImportedVoice` has them.
        piper: Symbols, speakers and defaults of the voice.

    Raises:
        SpeechError: ``missing_extra``.
        KeyError: The hyper-parameters are not complete.
    """
    configs = import_extra("TTS.tts.configs.vits_config")
    shared = import_extra("TTS.tts.configs.shared_configs")
    symbols = [chr(_UNUSED + number) for number in range(model_args["num_chars"])]
    for symbol, ids in piper.phoneme_id_map.items():
        symbols[ids[0]] = symbol
    speakers = [name for name, _ in sorted(piper.speaker_id_map.items(), key=lambda item: item[1])]
    config = configs.VitsConfig(
        model_args=configs.VitsArgs(
            **model_args,
            inference_noise_scale=piper.inference.noise_scale,
            length_scale=piper.inference.length_scale,
            inference_noise_scale_dp=piper.inference.noise_w,
        ),
        # Their class makes of these the padding, the punctuation, the other symbols and, last, its blank.
        characters=shared.CharactersConfig(
            characters_class="TTS.tts.models.vits.VitsCharacters",
            pad=symbols[0],
            punctuations="",
            characters="".join(symbols[1:-1]),
            phonemes="",
        ),
        use_phonemes=False,  # the phonemes are Piper's; Coqui gets symbols
        text_cleaner="no_cleaners",
        add_blank=True,
        enable_eos_bos_chars=True,
        speakers=speakers or [str(number) for number in range(piper.num_speakers)],
    )
    config.audio.sample_rate = piper.audio.sample_rate
    config.audio.hop_length = math.prod(model_args["upsample_rates_decoder"])
    return config
