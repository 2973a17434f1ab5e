"""The small contrastive pair as query encoders: texts and sounds in one space, at 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sepbench.baselines.checkpoints import strip_prefix
from sepbench.baselines.encoders.batches import in_batches, refuse_unloaded, trimmed
from sepbench.baselines.encoders.clips import encode_equal, pad_to
from sepbench.baselines.small.contrastive_recipe import pair_of
from sepbench.baselines.small.files import SizedFile, read_sized, refuse_other_rate
from sepbench.baselines.small.lassnet import LICENCE
from sepbench.baselines.small.places import present_pair, shipped
from sepbench.baselines.small.words import MAX_TOKENS, Vocabulary
from sepbench.harness.api import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.small.network_contrastive import ContrastivePair

# B batch, L tokens, N samples, D = 64

DIMENSION = 64
SAMPLE_RATE = 16_000
TEXTS_AT_ONCE = 256
CLIPS_AT_ONCE_SECONDS = 160
PREFIX = "encoder."  # in a file that holds a separator too


class ContrastiveText:
    """Embeddings of texts.

    Args:
        checkpoint: of `bench train contrastive-small` or `audiosep-small`; the latter's ships.
    """

    card = EncoderCard(
        name="contrastive-text",
        kind="text",
        dimension=DIMENSION,
        normalised=True,
        licence=LICENCE,
        summary="text tower of the small contrastive pair. bench train contrastive-small",
    )

    def __init__(self, *, checkpoint: str = shipped("audiosep")) -> None:
        self.checkpoint = checkpoint
        self._pair: ContrastivePair | None = None
        self._vocabulary = Vocabulary(())
        self._device = "cpu"

    def load(self, device: str) -> None:
        """Read the file and put the network on the device.

        Raises:
            MissingWeightsError: no such file.
            CheckpointError: it is damaged, or another network's.
        """
        self.take(*open_pair(present_pair(self.checkpoint, self.card.name)), device)

    def take(self, pair: ContrastivePair, vocabulary: Vocabulary, device: str) -> None:
        """Use a pair that was read already."""
        self._pair, self._vocabulary, self._device = pair.to(device), vocabulary, device
        self.card = replace(self.card, dimension=pair.config.condition)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Directions (B, 64).

        Raises:
            QueryError: a text of which no word is known.
        """
        refuse_unloaded(self._pair, self.card.name)
        self._vocabulary.refuse_unknown(texts, f"Encoder {self.card.name}")

        def encode(some: Sequence[str]) -> Tensor:
            return self.encode_tokens(*self._vocabulary.encode(some))

        return in_batches(encode, texts, TEXTS_AT_ONCE, self.card.dimension)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Directions (B, 64) of numbers of words with their mask, (B, L) each; padding has id 0."""
        import torch

        refuse_unloaded(self._pair, self.card.name)
        ids, mask = trimmed(input_ids, attention_mask, MAX_TOKENS, self.card.name)
        with torch.inference_mode():
            found: Tensor = self._pair.read(ids.to(self._device), mask.to(self._device))  # type: ignore[union-attr]  # refused above
        return found.clone()


class ContrastiveAudio:
    """Embeddings of sounds, in the space of `ContrastiveText`.

    Args:
        checkpoint: as `ContrastiveText`.
    """

    card = EncoderCard(
        name="contrastive-audio",
        kind="audio",
        dimension=DIMENSION,
        sample_rate=SAMPLE_RATE,
        crop="whole clip; below 1 s zeros at its end",
        normalised=True,
        licence=LICENCE,
        summary="audio tower of the small contrastive pair. bench train contrastive-small",
    )

    def __init__(self, *, checkpoint: str = shipped("audiosep")) -> None:
        self.checkpoint = checkpoint
        self._pair: ContrastivePair | None = None
        self._device = "cpu"

    def load(self, device: str) -> None:
        """As `ContrastiveText.load`.

        Raises:
            BaselineLoadError: it hears at another rate.
        """
        path = present_pair(self.checkpoint, self.card.name)
        pair = open_pair(path)[0]
        refuse_other_rate(pair.config.sample_rate, self.card, path)
        self.take(pair, device)

    def take(self, pair: ContrastivePair, device: str) -> None:
        """Use a pair that was read already."""
        self._pair, self._device = pair.to(device), device
        self.card = replace(self.card, dimension=pair.config.condition)

    def encode_audio(self, clips: Sequence[Tensor]) -> Tensor:
        """Directions (B, 64) of mono clips (N,) at 16 kHz.

        Raises:
            BaselineLoadError: not loaded.
            QueryError: a clip that is empty or not finite.
        """
        refuse_unloaded(self._pair, self.card.name)
        pair: ContrastivePair = self._pair  # type: ignore[assignment]  # refused above
        rate = pair.config.sample_rate
        return encode_equal(
            clips,
            name=self.card.name,
            dimension=self.card.dimension,
            device=self._device,
            prepare=lambda clip: pad_to(clip, rate),
            embed=pair.hear,
            at_once=CLIPS_AT_ONCE_SECONDS * rate,
        )


def open_pair(path: Path) -> tuple[ContrastivePair, Vocabulary]:
    """The pair of its own file, or of one that holds a separator too.

    Raises:
        CheckpointError: neither of the two.
    """
    held = read_sized(path, "contrastive", "audiosep")
    return pair_of(encoder_part(held) if held.network == "audiosep" else held, str(path))


def encoder_part(held: SizedFile) -> SizedFile:
    """The pair in a separator's file."""
    return SizedFile(
        network="contrastive",
        sizes=held.sizes["encoder"],
        names=held.names,
        facts=held.facts,
        state=strip_prefix(held.state, PREFIX),
    )
