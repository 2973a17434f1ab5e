"""CLAPScore: does an estimate sound like its query (text–audio), or like its target (audio–audio)?

    clapscore        cosine between the embedding of the query's text and that of the estimate
    clapscore_audio  cosine between the embeddings of the reference and of the estimate

The encoder is handed in, because metrics may not import baselines: `clap_score_family(encoder)`.
Two CLAP scores are comparable only with equal checkpoint, rate and crop rule (the public script
feeds 16-kHz audio to a wrapper that takes it for 32 kHz, and crops long clips at random), so the
card of a family made from an encoder names all three.

Shapes: B batch, N samples, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from sepbench.harness.api import MetricCard, Samples, Undefined, Value
from sepbench.harness.errors import MissingNetworkError, UndefinedScoreError
from sepbench.harness.metrics.contract import ScoredScene
from sepbench.harness.metrics.refusals import Cause, refuse_infinite, refuse_silence
from sepbench.harness.metrics.signals import Float64, inner, to_float64

Embedding: TypeAlias = Float64 | Undefined
"""A vector (D,) of length 1, or why there is none."""

NO_TEXT = Undefined(cause="reference", reason="the query has no text to compare with")


class ClapEncoder(Protocol):
    """A pair of text and audio encoders with one embedding space, ready to be called.

    Attributes:
        identity: checkpoint by name and sha256: what must be equal for scores to be comparable.
        sample_rate: Hz of the waveforms it is given.
        crop: what `encode_audio` does with longer and shorter audio than its window, in words,
            such as "first 10 s; shorter repeated, then zero-padded". It must not draw at random.
    """

    identity: str
    sample_rate: int
    crop: str

    def encode_text(self, texts: Sequence[str]) -> Any:
        """Embeddings (B, D), array or tensor, of any length."""
        ...

    def encode_audio(self, waveforms: Samples) -> Any:
        """Embeddings (B, D), array or tensor, of mono waveforms (B, N) at `sample_rate`."""
        ...


def clap_score_family(encoder: ClapEncoder | None) -> ClapScore:
    """The metrics clapscore and clapscore_audio of an encoder.

    Args:
        encoder: its weights loaded; None makes a family with cards that refuses to score.
    """
    parameters = {
        "encoder": encoder.identity if encoder else "none",
        "sample_rate": encoder.sample_rate if encoder else None,
        "resampling": "soxr HQ",
        "crop": encoder.crop if encoder else "the encoder's",
        "channels": "mean",
        "precision": "float32",
    }
    source = "LAION-CLAP, Wu et al., ICASSP 2023; CLAPScore_for_LASS (7077ec7), at the right rate"
    return ClapScore(
        cards=(
            MetricCard(
                metric_id="clapscore",
                version=1,
                title="CLAPScore",
                unit="",
                range="[-1, 1]",
                parameters=parameters,
                silence="a mute estimate has the embedding of silence; undefined for a query "
                "without text; the reference is not looked at",
                formula="e_text · e_estimate, both of length 1",
                source=source,
            ),
            MetricCard(
                metric_id="clapscore_audio",
                version=1,
                title="CLAPScore-A",
                unit="",
                range="[-1, 1]",
                parameters=parameters,
                silence="undefined for a silent reference; a mute estimate has the embedding of "
                "silence",
                formula="e_reference · e_estimate, both of length 1",
                source=source,
            ),
        ),
        encoder=encoder,
    )


@dataclass(frozen=True)
class ClapScore:
    """The family of CLAP scores; every signal and text of a scene is encoded once."""

    cards: tuple[MetricCard, ...]
    encoder: ClapEncoder | None

    def score(self, scene: ScoredScene, wanted: frozenset[str]) -> Sequence[Mapping[str, Value]]:
        """Values of every item; see `MetricFamily.score`.

        Raises:
            MissingNetworkError: as `require`.
        """
        encoder = self.require(wanted)
        texts: dict[str, Embedding] = {}
        references: dict[str, Embedding] = {}  # items of one target share its reference
        rows: list[Mapping[str, Value]] = []
        for item in scene.items:
            row: dict[str, Value] = {}
            estimate = _of_audio(encoder, item.estimate, scene.sample_rate, "estimate")
            if "clapscore" in wanted:
                if item.text and item.text not in texts:
                    texts[item.text] = _of_text(encoder, item.text)
                row["clapscore"] = _cosine(texts[item.text] if item.text else NO_TEXT, estimate)
            if "clapscore_audio" in wanted:
                if item.target not in references:
                    references[item.target] = _of_audio(
                        encoder, item.reference, scene.sample_rate, "reference"
                    )
                row["clapscore_audio"] = _cosine(references[item.target], estimate)
            rows.append(row)
        return rows

    def require(self, wanted: frozenset[str]) -> ClapEncoder:
        """The encoder.

        Raises:
            MissingNetworkError: none was handed over.
        """
        if self.encoder is None:
            raise MissingNetworkError(
                f"{', '.join(sorted(wanted)) or 'CLAPScore'} needs a CLAP encoder with its "
                "checkpoint, and none is installed. Get one with: bench weights pull clap. Or "
                "leave the metric out."
            )
        return self.encoder


def _cosine(reference: Embedding, estimate: Embedding) -> Value:
    """Inner product of two directions, or why one is missing, the reference's fault first."""
    if isinstance(reference, Undefined):
        return reference
    if isinstance(estimate, Undefined):
        return estimate
    return min(max(inner(reference, estimate), -1.0), 1.0)


def _of_text(encoder: ClapEncoder, text: str) -> Embedding:
    return _direction(encoder.encode_text([text]), "reference", "text")


def _of_audio(encoder: ClapEncoder, signal: Samples, sample_rate: int, cause: Cause) -> Embedding:
    """Direction (D,) of a signal (C, N) of any rate; a silent reference has none."""
    mono = to_float64(signal).mean(axis=0)
    try:
        refuse_infinite(mono, cause)
        if cause == "reference":
            refuse_silence(mono, cause)
    except UndefinedScoreError as error:
        return Undefined(cause=error.cause, reason=error.reason)
    if sample_rate != encoder.sample_rate:
        import soxr

        mono = soxr.resample(mono, sample_rate, encoder.sample_rate, quality="HQ")
    waveform = np.ascontiguousarray(mono[None], dtype=np.float32)  # (1, N)
    return _direction(encoder.encode_audio(waveform), cause, cause)


def _direction(embeddings: Any, cause: Cause, name: str) -> Embedding:
    """An embedding (1, D) as a vector (D,) of length 1; none where it is 0 or not finite."""
    vector = to_float64(embeddings)[0]
    length = float(np.sqrt(inner(vector, vector)))
    if not np.isfinite(length) or length == 0.0:
        return Undefined(cause=cause, reason=f"the embedding of the {name} has no direction")
    direction: Float64 = vector / length
    return direction
