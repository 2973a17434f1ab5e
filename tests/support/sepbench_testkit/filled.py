"""Weights and signals that anybody can make again, number for number.

A golden file stores what a published network computes when its tensors are filled by
`fill_state_dict`. NumPy promises that the legacy generator's stream never changes, so the same
names, shapes and seed give the same tensors for good.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray


def fill_array(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """The float32 values of one tensor: scaled so that activations stay in range.

    Args:
        name: as in the state dict; its last part says what kind of tensor it is.
        shape: of the tensor.
        seed: of the whole state dict.
    """
    generator = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    values = generator.standard_normal(shape)
    leaf = name.split(".")[-1]
    if leaf == "running_var":
        values = 1.0 + 0.1 * np.abs(values)
    elif leaf != "running_mean" and len(shape) >= 2:
        values = values / math.sqrt(math.prod(shape[1:]))
    elif leaf == "weight":  # of a normalisation
        values = 1.0 + 0.1 * values
    else:  # biases and running means
        values = 0.1 * values
    return np.asarray(values, dtype=np.float32)


def fill_state_dict(layout: Path, seed: int) -> dict[str, torch.Tensor]:
    """Tensors for a layout file.

    Args:
        layout: JSON, a list of {"name", "shape", "dtype", "fill"}; "fill" is "random", or "zero"
            for counters and the like. Buffers that can be computed stand in no layout.
        seed: as stored with the golden numbers.
    """
    return {
        row["name"]: torch.zeros(row["shape"], dtype=getattr(torch, row["dtype"]))
        if row["fill"] == "zero"
        else torch.from_numpy(fill_array(row["name"], tuple(row["shape"]), seed))
        for row in json.loads(layout.read_text("utf-8"))
    }


def gliding_tones(seed: int, channels: int, samples: int, rate: int) -> NDArray[np.float32]:
    """A signal (channels, samples), peak 0.9: four gliding tones a channel over faint noise.

    Args:
        seed: of the draw.
        channels: C.
        samples: N.
        rate: Hz; tones start and stop between 80 and 4000 Hz.
    """
    generator = np.random.RandomState(seed)
    seconds = np.arange(samples) / rate  # (N,)
    length = max(seconds[-1], 1e-9)
    signal = 0.05 * generator.standard_normal((channels, samples))  # (C, N)
    for channel in range(channels):
        for _ in range(4):
            # The order of the draws is part of the golden numbers.
            start, stop = generator.uniform(80.0, 4000.0, size=2)
            turns = start * seconds + 0.5 * (stop - start) * seconds**2 / length
            signal[channel] += generator.uniform(0.1, 0.5) * np.sin(2 * np.pi * turns)
    return (0.9 * signal / np.abs(signal).max()).astype(np.float32)
