"""wav2vec 2.0 as a query encoder: the mean over time of its last layer, on transformers' class.

The default is the checkpoint of the HEAR baseline, the large model of VoxPopuli. Others of the
same width can be given: depth and normalisation are read off the tensors.

Source: Baevski et al., "wav2vec 2.0", NeurIPS 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.baselines.encoders.construction import without_draws
from sepbench.harness.api import EncoderCard
from sepbench.harness.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

# B clips, N samples, T frames of 20 ms, D width

SHORTEST = 400  # samples of one frame
_HEAD_WIDTH = 64  # of every published size
_EPS = 1e-7  # beside the variance, as transformers' feature extractor has it
_AT_ONCE = 80 * 16_000  # samples: 8 clips of ten seconds
# What only the training needs.
_TRAINING = ("quantizer.", "project_q.", "project_hid.", "lm_head.", "dropout_features.")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


class Wav2Vec2:
    """1024-d mean over time of the large model, 16 kHz.

    Args:
        checkpoint: a hub file (`pytorch_model.bin` or `model.safetensors`); None for the
            installed one.
        scale: bring each clip to mean 0 and variance 1 before, as the checkpoint's preprocessor
            does where it says `do_normalize`; false for one that does not.
    """

    card = EncoderCard(
        name="wav2vec2",
        kind="audio",
        dimension=1024,
        sample_rate=16_000,
        crop="whole clip, scaled to mean 0 and variance 1; below 400 samples zeros at its end",
        summary="wav2vec 2.0 large, trained on 100,000 h of VoxPopuli's speech",
        licence="CC BY-NC 4.0: not for commercial use",
        paper="Baevski et al., wav2vec 2.0, NeurIPS 2020",
        verified="transformers' own loading, feature extractor and class on small models of both "
        "forms: 1e-5; the published checkpoint was not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "wav2vec2"}

    def __init__(self, checkpoint: str | None = None, *, scale: bool = True) -> None:
        self.checkpoint, self.scale = checkpoint, scale
        self.device = "cpu"
        self._network: Any = None

    def load(self, device: str) -> None:
        """Read the checkpoint and put the network on the device.

        Raises:
            MissingWeightsError: no checkpoint given or installed.
            CheckpointError: a file that is damaged or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        network = build(read_checkpoint(path), width=self.card.dimension, what=str(path))
        self._network, self.device = network.to(device), device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 1024) of mono clips (N,) at 16 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        network = loaded(self._network, self.card.name)
        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self.device,
            prepare=lambda clip: pad_to(scaled(clip) if self.scale else clip, SHORTEST),
            embed=lambda batch: network(batch).last_hidden_state.mean(1),
            at_once=_AT_ONCE,
        )


class Wav2Vec2Base(Wav2Vec2):
    """768-d mean over time of the base model, 16 kHz.

    Args:
        checkpoint: as for the large model.
        scale: as for the large model.
    """

    card = EncoderCard(
        name="wav2vec2-base",
        kind="audio",
        dimension=768,
        sample_rate=16_000,
        crop=Wav2Vec2.card.crop,
        summary="wav2vec 2.0 base, trained on 960 h of LibriSpeech",
        licence="Apache-2.0",
        paper=Wav2Vec2.card.paper,
        verified=Wav2Vec2.card.verified,
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "wav2vec2-base"}


def scaled(clip: Tensor) -> Tensor:
    """A clip (N,) with mean 0 and variance 1; silence stays silent."""
    return (clip - clip.mean()) / (clip.var(correction=0) + _EPS).sqrt()


def build(state: Mapping[str, Any], *, width: int, what: str) -> Any:
    """The transformers package's Wav2Vec2Model with its weights, on the CPU, in eval mode.

    Args:
        state: named as on the hub, the parts of the training included.
        width: D.
        what: names the file in messages.

    Raises:
        CheckpointError: other tensors than a wav2vec 2.0 of this width has.
    """
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    bare = {_modern(name): value for name, value in state.items()}
    layers = [int(match[1]) for name in bare if (match := _LAYER.match(name))]
    inner = bare.get("encoder.layers.0.feed_forward.intermediate_dense.weight")
    shape = tuple(getattr(inner, "shape", ()))
    if len(shape) != 2 or shape[1] != width:
        found = f"of width {shape[1]}" if len(shape) == 2 else "of another kind"
        raise CheckpointError(
            f"{what} is a network {found}, not a wav2vec 2.0 of width {width}. The large models "
            "have 1024 (encoder wav2vec2), the base ones 768 (wav2vec2-base)."
        )
    # Of the published models, those that normalise every convolution also normalise before each
    # layer of the transformer ("stable"); the others do neither.
    stable = "feature_extractor.conv_layers.1.layer_norm.weight" in bare
    config = Wav2Vec2Config(
        hidden_size=width,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        intermediate_size=shape[0],
        feat_extract_norm="layer" if stable else "group",
        do_stable_layer_norm=stable,
        conv_bias="feature_extractor.conv_layers.1.conv.bias" in bare,
    )
    network = without_draws(lambda: Wav2Vec2Model(config))
    installed = {_modern(name): name for name in network.state_dict()}
    # Some files lack the vector that only masking, hence training, puts in.
    mask = "masked_spec_embed"
    fit(
        network,
        {installed.get(name, name): value for name, value in bare.items() if name != mask},
        what=what,
        ignored=lambda name: name.startswith(_TRAINING),
        computed=(mask,),
    )
    return network


def _modern(name: str) -> str:
    """Without the prefix of training classes; weight normalisation as newer releases name it."""
    name = name.removeprefix("wav2vec2.")
    name = name.replace("pos_conv_embed.conv.weight_g", _NORM + "original0")
    return name.replace("pos_conv_embed.conv.weight_v", _NORM + "original1")


_NORM = "pos_conv_embed.conv.parametrizations.weight."


def check(path: str | Path) -> str:
    """One line about a large checkpoint.

    Raises:
        CheckpointError: it is not a wav2vec 2.0 of width 1024.
    """
    return _check(path, Wav2Vec2.card.dimension)


def check_base(path: str | Path) -> str:
    """One line about a base checkpoint.

    Raises:
        CheckpointError: it is not a wav2vec 2.0 of width 768.
    """
    return _check(path, Wav2Vec2Base.card.dimension)


def _check(path: str | Path, width: int) -> str:
    network = build(read_checkpoint(path), width=width, what=str(path))
    return f"wav2vec 2.0, {network.config.num_hidden_layers} layers of width {width}"
