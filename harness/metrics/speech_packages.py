"""PESQ and STOI through the packages `pesq` and `pystoi`, with their exceptions turned to reasons.

Every signal here is mono float64 at 16 kHz, finite and not silent; speech.py sees to it.

* pesq raises where it finds no utterance or the signal is shorter than 1/4 s, and gives NaN for
  some quiet estimates. The reference scored against itself tells whose fault it is.
* pesq keeps room for 50 utterances in the reference and writes past it for more. Beside the same
  sources compiled with room for 1000, the value was 0.03 off from the 51st utterance on, without
  a word, and the process died at about 60: a process of its own would keep the wrong values. An
  utterance and the pause after it take 0.404 s at least, so up to 20 s nothing can happen, and
  longer signals are refused.
* pystoi warns and gives 1e-5 where less than 30 frames of the reference lie within 40 dB of its
  loudest: no value here.
* pystoi's ESTOI adds noise of 1e-16 from NumPy's global generator, which decides segments in which
  the estimate is digitally silent. It is seeded, so that an estimate has one score.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from sepbench.harness.errors import MissingExtraError, UndefinedScoreError
from sepbench.harness.metrics.signals import Float64
from sepbench.harness.metrics.speech_frames import SPEECH_RATE

PESQ_SECONDS = (0.25, 20.0)
"""Shortest and longest signal that pesq scores safely."""

STOI_SHORTEST = 6554
"""Samples at 16 kHz that make 31 frames at pystoi's 10 kHz, the least that can be left of them."""


def pesq(reference: Float64, estimate: Float64, band: Literal["wb", "nb"]) -> float:
    """PESQ as MOS-LQO: P.862.2 wide-band or P.862.1 narrow-band, at 16 kHz.

    Args:
        reference: clean speech, (N,).
        estimate: (N,), any level.
        band: "wb" or "nb".

    Returns:
        Value in about [1.04, 4.64] (wb) or [1.02, 4.55] (nb).

    Raises:
        UndefinedScoreError: shorter than 1/4 s or longer than 20 s; no utterance found.
        MissingExtraError: the package is not installed.

    Source: ITU-T P.862, P.862.1, P.862.2 through github.com/ludlows/PESQ (pesq 0.0.4).
    """
    package = require_pesq()
    seconds = len(reference) / SPEECH_RATE
    shortest, longest = PESQ_SECONDS
    if seconds < shortest:
        raise too_short_at_speech_rate(reference, "PESQ", round(shortest * SPEECH_RATE))
    if seconds > longest:
        raise UndefinedScoreError(
            "reference", f"too long: {seconds:.1f} s, PESQ is safe up to {longest:g}"
        )
    score = _pesq_or_reason(package, reference, estimate, band)
    if isinstance(score, float):
        return score
    if isinstance(_pesq_or_reason(package, reference, reference, band), str):
        raise UndefinedScoreError("reference", f"PESQ finds no utterance in the reference: {score}")
    raise UndefinedScoreError("estimate", f"PESQ cannot align the estimate: {score}")


def _pesq_or_reason(package: Any, reference: Float64, estimate: Float64, band: str) -> float | str:
    """The score, or what pesq says instead."""
    try:
        score = float(package.pesq(SPEECH_RATE, reference, estimate, band))
    except (package.NoUtterancesError, package.BufferTooShortError) as error:
        return _words(error)
    except ValueError:  # it turns NaN into an error code: "cannot convert float NaN to integer"
        return "NaN"
    return score if np.isfinite(score) else "NaN"


def _words(error: Exception) -> str:
    """The message of a pesq exception, which comes as bytes."""
    message = error.args[0] if error.args else type(error).__name__
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)


def stoi(reference: Float64, estimate: Float64, *, extended: bool) -> float:
    """Short-time objective intelligibility, or its extended form.

    Args:
        reference: clean speech, (N,) at 16 kHz.
        estimate: (N,), any level.
        extended: ESTOI.

    Returns:
        Mean correlation of third-octave envelopes, in [-1, 1]; 1 for a perfect estimate.

    Raises:
        UndefinedScoreError: fewer than 30 frames of the reference are within 40 dB of its loudest.
        MissingExtraError: the package is not installed.

    Source: Taal et al., IEEE TASLP 2011; Jensen & Taal, IEEE/ACM TASLP 2016; through
        github.com/mpariente/pystoi (pystoi 0.4.1), which resamples to 10 kHz.
    """
    package = require_pystoi()
    if len(reference) < STOI_SHORTEST:
        raise too_short_at_speech_rate(reference, "STOI", STOI_SHORTEST)
    with warnings.catch_warnings(), _seeded_global_noise():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        # A segment in which the estimate is silent divides 0 by 0 in ESTOI and is NaN below.
        warnings.filterwarnings("ignore", "(divide by zero|invalid value)", RuntimeWarning)
        try:
            value = float(package.stoi(reference, estimate, SPEECH_RATE, extended=extended))
        except RuntimeWarning:
            raise UndefinedScoreError(
                "reference",
                "less than 30 frames (0.4 s) of the reference are within 40 dB of its loudest",
            ) from None
    if np.isnan(value):
        raise UndefinedScoreError("estimate", "STOI of the estimate is NaN")
    return value


def too_short_at_speech_rate(reference: Float64, metric: str, needed: int) -> UndefinedScoreError:
    """What to raise for a signal (N,) of fewer samples at 16 kHz than a metric needs."""
    return UndefinedScoreError(
        "reference", f"too short: {len(reference)} samples at 16 kHz, {metric} needs {needed}"
    )


@contextlib.contextmanager
def _seeded_global_noise() -> Iterator[None]:
    """NumPy's global generator with seed 0, and as it was afterwards."""
    state = np.random.get_state()  # noqa: NPY002 (the generator that pystoi draws from)
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def require_pesq() -> Any:
    """The package pesq.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _package("PESQ", "pesq")


def require_pystoi() -> Any:
    """The package pystoi.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _package("STOI", "pystoi")


def _package(feature: str, name: str) -> Any:
    try:
        with warnings.catch_warnings():  # backslashes in docstrings, warned of when compiled
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(feature, name, "speech") from None
