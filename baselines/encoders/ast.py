"""The Audio Spectrogram Transformer as a query encoder, on the AST class of transformers.

Reads the authors' checkpoint and the hub's; the names inside the class differ between releases of
transformers, so names are brought to one form on both sides. The class's default LayerNorm
epsilon (1e-12) is not the published network's: embeddings come out 2e-4 off.

Source: Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sepbench.baselines.checkpoints import fit, read_checkpoint
from sepbench.baselines.encoders.clips import checkpoint_path, encode_equal, loaded, pad_to
from sepbench.baselines.encoders.construction import without_draws
from sepbench.baselines.encoders.kaldi_fbank import BANDS, FRAMES, SAMPLE_RATE, SHORTEST, image
from sepbench.harness.api import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor

_WIDTH = 768
_EPS = 1e-6
_AT_ONCE = 8 * FRAMES * BANDS
# Name in either publication -> name in the class of transformers 5; the first that fits.
_NAMES = (
    (r"embeddings\..*", r"\g<0>"),
    (r"cls_token", "embeddings.cls_token"),
    (r"dist_token", "embeddings.distillation_token"),
    (r"pos_embed", "embeddings.position_embeddings"),
    (r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
    (r"norm\.(.*)", r"layernorm.\1"),
    (r"blocks\.(\d+)\.norm1\.(.*)", r"layers.\1.layernorm_before.\2"),
    (r"blocks\.(\d+)\.norm2\.(.*)", r"layers.\1.layernorm_after.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(.*)", r"layers.\1.attention.o_proj.\2"),
    (r"blocks\.(\d+)\.mlp\.(.*)", r"layers.\1.mlp.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(.*)", r"layers.\1.attention.q_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.key\.(.*)", r"layers.\1.attention.k_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.value\.(.*)", r"layers.\1.attention.v_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(.*)", r"layers.\1.attention.o_proj.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(.*)", r"layers.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(.*)", r"layers.\1.mlp.fc2.\2"),
    (r"encoder\.layer\.(\d+\.layernorm_.*)", r"layers.\1"),
)
_FUSED = re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)")
# Heads: AudioSet's, and ImageNet's left over from the start of the training.
_HEADS = ("mlp_head.", "classifier.", "head.", "head_dist.")


class Ast:
    """768-d mean of class and distillation token, 16 kHz.

    Args:
        checkpoint: the authors' `audioset_10_10_0.4593.pth` or the hub's `model.safetensors`;
            None for the installed one.
    """

    card = EncoderCard(
        name="ast",
        kind="audio",
        dimension=768,
        sample_rate=SAMPLE_RATE,
        crop="first 10.24 s; shorter padded as in training",
        summary="AST, fine-tuned on AudioSet (patches 10 apart, mAP 0.459)",
        licence="BSD-3-Clause",
        paper="Gong et al., AST, Interspeech 2021",
        verified="the official network with filled weights: 2e-5; the published checkpoint was "
        "not opened",
    )
    weights: ClassVar[Mapping[str, str]] = {"checkpoint": "ast"}

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = "cpu"
        self._network: Any = None

    def load(self, device: str) -> None:
        """Read the checkpoint and put the network on the device.

        Raises:
            MissingWeightsError: no checkpoint given or installed.
            CheckpointError: a file that is damaged or made for another network.
        """
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        self.load_state(read_checkpoint(path), device, what=str(path))

    def load_state(self, state: Mapping[str, Tensor], device: str, *, what: str = "ast") -> None:
        """As `load`, from tensors already read, named as in either publication."""
        self._network = build(state, what=what).to(device)
        self.device = device

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Embeddings (B, 768) of mono clips (N,) at 16 kHz.

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
            prepare=lambda clip: image(pad_to(clip, SHORTEST)),
            embed=lambda batch: network(batch).pooler_output,
            at_once=_AT_ONCE,
        )


def build(state: Mapping[str, Any], *, what: str) -> Any:
    """The transformers package's ASTModel with its weights, on the CPU, in eval mode.

    Raises:
        CheckpointError: other tensors than AST's.
    """
    from transformers import ASTConfig, ASTModel

    # The rest of the class's defaults is the published geometry.
    config = ASTConfig(
        hidden_size=_WIDTH,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        patch_size=16,
        frequency_stride=10,
        time_stride=10,
        max_length=FRAMES,
        num_mel_bins=BANDS,
        layer_norm_eps=_EPS,
    )
    network = without_draws(lambda: ASTModel(config))
    installed = {one_name(name): name for name in network.state_dict()}
    named = {installed.get(name, name): t for name, t in _split(state).items()}
    fit(network, named, what=what, ignored=lambda name: name.startswith(_HEADS))
    return network


def one_name(name: str) -> str:
    """The name transformers 5 gives a tensor; of one unknown to it, what was asked."""
    for pattern, target in _NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return name


def _split(state: Mapping[str, Any]) -> dict[str, Any]:
    """Without the publications' prefixes, fused projections apart, in one form of names."""
    split = {}
    for name, value in state.items():
        bare = re.sub(r"^(module\.)?(v\.|audio_spectrogram_transformer\.)?", "", name)
        fused = _FUSED.fullmatch(bare)
        if fused is not None and tuple(getattr(value, "shape", ()))[:1] == (3 * _WIDTH,):
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                split[f"layers.{fused[1]}.attention.{part}_proj.{fused[2]}"] = rows
        else:
            split[one_name(bare)] = value
    return split


def check(path: str | Path) -> str:
    """One line about a checkpoint.

    Raises:
        CheckpointError: it is not AST's.
    """
    build(read_checkpoint(path), what=str(path))
    return "AST, patches 10 apart, 768-d"
