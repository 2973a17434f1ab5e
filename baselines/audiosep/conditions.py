"""From queries to AudioSep's conditions: directions in the space of a contrastive encoder.

A text has one; several examples have that of their mean; a text with examples has that of the
mean of both, each at length 1 (our choice: the original takes one or the other).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sepbench.baselines.audiosep.separation import SAMPLE_RATE
from sepbench.baselines.encoders.batches import unit_length
from sepbench.baselines.encoders.remembered import RememberedClips, key_of
from sepbench.harness.api import Example, Query
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B queries or clips, N samples, D = 512


def conditions(
    queries: Sequence[Query],
    *,
    baseline: str,
    read: Callable[[list[str]], Tensor],
    hear: Callable[[list[Tensor]], Tensor],
    remembered: RememberedClips,
    sample_rate: int = SAMPLE_RATE,
) -> list[Tensor]:
    """One direction (D,) for each query, in order.

    Args:
        queries: with a text, a label, examples at 32 kHz, or a text and examples. A label beside
            examples does not count.
        baseline: names the asker in messages.
        read: texts to directions (B, D); called once, if at all.
        hear: clips (N,) at 32 kHz to embeddings (B, D); called once, if at all.
        remembered: embeddings of clips that were heard before.
        sample_rate: Hz that examples have to be at.

    Raises:
        QueryError: a query without any of them, or an example that cannot be used.
    """
    asked = [query for query in queries if query.text is not None or not query.examples]
    played = [query for query in queries if query.examples]
    texts = iter(read(_texts(asked, baseline)) if asked else ())
    sounds = iter(_means(played, baseline, hear, remembered, sample_rate))
    found = []
    for query in queries:
        parts = [next(texts)] if query.text is not None or not query.examples else []
        parts += [next(sounds)] if query.examples else []
        found.append(parts[0] if len(parts) == 1 else unit_length(parts[0] + parts[1]))
    return found


def _means(
    queries: Sequence[Query],
    baseline: str,
    hear: Callable[[list[Tensor]], Tensor],
    remembered: RememberedClips,
    sample_rate: int,
) -> list[Tensor]:
    """The direction of each query's mean over its examples, all of which count alike."""
    import torch

    examples = [example for query in queries for example in query.examples]
    clips = [(key_of(each), _waveform(each, baseline, sample_rate)) for each in examples]
    embeddings = iter(remembered.embed(clips, lambda new: unit_length(hear(new))))
    means = [torch.stack([next(embeddings) for _ in query.examples]).mean(0) for query in queries]
    return [unit_length(mean) for mean in means]


def _texts(queries: Sequence[Query], baseline: str) -> list[str]:
    """What is asked in words.

    Raises:
        QueryError: a query has none.
    """
    texts = [query.words for query in queries]
    if not all(text.strip() for text in texts):
        raise QueryError(f"Baseline {baseline} needs words or examples, and a query has none.")
    return texts


def _waveform(example: Example, baseline: str, sample_rate: int) -> Tensor:
    """The samples of one example, (N,)."""
    name = f"Baseline {baseline}: query example {example.clip_id}"
    if example.waveform is None:
        raise QueryError(f"{name} is not loaded. Read its file and set `waveform` before asking.")
    if example.sample_rate not in (None, sample_rate):
        raise QueryError(f"{name} is at {example.sample_rate} Hz; resample it to {sample_rate} Hz.")
    if example.waveform.numel() == 0:
        raise QueryError(f"{name} is empty. Give an example with at least one sample.")
    if not example.waveform.isfinite().all():
        raise QueryError(f"{name} holds NaN or infinite samples. Export the file again.")
    return example.waveform.mean(0)
