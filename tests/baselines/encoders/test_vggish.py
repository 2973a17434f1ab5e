"""VGGish against the published network: patches and its three outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sepbench_testkit.audio_encoders import GOLDEN, golden_arrays, golden_clips, hollow, tones
from sepbench_testkit.filled import fill_state_dict

from sepbench.baselines.encoders.network_vggish import mel_bands, patches
from sepbench.baselines.encoders.vggish import Output, VGGish, check, check_pca, read_pca
from sepbench.harness.errors import CheckpointError, SettingError

FOLDER = GOLDEN / "vggish"
PATCH = 15_600  # samples of one
NEXT = 15_360  # samples to the next


@pytest.fixture(scope="module")
def encoder() -> VGGish:
    loaded = VGGish()
    pca = fill_state_dict(FOLDER / "pca_state_dict.json", 1)
    loaded.load_state(fill_state_dict(FOLDER / "state_dict.json", 1), "cpu", pca=pca)
    return loaded


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_patches_are_the_published_ones(case: str) -> None:
    found = patches(golden_clips("vggish")[case])[:, ::8]

    torch.testing.assert_close(found, golden_arrays("vggish")[f"{case}_patches"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("output", "array", "tolerance"),
    [("raw", "raw", 1e-5), ("activated", "embedding", 1e-5), ("quantised", "quantised", 1)],
)
@pytest.mark.parametrize("case", ["a", "c"])
def test_each_output_of_a_patch_is_the_published_one(
    encoder: VGGish,
    monkeypatch: pytest.MonkeyPatch,
    output: Output,
    array: str,
    tolerance: float,
    case: str,
) -> None:
    monkeypatch.setattr(encoder, "output", output)
    expected = golden_arrays("vggish")[f"{case}_{array}"].float()

    with torch.no_grad():
        found = encoder.embed_patches(patches(golden_clips("vggish")[case]))

    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_a_clip_is_the_mean_of_its_patches(encoder: VGGish) -> None:
    clips, golden = golden_clips("vggish"), golden_arrays("vggish")

    found = encoder.encode_audio([clips["a"], clips["b"], clips["c"]])

    expected = torch.stack([golden["a_mean"], golden["b_mean"], golden["c_mean"]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_two_clips_of_one_length_give_what_each_gives_alone(encoder: VGGish) -> None:
    clips = [tones(21, PATCH, 16_000), 0.1 * tones(22, PATCH, 16_000)]

    together = encoder.encode_audio(clips)

    alone = torch.cat([encoder.encode_audio([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_short_clip_is_padded_to_a_patch(encoder: VGGish) -> None:
    short = tones(23, 100, 16_000)

    found = encoder.encode_audio([short, torch.cat([short, torch.zeros(PATCH - 100)])])

    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_what_does_not_fill_a_patch_is_dropped(encoder: VGGish) -> None:
    long = tones(24, PATCH + NEXT, 16_000)

    one, two = patches(long[:-1]), patches(long)

    assert (len(one), len(two)) == (1, 2)
    torch.testing.assert_close(one[0], two[0])


def test_every_band_peaks_within_its_edges_and_none_hears_a_constant() -> None:
    bands = mel_bands()

    assert bands.shape == (257, 64)
    assert bool((bands.amax(0) > 0).all())
    assert float(bands.max()) <= 1
    assert bool((bands[0] == 0).all())


def test_a_published_checkpoint_is_recognised(tmp_path: Path) -> None:
    torch.save(hollow(FOLDER / "state_dict.json"), tmp_path / "vggish.pth")

    assert check(tmp_path / "vggish.pth") == "VGGish, 128-d"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    state = hollow(FOLDER / "state_dict.json")
    state["embeddings.4.weight"] = torch.zeros(64, 4096)
    torch.save(state, tmp_path / "vggish.pth")

    with pytest.raises(CheckpointError, match=r"embeddings.4.weight \(64, 4096\)"):
        check(tmp_path / "vggish.pth")


def test_the_whitening_may_be_numpy_arrays_with_a_flat_mean(tmp_path: Path) -> None:
    pca = fill_state_dict(FOLDER / "pca_state_dict.json", 1)
    stored = {name: tensor.double().squeeze().numpy() for name, tensor in pca.items()}
    torch.save(stored, tmp_path / "pca.pth")

    found = read_pca(tmp_path / "pca.pth")

    assert check_pca(tmp_path / "pca.pth") == "VGGish's whitening, 128 x 128"
    torch.testing.assert_close(found, pca)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"pca_means": torch.zeros(128, 1)}, "holds no pca_eigen_vectors"),
        (
            {"pca_eigen_vectors": torch.zeros(2, 2), "pca_means": torch.zeros(2)},
            r"has the shape \(2, 2\), not \(128, 128\)",
        ),
    ],
)
def test_another_whitening_is_refused(
    tmp_path: Path, stored: dict[str, torch.Tensor], words: str
) -> None:
    torch.save(stored, tmp_path / "pca.pth")

    with pytest.raises(CheckpointError, match=words):
        read_pca(tmp_path / "pca.pth")


def test_an_output_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match="activated, raw, quantised"):
        VGGish(output="loud")  # type: ignore[arg-type]  # what a user may type


def test_eight_bits_need_the_whitening() -> None:
    with pytest.raises(SettingError, match="vggish-pca"):
        VGGish(output="quantised")
