"""The detector, its latents and the query against the official implementation's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sepbench_testkit.filled import gliding_tones

from sepbench.baselines.stsed.adapter import StSed
from sepbench.baselines.stsed.localise import localise
from sepbench.baselines.stsed.network_sed import LOG_MEL
from sepbench.harness.api import Example, Query

# Networks of the published sizes: a minute on one core.
pytestmark = pytest.mark.slow
RATE = 32_000
CLIPS = {"10s": (11, 320_000), "5s": (12, 160_000), "2s": (13, 64_000)}


def signal(seed: int, samples: int) -> torch.Tensor:
    return torch.from_numpy(gliding_tones(seed, 1, samples, RATE))


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def test_the_log_mel_spectrogram_is_the_originals(golden: Any) -> None:
    found = {name: LOG_MEL(signal(*clip))[0] for name, clip in CLIPS.items()}

    close(found["10s"], golden["sed_10s_logmel"], atol=1e-3)
    close(found["5s"][:64], golden["sed_5s_logmel_slice"], atol=1e-3)
    close(found["2s"][:64], golden["sed_2s_logmel_slice"], atol=1e-3)


@pytest.fixture(scope="module")
def heard(filled: StSed) -> dict[str, dict[str, Any]]:
    """What the detector says about the three clips, and its maps on the way."""
    detector = filled.audio_encoder.detector  # type: ignore[attr-defined]  # HtsatLatent
    encoder = detector.backbone.audio_encoder
    maps: dict[str, Any] = {}
    hooks = [
        encoder.patch_embed.register_forward_hook(
            lambda _, given, made: maps.update(image=given[0], patch=made)
        ),
        *(
            layer.register_forward_hook(
                lambda _, given, made, n=number: maps.update({f"layer{n}": made[0]})
            )
            for number, layer in enumerate(encoder.layers)
        ),
    ]
    found = {}
    for name, clip in CLIPS.items():
        said = filled.audio_encoder.detect(signal(*clip))  # type: ignore[attr-defined]
        found[name] = {"said": said, **maps}
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", CLIPS)
def test_latents_and_events_of_a_clip_are_the_originals(
    name: str, heard: dict[str, Any], golden: Any
) -> None:
    said = heard[name]["said"]

    close(said.latent, golden[f"sed_{name}_latent"])
    close(said.clipwise, golden[f"sed_{name}_clipwise"])
    close(said.framewise[:, ::32], golden[f"sed_{name}_framewise_every32"])
    assert said.framewise.shape == (1, 1024, 527)


def test_clips_become_images_as_in_the_original(heard: dict[str, Any], golden: Any) -> None:
    images = {name: heard[name]["image"][0, 0] for name in CLIPS}

    close(images["10s"], golden["sed_10s_image"], atol=2e-3)
    close(images["5s"][::8], golden["sed_5s_image_slice"], atol=2e-3)
    close(images["2s"][::8], golden["sed_2s_image_slice"], atol=2e-3)


def test_the_maps_of_every_stage_are_the_originals(heard: dict[str, Any], golden: Any) -> None:
    maps = heard["10s"]

    close(maps["patch"][0, :64, :32], golden["sed_10s_patch_slice"], atol=1e-4)
    for number in range(4):
        expected = golden[f"sed_10s_layer{number}_slice"]
        close(maps[f"layer{number}"][0, :32, :32], expected, atol=1e-4)


def test_the_sounding_segment_of_a_weakly_labelled_clip_is_the_originals(
    filled: StSed, golden: Any
) -> None:
    rising = signal(11, 320_000) * torch.linspace(0, 1, 320_000, dtype=torch.float64) ** 2
    fading = signal(14, 320_000)
    fading[:, 160_000:] *= np.float32(0.02)
    clips = torch.cat([rising.float(), fading])
    detector = filled.audio_encoder.detector  # type: ignore[attr-defined]

    located = localise(detector, clips, [3, 200])
    segments = torch.stack([c[s.begin : s.end] for c, s in zip(clips, located, strict=True)])
    latents = filled.audio_encoder.detect(segments).latent  # type: ignore[attr-defined]

    found = [[one.anchor, one.begin, one.end] for one in located]
    assert found == golden["loc_anchor_begin_end"].tolist()
    close(latents, golden["loc_latent"])


@pytest.fixture(scope="module")
def query() -> Query:
    """Two clips; the second segment of the first falls below the threshold."""
    first, second = signal(15, 233_600), signal(16, 163_200)
    first[:, 64_000:128_000] *= np.float32(0.001)
    return Query(
        examples=(
            Example(clip_id="first", waveform=first, sample_rate=RATE),
            Example(clip_id="second", waveform=second, sample_rate=RATE),
        )
    )


def test_a_query_of_two_clips_is_the_mean_of_means(
    filled: StSed, query: Query, golden: Any
) -> None:
    clips = [e.waveform[0] for e in query.examples if e.waveform is not None]

    each = filled.audio_encoder.encode_audio(clips)

    close(each, golden["query_per_clip"])
    close(each.mean(0), golden["query_mean"])
