from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sepbench.datasets.pairs import mix_pair, read_target_and_mixture
from sepbench.harness.errors import AudioMismatchError, DatasetError, UnsafePathError


def constant(value: float, length: int = 8, channels: int = 1) -> np.ndarray:
    return np.full((channels, length), value, dtype=np.float32)


def test_second_recording_is_scaled_to_the_ratio() -> None:
    first, second, mixture = mix_pair(constant(0.5), constant(1.0), 20.0, where="scene")

    np.testing.assert_allclose(first, 0.5)
    np.testing.assert_allclose(second, 0.05, rtol=1e-6)
    np.testing.assert_allclose(mixture, 0.55, rtol=1e-6)


def test_sum_above_full_scale_brings_all_three_down_alike() -> None:
    first, second, mixture = mix_pair(constant(0.8), constant(0.1), 0.0, where="scene")

    np.testing.assert_allclose(first, 0.45, rtol=1e-6)
    np.testing.assert_allclose(second, 0.45, rtol=1e-6)
    np.testing.assert_allclose(mixture, 0.9, rtol=1e-6)


def test_silent_recording_cannot_be_mixed() -> None:
    with pytest.raises(DatasetError, match=r"scene 7: Cannot mix.*interference is silent"):
        mix_pair(constant(0.5), constant(0.0), 0.0, where="scene 7")


def test_recordings_of_other_shapes_cannot_be_mixed() -> None:
    with pytest.raises(AudioMismatchError, match=r"\(1, 8\) and \(2, 8\)"):
        mix_pair(constant(0.5), constant(0.5, channels=2), 0.0, where="scene")


def test_target_and_mixture_come_back_aligned_at_the_wanted_rate(tmp_path, write_tone) -> None:
    write_tone(tmp_path / "a.wav", rate=16000, seconds=0.5)
    write_tone(tmp_path / "b.wav", rate=16000, seconds=0.51)

    target, mixture, files = read_target_and_mixture(
        tmp_path, "a.wav", "b.wav", sample_rate=8000, mono=True, equal_lengths=False
    )

    assert target.shape == mixture.shape == (1, 4000)
    assert list(files) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"rate": 8000}, "16000 Hz and 8000 Hz"),
        ({"channels": 2}, "1 and 2 channels"),
        ({"seconds": 0.251}, "4000 and 4016 samples"),
    ],
    ids=["rate", "channels", "length"],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, write_tone, other, words
) -> None:
    write_tone(tmp_path / "a.wav")
    write_tone(tmp_path / "b.wav", **other)

    with pytest.raises(AudioMismatchError, match=rf"a\.wav and b\.wav.*{words}"):
        read_target_and_mixture(
            tmp_path, "a.wav", "b.wav", sample_rate=16000, mono=False, equal_lengths=True
        )


def test_large_difference_in_length_is_refused_even_where_padding_is_allowed(
    tmp_path, write_tone
) -> None:
    write_tone(tmp_path / "a.wav", seconds=0.5)
    write_tone(tmp_path / "b.wav", seconds=1.0)

    with pytest.raises(AudioMismatchError, match=r"0\.500 s, 1\.000 s"):
        read_target_and_mixture(
            tmp_path, "a.wav", "b.wav", sample_rate=16000, mono=True, equal_lengths=False
        )


def test_names_cannot_leave_the_root(tmp_path, write_tone) -> None:
    write_tone(tmp_path / "outside.wav")
    write_tone(tmp_path / "root" / "a.wav")

    with pytest.raises(UnsafePathError, match=r"outside\.wav"):
        read_target_and_mixture(
            tmp_path / "root",
            "a.wav",
            "../outside.wav",
            sample_rate=16000,
            mono=True,
            equal_lengths=True,
        )
