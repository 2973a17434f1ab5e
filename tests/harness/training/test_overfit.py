"""Each network, small, learns four mixtures by heart: so gradients reach what they should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sepbench.baselines.audiosep.network import NetworkConfig, ResUNet30
from sepbench.baselines.audiosep.network_training import AudioSepTraining
from sepbench.harness.api.training import RecipeFacts, TrainingBatch
from sepbench.harness.run.smoke import run_smoke, smoke_settings
from sepbench.harness.run.training import open_recipe
from sepbench.harness.training.settings import with_changes

RATE, LENGTH = 16_000, 16_000
SHORT = 4_096  # enough of a mixture
TEXTS = ["a low tone", "a high tone", "a hiss", "clicks"]


class FixedEncoder:
    """Directions that have nothing in common, one for each text."""

    dimension = 16

    def read(self, texts: Sequence[str], device: torch.device) -> torch.Tensor:
        return torch.eye(16)[[TEXTS.index(text) for text in texts]]

    def hear(self, sounds: torch.Tensor) -> torch.Tensor:
        """The same ones, by where most of a sound's power lies."""
        peaks = torch.fft.rfft(sounds).abs().argmax(-1)
        places = torch.unique(peaks, sorted=True)
        return torch.eye(16)[torch.searchsorted(places, peaks)]


def four_mixtures(length: int) -> TrainingBatch:
    """Of two sounds each; every sound is the target once, and once what lies beside it."""
    time = torch.arange(length) / RATE
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(length, generator=generator)
    high = torch.fft.rfft(noise)
    high[: len(high) // 2] = 0
    sounds = torch.stack(
        [
            0.3 * torch.sin(2 * torch.pi * 440 * time),
            0.3 * torch.sin(2 * torch.pi * 3000 * time),
            0.3 * torch.fft.irfft(high, n=length),
            0.3 * torch.sin(2 * torch.pi * 1250 * time),
        ]
    )
    return TrainingBatch(
        mixture=sounds + sounds.roll(-1, 0),
        target=sounds,
        sound=sounds,
        texts=TEXTS,
        tags=torch.eye(4),
        asked=torch.arange(4),
        vectors=torch.zeros(4, 0),
    )


def learn(trainee: Any, batch: TrainingBatch, *, steps: int, rate: float) -> tuple[float, float]:
    """The loss before and after."""
    torch.manual_seed(1)
    trainee.train()
    moving = [each for each in trainee.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(moving, lr=rate)
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - step / steps))
        loss = trainee.loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.09 * losses[0]:
            break
    return losses[0], losses[-1]


@pytest.mark.parametrize(
    ("recipe", "sizes"),
    [
        ("lassnet", {"network.text_width": 32, "network.dropout": 0.0}),
        ("unet-tag", {}),
        ("stsed", {}),
        ("stsed-sed", {"network.detector": "htsat", "network.mixup": 0.0}),
        ("stsed-sed", {"network.detector": "cnn14", "network.mixup": 0.0}),
        ("contrastive", {}),
    ],
)
def test_a_small_network_learns_four_mixtures_by_heart(
    recipe: str, sizes: dict[str, Any], tmp_path: Path
) -> None:
    plain = {"network.widths": [8, 16], **PLAIN.get(recipe, {})}
    settings = with_changes(smoke_settings(recipe), {**plain, **sizes})
    if settings.smoke.first:
        before = run_smoke(settings.smoke.first, folder=tmp_path)
        settings = with_changes(settings, {settings.smoke.gives: str(before.files[0])})
    torch.manual_seed(1)
    made = open_recipe(settings).network(
        RecipeFacts(
            classes=("a", "b", "c", "d"),
            labelled=True,
            texts=tuple(TEXTS),
            vector=0,
            sample_rate=RATE,
            segment=LENGTH,
        )
    )
    length = SHORT if recipe in ("lassnet", "unet-tag", "stsed") else LENGTH

    before_, after = learn(made, four_mixtures(length), steps=300, rate=2e-3)

    assert after < 0.1 * before_


@pytest.mark.parametrize("text_ratio", [1.0, 0.0], ids=["texts", "sounds"])
def test_audiosep_learns_four_mixtures_by_heart(text_ratio: float) -> None:
    torch.manual_seed(1)
    network = ResUNet30(NetworkConfig(widths=(8, 16), condition=16, n_fft=256, hop=128))
    made = AudioSepTraining(network, FixedEncoder(), text_ratio=text_ratio, vector_ratio=0.0)

    before, after = learn(made, four_mixtures(SHORT), steps=300, rate=2e-3)

    assert after < 0.1 * before


PLAIN: dict[str, dict[str, Any]] = {
    "lassnet": {"network.word_dropout": 0.0, "network.n_fft": 128, "network.condition": 64},
    "unet-tag": {"network.n_fft": 128, "network.condition": 64},
    "stsed": {"network.n_fft": 128},
    "contrastive": {"network.dropout": 0.0, "network.word_dropout": 0.0},
    "stsed-sed": {"network.mask_frames": 0, "network.mask_bands": 0, "network.drop_path": 0.0},
}
