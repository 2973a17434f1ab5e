"""A trained detector under the names and with the buffers of htsat_audioset_2048d.ckpt.

The original loads its file strictly: what its constructor makes (the front end, the window indexes
and masks, a layer that is not used) has to be there too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepbench.baselines.encoders.log_mel import mel_matrix

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.encoders.log_mel import LogMel
    from sepbench.baselines.stsed.network_sed import SoundEventDetector

PREFIX = "sed_model."
_BACKBONE = "backbone.audio_encoder."
# Our names of a block's parts, and the published ones; longer names first.
_NAMES = (
    ("batch_norm.", "bn0."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".attention.output.dense.", ".attn.proj."),
    (".attention.self.relative_position", ".attn.relative_position"),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
)
_QUERY = re.compile(r"\.attention\.self\.query\.(weight|bias)$")
_WINDOW = 8
_SHIFT = _WINDOW // 2
_OUTSIDE = -100.0  # added to the attention between regions that are no neighbours


def published_detector(detector: SoundEventDetector) -> dict[str, dict[str, Tensor]]:
    """What the file holds: {"state_dict": name -> tensor}."""
    import torch

    state = {name: tensor.detach().cpu() for name, tensor in detector.state_dict().items()}
    state |= {
        name: tensor.detach().cpu()
        for name, tensor in detector.named_buffers()
        if name.endswith("relative_position_index")
    }
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        own = name.removeprefix(_BACKBONE)
        if _QUERY.search(own):
            parts = [state[name.replace(".query.", f".{part}.")] for part in _PARTS]
            found[_QUERY.sub(r".attn.qkv.\1", own)] = torch.cat(parts)
        elif not re.search(r"\.attention\.self\.(key|value)\.", own):
            for old, new in _NAMES:
                own = own.replace(old, new, 1)
            found[own] = value
    found |= (
        front_end(detector.front) | _masks(found) | _unused_head(len(detector.tscam_conv.weight))
    )
    return {"state_dict": {PREFIX + name: value.clone() for name, value in found.items()}}


_PARTS = ("query", "key", "value")


def front_end(front: LogMel) -> dict[str, Tensor]:
    """The matrices of the front end, which PANNs' and HTS-AT's constructors make too."""
    from sepbench.baselines.encoders.network_dft import dft_matrices

    matrices = dft_matrices(front.n_fft)
    found = {
        f"spectrogram_extractor.{name}": value
        for name, value in matrices.items()
        if name.startswith("stft.")
    }
    return {**found, "logmel_extractor.melW": mel_matrix(front)}


def _masks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mask of every shifted block; the last stage is one window and has none."""
    blocks = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight$")
    places = [tuple(map(int, m.groups())) for name in state if (m := blocks.match(name))]
    stages = 1 + max(stage for stage, _ in places)
    return {
        f"layers.{stage}.blocks.{block}.attn_mask": window_mask(_WINDOW * 2 ** (stages - 1 - stage))
        for stage, block in places
        if block % 2 and stage < stages - 1
    }


def window_mask(size: int) -> Tensor:
    """(W, 64, 64): 0 within a region of a shifted window, -100 between two.

    Args:
        size: rows, and columns, of the grid.
    """
    import torch

    regions = torch.zeros(size, size)
    cuts = (slice(0, -_WINDOW), slice(-_WINDOW, -_SHIFT), slice(-_SHIFT, None))
    for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
        regions[rows, columns] = number
    count = size // _WINDOW
    windows = regions.view(count, _WINDOW, count, _WINDOW).transpose(1, 2).reshape(count**2, -1)
    differs = windows[:, :, None] != windows[:, None]
    return differs.float() * _OUTSIDE


def _unused_head(classes: int) -> dict[str, Tensor]:
    import torch

    return {"head.weight": torch.zeros(classes, classes), "head.bias": torch.zeros(classes)}
