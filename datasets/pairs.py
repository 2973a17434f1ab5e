"""Two recordings that make one scene: mixed on the fly, or target and finished mixture.

C channels, N samples; float32 throughout.
"""

from __future__ import annotations

from pathlib import Path

from sepbench.harness.api import Samples
from sepbench.harness.audio import cut_to_common_length, read_audio, resample, resolve_inside
from sepbench.harness.errors import AudioMismatchError, DatasetError
from sepbench.harness.mixing import declip, scale_to_snr

# Where a mixture would exceed full scale, all of its signals are scaled so that it peaks here:
# the rule of AudioSep's and LASS-Net's mixing code.
PEAK = 0.9


def mix_pair(
    first: Samples, second: Samples, snr_db: float, *, where: str
) -> tuple[Samples, Samples, Samples]:
    """Mix two recordings of equal shape at an energy ratio.

    Args:
        first: (C, N), kept as it is unless the mixture has to be scaled down.
        second: (C, N), scaled to the ratio.
        snr_db: energy of the first over the second, in dB.
        where: names the scene in errors.

    Returns:
        First, second and their sum, (C, N) each.

    Raises:
        AudioMismatchError: the shapes differ.
        DatasetError: one of them is silent, so no gain gives the ratio.
    """
    if first.shape != second.shape:
        raise AudioMismatchError(
            f"{where}: the two recordings have shapes {first.shape} and {second.shape} "
            "(channels, samples). Only recordings of equal shape can be mixed."
        )
    try:
        scaled = scale_to_snr(first, second, snr_db)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error} Replace that file.") from error
    first, second, mixture = declip((first, scaled), first + scaled, PEAK)
    return first, second, mixture


def read_target_and_mixture(
    root: Path,
    target_name: str,
    mixture_name: str,
    *,
    sample_rate: int,
    mono: bool,
    equal_lengths: bool,
) -> tuple[Samples, Samples, dict[str, str]]:
    """Read a target and the mixture that holds it, sample-aligned, at one rate.

    Rate and length are compared as the files have them; resampling comes after.

    Args:
        root: folder that both names are relative to.
        target_name: file of the target.
        mixture_name: file of the mixture.
        sample_rate: Hz to resample both to.
        mono: average the channels.
        equal_lengths: refuse any difference; False cuts encoder padding off the longer one.

    Returns:
        Target and mixture, (C, N) each, and the sha256 of both files by name.

    Raises:
        MissingFileError, UnsafePathError, AudioFileError: one of the files cannot be used.
        AudioMismatchError: rate, channels or length differ.
    """
    names = (target_name, mixture_name)
    target, mixture = (read_audio(resolve_inside(root, name), mono=mono) for name in names)
    where = f"{target_name} and {mixture_name} under {root}"
    if target.sample_rate != mixture.sample_rate:
        raise AudioMismatchError(
            f"{where}: sample rates {target.sample_rate} Hz and {mixture.sample_rate} Hz. "
            "Take both from the same copy of the corpus."
        )
    channels = target.samples.shape[0], mixture.samples.shape[0]
    if channels[0] != channels[1]:
        raise AudioMismatchError(f"{where}: {channels[0]} and {channels[1]} channels.")
    lengths = target.samples.shape[1], mixture.samples.shape[1]
    if equal_lengths and lengths[0] != lengths[1]:
        raise AudioMismatchError(
            f"{where}: {lengths[0]} and {lengths[1]} samples. "
            "Take both from the same copy of the corpus, uncut."
        )
    first, second = cut_to_common_length(
        (target.samples, mixture.samples), target.sample_rate, where=where
    )
    return (
        resample(first, target.sample_rate, sample_rate),
        resample(second, target.sample_rate, sample_rate),
        {target_name: target.sha256, mixture_name: mixture.sha256},
    )
