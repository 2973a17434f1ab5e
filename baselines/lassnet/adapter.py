"""LASS-Net: the first separator that is asked in words.

A BERT-mini reads the query, a U-Net on magnitudes answers with a mask, the phase is the mixture's.
The mixture's level matters to the network, and nothing is normalised.

Differences from the original: the estimate is as long as the mixture (the original drops what
lies behind the last whole hop of 512 samples; `network_signal.py` says how the rest is made, and
all samples that the original gives are the same), short mixtures are not filled up to 10 s, and
the estimate is not normalised to its peak.

Source: Liu et al., Separate What You Describe: Language-Queried Audio Source Separation,
Interspeech 2022 (arXiv 2203.15147); behaviour of the official code (8979776).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.lassnet.layout import network_of, read_state
from sepbench.baselines.lassnet.text import LassText
from sepbench.baselines.weights import find_weights
from sepbench.harness.api import BaselineCard, Query
from sepbench.harness.errors import BaselineLoadError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, C channels, N samples, A additions of a query to the network's channels

SAMPLE_RATE = 32_000
MIN_SAMPLES = 513  # both ends are reflected over 512


class LassNet:
    """The published system.

    Args:
        checkpoint: LASSNet.pt; None for the installed "lassnet".
        tokenizer: folder with the files of bert-base-uncased; None for the installed one.

    Attributes:
        text_encoder: makes the vector of a query; its weights are in the same checkpoint.
    """

    card = BaselineCard(
        name="lassnet",
        summary="text query: BERT-mini and a magnitude U-Net, trained on a part of AudioCaps",
        query_kinds=("text", "label"),
        sample_rate=SAMPLE_RATE,
        channels=1,
        chunking="harness",
        min_samples=MIN_SAMPLES,
        licence="none stated for the weights",
        paper="Liu et al., Separate what you describe: language-queried audio source separation, "
        "Interspeech 2022",
        training_data=("LASS-Net's list of 6,064 AudioCaps clips",),
    )
    weights: Mapping[str, str] = {"checkpoint": "lassnet", "tokenizer": "bert-base-uncased"}

    def __init__(self, *, checkpoint: str | None = None, tokenizer: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self.text_encoder = LassText(checkpoint=checkpoint, tokenizer=tokenizer)
        self._network: Any = None

    def load(self, device: str) -> None:
        """Read the checkpoint and put the networks on the device.

        Raises:
            MissingWeightsError: no checkpoint given and none installed.
            CheckpointError: the file is damaged, unsafe or made for another network.
        """
        from sepbench.baselines.lassnet.network_inference import InferenceNetwork

        path = Path(self.checkpoint or find_weights(self.weights["checkpoint"]))
        network = network_of(read_state(path), path.name)
        self.text_encoder.take(network.text_embedder, device)
        self._network = InferenceNetwork(network.UNet).to(device)

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """What each query adds to the channels of the U-Net, each (A,).

        Texts are asked in lower case and without a final full stop, as in the original's test;
        labels with blanks for underscores. Embeddings of texts are `text_encoder.encode_text`'s.

        Raises:
            BaselineLoadError: before `load`, or no tokenizer.
            QueryError: a query without words, or of more than 512 tokens.
        """
        import torch

        network = self._loaded()
        for query in queries:
            if query.text is None and query.label is None:
                raise QueryError(
                    f"Baseline {self.card.name} needs a text or a label; the query has neither."
                )
        embeddings = self.text_encoder.encode_text([query.words for query in queries])
        with torch.inference_mode():
            additions: Tensor = network.additions(embeddings)
        return list(additions.clone())

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, C, N), (B, A) -> (B, C, N) float32. Silence stays silence.

        Channels are separated one by one.

        Args:
            mixture: at 32 kHz, 513 samples or more.
            condition: as `condition` gives it, stacked.

        Raises:
            BaselineLoadError: before `load`.
        """
        import torch

        network = self._loaded()
        batch, channels, length = mixture.shape
        additions = condition.to(mixture.device).repeat_interleave(channels, dim=0)
        signals = mixture.reshape(batch * channels, length)
        # On the CPU nothing is gained by a batch, and one item fits the caches better.
        step = 1 if signals.device.type == "cpu" else len(signals)
        with torch.inference_mode():
            starts = range(0, len(signals), step)
            estimates = torch.cat(
                [network(signals[k : k + step], additions[k : k + step]) for k in starts]
            )
        return estimates.clone().reshape(batch, channels, length)

    def compile_network(self) -> None:
        """Let torch compile the U-Net between the spectra at its next call.

        The first length is compiled as it is, others after it for all lengths together. On the
        CPU the eager network is as fast: there nearly all of its time is in the convolutions.

        Raises:
            BaselineLoadError: before `load`.
        """
        self._loaded().compile_inner()

    def _loaded(self) -> Any:
        if self._network is None:
            raise BaselineLoadError(f"Baseline {self.card.name}: call load(device) first.")
        return self._network
