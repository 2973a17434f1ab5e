"""ST-SED: separation of whatever a few recordings of it sound like.

A sound event detector trained on AudioSet turns the example clips into one vector; a U-Net masks
the mixture's magnitude for it. Neither has ever been trained on the classes' separated sounds.

Differences from the original: the estimate is as long as the mixture (the original drops the
tail), and what else `latent.py` and `segments.py` name for cases in which it fails. The paper's
MUSDB18 scores also use the joint Wiener step (`wiener.py`), which wraps a model and is no part
of it.

Source: Chen et al., Zero-shot Audio Source Separation through Query-based Learning from
Weakly-labeled Data, AAAI 2022 (arXiv 2112.07891); behaviour of the official code (3a4e363).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checks import number, whole_number
from sepbench.baselines.encoders.clips import checkpoint_path
from sepbench.baselines.encoders.remembered import Key, RememberedClips, key_of
from sepbench.baselines.stsed.encoder import DIMENSION, HtsatLatent
from sepbench.baselines.stsed.latent import THRESHOLD, checked, loud_segments
from sepbench.baselines.stsed.layout import holds_detector, read_state, separator_of
from sepbench.baselines.stsed.segments import separate_in_segments
from sepbench.baselines.stsed.sizes import OVERLAP, SAMPLE_RATE
from sepbench.baselines.weights import installed
from sepbench.harness.api import AudioEncoder, BaselineCard, Example, Query
from sepbench.harness.errors import BaselineLoadError, QueryError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

# B batch, C channels, N samples, D = 2048


class StSed:
    """The published system: detector, latent processor and separator.

    Args:
        checkpoint: zeroshot_asp_full.ckpt or zeroshot_asp_held_out.ckpt; None for the installed
            "stsed".
        sed_checkpoint: htsat_audioset_2048d.ckpt; None for the installed "htsat", or else the
            copy that the separator's file may hold.
        overlap: fade segments of 3 s into each other every 2 s, as the authors' hosted predictor
            does; False joins segments of 2 s end to end, as the paper's evaluation does.
        threshold: sum of squared samples that a 2-s segment of an example must exceed to count.
        at_once: segments in one pass of a network; bounds the memory, changes no number.

    Attributes:
        audio_encoder: makes the query vectors. Another encoder of 2048 dimensions at 32 kHz may
            be put in its place before `load`: a separator trained with that one is queried so.
    """

    card = BaselineCard(
        name="stsed",
        summary="query by example: HTS-AT latent and a magnitude U-Net, trained on AudioSet",
        query_kinds=("audio",),
        sample_rate=SAMPLE_RATE,
        channels=1,
        chunking="own",
        licence="none stated for the weights",
        paper="Chen et al., Zero-shot audio source separation through query-based learning from "
        "weakly-labeled data, AAAI 2022",
        training_data=("AudioSet",),
    )
    weights: Mapping[str, str] = {"checkpoint": "stsed", "sed_checkpoint": "htsat"}

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        sed_checkpoint: str | None = None,
        overlap: bool = False,
        threshold: float = THRESHOLD,
        at_once: int = 4,
    ) -> None:
        name = self.card.name
        if not isinstance(overlap, bool):
            raise SettingError(f"Baseline {name}: overlap={overlap!r}; give true or false.")
        self.checkpoint = checkpoint
        self.sed_checkpoint = sed_checkpoint
        self.overlap = overlap
        self.threshold = number(name, "threshold", threshold, low=0.0, high=1e6)
        self.at_once = whole_number(name, "at_once", at_once, low=1, high=1024)
        self.audio_encoder: AudioEncoder = HtsatLatent(
            checkpoint=sed_checkpoint, threshold=self.threshold, at_once=self.at_once
        )
        self._network: Any = None
        self._device = "cpu"
        self._remembered = RememberedClips()

    def load(self, device: str) -> None:
        """Read both checkpoints and put the networks on the device.

        Raises:
            MissingWeightsError: a checkpoint that is neither given nor installed.
            CheckpointError: a file that is damaged, unsafe or made for another network.
            SettingError: another encoder whose vectors do not fit the separator.
        """
        self._check_encoder()
        path = checkpoint_path(self.checkpoint, self.weights["checkpoint"])
        self.load_state(read_state(path), device, what=path.name)

    def load_state(
        self, state: Mapping[str, Tensor], device: str, *, what: str = "the given state"
    ) -> None:
        """As `load`, with the tensors of the separator's file read already.

        Args:
            state: name -> tensor, as published; may hold the detector too.
            device: where the networks run.
            what: names the tensors' origin in messages.
        """
        network = separator_of(state, what)
        network.prepare(device)
        self._load_encoder(state, what, device)
        self._network, self._device = network.to(device), device
        self._remembered.clear()

    def condition(self, queries: Sequence[Query]) -> list[Tensor]:
        """Query vectors, each (2048,): the mean over the latents of a query's examples.

        Examples in which nothing sounds are left out; the clips of all queries are encoded
        together, and a clip that several queries share only once.

        Args:
            queries: each with one or more examples at 32 kHz; channels are averaged.

        Raises:
            QueryError: no example, none in which anything sounds, or one that is not loaded, too
                short, not finite or at another rate.
        """
        import torch

        heard = [self._heard(query) for query in queries]
        clips = [clip for each in heard for clip in each]
        latents = iter(self._remembered.embed(clips, self.audio_encoder.encode_audio))
        return [torch.stack([next(latents) for _ in each]).mean(0) for each in heard]

    def separate(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """Estimates for a batch, (B, C, N), (B, 2048) -> (B, C, N). Silence stays silence.

        Channels are separated one by one.

        Raises:
            BaselineLoadError: before `load`.
        """
        if self._network is None:
            raise BaselineLoadError(f"Baseline {self.card.name}: call load(device) first.")
        batch, channels, length = mixture.shape
        flat = separate_in_segments(
            self._network,
            mixture.reshape(batch * channels, length),
            condition.to(mixture.device).repeat_interleave(channels, dim=0),
            overlap=OVERLAP if self.overlap else 0,
            at_once=self.at_once,
        )
        return flat.reshape(batch, channels, length)

    def compile_network(self) -> None:
        """Let torch compile the U-Net, which is nearly all of the work, at its next call."""
        import torch

        self._network.logits = torch.compile(self._network.logits, dynamic=False)

    def _check_encoder(self) -> None:
        card = self.audio_encoder.card
        if card.dimension != DIMENSION or card.sample_rate != SAMPLE_RATE:
            raise SettingError(
                f"Baseline {self.card.name} takes {DIMENSION}-d vectors of {SAMPLE_RATE} Hz audio; "
                f"encoder {card.name} gives {card.dimension}-d ones of {card.sample_rate} Hz."
            )

    def _load_encoder(self, state: Mapping[str, Tensor], what: str, device: str) -> None:
        """The detector's own file goes before the copy in the separator's."""
        encoder = self.audio_encoder
        lone = isinstance(encoder, HtsatLatent) and encoder.checkpoint is None
        if isinstance(encoder, HtsatLatent) and lone and holds_detector(state):
            if installed(encoder.weights["checkpoint"]) is None:
                encoder.load_state(state, device, what=what)
                return
        encoder.load(device)

    def _heard(self, query: Query) -> list[tuple[Key | None, Tensor]]:
        """The examples in which anything sounds: what tells a clip from others, mono samples."""
        if not query.examples:
            raise QueryError(f"Baseline {self.card.name} needs audio examples; the query has none.")
        clips = [(key_of(example), self._mono(example)) for example in query.examples]
        heard = [each for each in clips if len(loud_segments(each[1], self.threshold))]
        if not heard:
            names = ", ".join(example.clip_id for example in query.examples)
            raise QueryError(
                f"Baseline {self.card.name}: nothing is left of the query: example {names} has no "
                f"2-s segment louder than the threshold (sum of squares {self.threshold:g}). Give "
                "an example in which the target can be heard."
            )
        return heard

    def _mono(self, example: Example) -> Tensor:
        what = f"Baseline {self.card.name}: query example {example.clip_id}"
        if example.waveform is None:
            raise QueryError(f"{what} is not loaded. Read its file and set `waveform` first.")
        if example.sample_rate not in (None, SAMPLE_RATE):
            raise QueryError(
                f"{what} is at {example.sample_rate} Hz; resample it to {SAMPLE_RATE} Hz."
            )
        waveform = example.waveform
        return checked(waveform.mean(0) if waveform.ndim == 2 else waveform, what)
