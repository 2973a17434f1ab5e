"""AudioSep of a few channels at 16 kHz under a small contrastive pair, for the sounds of ESC-10.

The separator's class is AudioSep's. Texts, labels and sounds make its condition; several examples
make the mean of theirs, as in the large one. It is there so that the system can be seen at work
without a download, and no measure of the published one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sepbench.baselines.audiosep.adapter import AudioSepClap
from sepbench.baselines.audiosep.conditions import conditions
from sepbench.baselines.checkpoints import strip_prefix
from sepbench.baselines.small.contrastive_recipe import pair_of
from sepbench.baselines.small.encoders import (
    SAMPLE_RATE,
    ContrastiveAudio,
    ContrastiveText,
    encoder_part,
)
from sepbench.baselines.small.files import read_sized, refuse_other_rate
from sepbench.baselines.small.lassnet import LICENCE, TRAINING_DATA
from sepbench.baselines.small.places import present, shipped
from sepbench.harness.api import Query
from sepbench.harness.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "separator."


class AudioSepSmall(AudioSepClap):
    """A small AudioSep.

    Args:
        checkpoint: as `bench train audiosep-small` writes it; holds the encoders too.
    """

    card = replace(
        AudioSepClap.card,
        name="audiosep-small",
        summary="AudioSep with its two encoders, of 1.9 M parameters at 16 kHz, for ten "
        "classes; its weights ship",
        sample_rate=SAMPLE_RATE,
        min_samples=257,  # both ends are reflected over 256
        licence=LICENCE,
        paper="network of Liu et al., Separate anything you describe, arXiv 2308.05037",
        training_data=TRAINING_DATA,
    )
    weights: Mapping[str, str] = {}

    def __init__(self, *, checkpoint: str = shipped("audiosep")) -> None:
        super().__init__(checkpoint=checkpoint)
        self._file = checkpoint
        self.text_encoder: ContrastiveText = ContrastiveText(checkpoint=checkpoint)  # type: ignore[assignment]  # in the place of CLAP's
        self.audio_encoder: ContrastiveAudio = ContrastiveAudio(checkpoint=checkpoint)  # type: ignore[assignment]  # likewise

    def load(self, device: str) -> None:
        """Read the file and put the networks on the device.

        Raises:
            MissingWeightsError: no such file.
            CheckpointError: it is damaged, or another network's.
            BaselineLoadError: it works at another rate.
        """
        from sepbench.baselines.audiosep.layout import build_network
        from sepbench.baselines.audiosep.network import NetworkConfig
        from sepbench.baselines.audiosep.network_inference import InferenceNetwork

        path = present(self._file, self.card.name)
        held = read_sized(path, "audiosep")
        sizes = dict(held.sizes["separator"])
        config = NetworkConfig(**{**sizes, "widths": tuple(sizes["widths"])})
        refuse_other_rate(config.sample_rate, self.card, path)
        state = strip_prefix(held.state, PREFIX)
        network = build_network(state, what=f"{path} for {self.card.name}", config=config)
        self.network = InferenceNetwork(network).to(device)
        pair, vocabulary = pair_of(encoder_part(held), str(path))
        self.text_encoder.take(pair, vocabulary, device)
        self.audio_encoder.take(pair, device)
        self._remembered.clear()

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """One embedding (64,) of length 1 for each query, in order.

        Raises:
            QueryError: a query without words or examples, with unknown words, or an example that
                cannot be used.
        """
        return conditions(
            queries,
            baseline=self.card.name,
            read=self._read,
            hear=self.audio_encoder.encode_audio,
            remembered=self._remembered,
            sample_rate=self.card.sample_rate or SAMPLE_RATE,
        )

    def _read(self, texts: list[str]) -> Tensor:
        if not all(text.strip() for text in texts):
            raise QueryError(f"Baseline {self.card.name} needs words or examples.")
        return self.text_encoder.encode_text(texts)
