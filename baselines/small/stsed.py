"""ST-SED of a few channels at 16 kHz with a small detector, for the sounds of ESC-10.

The separator's class is ST-SED's; the detector is a small CNN14 or HTS-AT. Queries are examples,
one or several, as in the large one: the mean over the loud 2-s segments of each, then over the
examples. It is there so that a system queried by example can be seen at work without a download,
and no measure of the published one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checkpoints import fit, strip_prefix
from sepbench.baselines.encoders.remembered import RememberedClips, key_of
from sepbench.baselines.small.files import SizedFile, read_sized, refuse_other_rate
from sepbench.baselines.small.lassnet import LICENCE, TRAINING_DATA
from sepbench.baselines.small.places import present, shipped
from sepbench.harness.api import BaselineCard, Example, Query
from sepbench.harness.errors import BaselineLoadError, QueryError

if TYPE_CHECKING:
    from torch import Tensor

    from sepbench.baselines.stsed.detectors import OpenDetector

# B batch, C channels, N samples, S segments, D condition

SAMPLE_RATE = 16_000
SEGMENT_SECONDS = 2


class StSedSmall:
    """A small ST-SED.

    Args:
        checkpoint: as `bench train stsed-small` writes it; holds the detector too.
    """

    card = BaselineCard(
        name="stsed-small",
        summary="ST-SED with its detector, of 1.8 M parameters at 16 kHz, queried by example; its "
        "weights ship",
        query_kinds=("audio",),
        sample_rate=SAMPLE_RATE,
        channels=1,
        min_samples=257,
        licence=LICENCE,
        paper="network of Chen et al., Zero-shot audio source separation through query-based "
        "learning from weakly-labeled data, AAAI 2022",
        training_data=TRAINING_DATA,
    )
    weights: Mapping[str, str] = {}

    def __init__(self, *, checkpoint: str = shipped("stsed")) -> None:
        self.checkpoint = checkpoint
        self._network: Any = None
        self._detector: Any = None
        self._device = "cpu"
        self._remembered = RememberedClips()

    def load(self, device: str) -> None:
        """Read the file and put both networks on the device.

        Raises:
            MissingWeightsError: no such file.
            CheckpointError: it is damaged, or another network's.
            BaselineLoadError: it works at another rate.
        """
        path = present(self.checkpoint, self.card.name)
        held = read_sized(path, "stsed")
        network = separator_of_sizes(held, str(path))
        refuse_other_rate(network.config.sample_rate, self.card, path)
        network.prepare()
        self._network = network.to(device)
        self._detector = detector_part(held, str(path)).module.to(device)
        self._device = device
        self._remembered.clear()

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """Query vectors, each (D,).

        Raises:
            BaselineLoadError: before `load`.
            QueryError: no example, none in which anything sounds, or one that cannot be used.
        """
        import torch

        self._loaded()
        heard = [self._heard(query) for query in queries]
        clips = [clip for each in heard for clip in each]
        latents = iter(self._remembered.embed(clips, self._embed))
        return [torch.stack([next(latents) for _ in each]).mean(0) for each in heard]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, C, N), (B, D) -> (B, C, N). Silence stays silence.

        Raises:
            BaselineLoadError: before `load`.
        """
        import torch

        network = self._loaded()
        batch, channels, length = mixture.shape
        flat = mixture.reshape(batch * channels, length)
        conditions = condition.to(mixture.device).repeat_interleave(channels, dim=0)
        with torch.inference_mode():
            estimates = torch.cat(
                [network(flat[k : k + 1], conditions[k : k + 1]) for k in range(len(flat))]
            )
        return estimates.clone().reshape(batch, channels, length)

    def _embed(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Means (D,) over the loud segments of clips (N,)."""
        import torch

        from sepbench.baselines.stsed.latent import THRESHOLD, loud_segments

        with torch.inference_mode():
            means = [
                self._detector.latent(
                    loud_segments(clip, THRESHOLD, self._segment).to(self._device)
                ).mean(0)
                for clip in clips
            ]
        return [mean.clone() for mean in means]

    def _heard(self, query: Query) -> list[tuple[Any, Tensor]]:
        """The examples in which anything sounds: what tells a clip from others, mono samples."""
        from sepbench.baselines.stsed.latent import THRESHOLD, loud_segments

        if not query.examples:
            raise QueryError(f"Baseline {self.card.name} needs audio examples; the query has none.")
        clips = [(key_of(example), self._mono(example)) for example in query.examples]
        heard = [each for each in clips if len(loud_segments(each[1], THRESHOLD, self._segment))]
        if not heard:
            names = ", ".join(example.clip_id for example in query.examples)
            raise QueryError(
                f"Baseline {self.card.name}: nothing can be heard in {names}. Give an example in "
                "which the target sounds."
            )
        return heard

    def _mono(self, example: Example) -> Tensor:
        from sepbench.baselines.encoders.clips import pad_to

        what = f"Baseline {self.card.name}: query example {example.clip_id}"
        if example.waveform is None:
            raise QueryError(f"{what} is not loaded. Read its file and set `waveform` first.")
        rate = self._rate
        if example.sample_rate not in (None, rate):
            raise QueryError(f"{what} is at {example.sample_rate} Hz; resample it to {rate} Hz.")
        waveform = example.waveform.float()
        mono = waveform.mean(0) if waveform.ndim == 2 else waveform
        if not mono.numel() or not mono.isfinite().all():
            raise QueryError(f"{what} is empty, or holds NaN or infinite samples.")
        return pad_to(mono, rate // 2)  # the detector's five halvings leave something of that

    @property
    def _rate(self) -> int:
        return self.card.sample_rate or SAMPLE_RATE

    @property
    def _segment(self) -> int:
        """Samples of what the detector hears at once."""
        return SEGMENT_SECONDS * self._rate

    def _loaded(self) -> Any:
        if self._network is None:
            raise BaselineLoadError(f"Baseline {self.card.name}: call load(device) first.")
        return self._network


def separator_of_sizes(held: SizedFile, what: str) -> Any:
    """The separator of a file, on the CPU in eval mode.

    Raises:
        CheckpointError: tensors that do not fit the sizes.
    """
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.stsed.network_separator import Separator, SeparatorConfig

    sizes = dict(held.sizes["separator"])
    config = SeparatorConfig(**{**sizes, "widths": tuple(sizes["widths"])})
    separator = without_draws(lambda: Separator(config))
    fit(separator, strip_prefix(held.state, "separator."), what=f"{what} for stsed")
    return separator.eval()


def detector_part(held: SizedFile, what: str) -> OpenDetector:
    """The detector in a separator's file."""
    from sepbench.baselines.stsed.detectors import NAME, open_sized

    return open_sized(
        SizedFile(
            network=NAME,
            sizes=held.sizes["detector"],
            names=held.names,
            facts=held.facts,
            state=strip_prefix(held.state, "detector."),
        ),
        what,
    )
