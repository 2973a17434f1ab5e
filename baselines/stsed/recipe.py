"""How ST-SED's two halves are trained and written: first the detector, then the separator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepbench.baselines.checks import NetworkSettings
from sepbench.baselines.small.files import SizedFile, write_sized
from sepbench.baselines.stsed.detectors import (
    KINDS,
    DetectorSizes,
    Kind,
    OpenDetector,
    build,
    classes_of,
    published_sizes,
    read_detector,
    sized_detector,
)
from sepbench.baselines.stsed.sizes import SAMPLE_RATE, SEGMENT
from sepbench.harness.api.training import Placing, RecipeFacts, Task
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "stsed"
DETECTOR = "stsed-sed"
AUDIOSET = 527
STAGES = 4  # of HTS-AT: its image and its answer over time are laid out for so many
MOST_WIDTHS = 6  # of CNN14: five halvings leave something of the shortest example, half a second


class DetectorRecipe:
    """Classes of weakly labelled clips.

    Args:
        detector: "htsat" or "cnn14".
        embed: channels of HTS-AT's first stage.
        depths: blocks of its four stages.
        heads: of their attention; channels are shared out among them.
        drop_path: most of the blocks that are left out in training.
        widths: of CNN14's blocks.
        mixup: of the Beta distribution that shares are drawn from; 0 for none.
        mask_frames: longest mask in time.
        mask_bands: widest mask in frequency.
    """

    task: Task = "tag"

    def __init__(
        self,
        *,
        detector: Kind,
        embed: int,
        depths: Sequence[int],
        heads: Sequence[int],
        drop_path: float,
        widths: Sequence[int],
        mixup: float,
        mask_frames: int,
        mask_bands: int,
    ) -> None:
        given = NetworkSettings(DETECTOR)
        self.sizes = DetectorSizes(
            kind=_checked_kind(detector),
            embed=given.whole_number("embed", embed, low=4, high=1024),
            depths=given.sizes("depths", depths, fewest=STAGES, most=STAGES),
            heads=given.sizes("heads", heads, fewest=STAGES, most=STAGES),
            drop_path=given.number("drop_path", drop_path, low=0.0, high=0.9),
            widths=given.sizes("widths", widths, most=MOST_WIDTHS),
            sample_rate=SAMPLE_RATE,
        )
        _refuse_shares(self.sizes)
        self.mixup = given.number("mixup", mixup, low=0.0, high=10.0)
        self.mask_frames = given.whole_number("mask_frames", mask_frames, low=0, high=1024)
        self.mask_bands = given.whole_number("mask_bands", mask_bands, low=0, high=64)
        self._classes: tuple[str, ...] = ()

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: the clips have no classes, or a rate or length that it cannot hear.
        """
        from sepbench.baselines.stsed.network_training import Augmentation, DetectorTraining

        if not facts.classes:
            raise SettingError("Recipe stsed-sed learns classes, and the clips have none.")
        self.sizes = replace(self.sizes, sample_rate=facts.sample_rate)
        shortest, longest = self.sizes.heard
        NetworkSettings(DETECTOR).refuse_length(facts, shortest=shortest, longest=longest)
        self._classes = classes_of(facts.classes)
        module = build(self.sizes, len(self._classes))
        opened = OpenDetector(module=module, sizes=self.sizes, classes=self._classes)
        _draw(module)
        return DetectorTraining(
            module,
            Augmentation(mixup=self.mixup, frames=self.mask_frames, bands=self.mask_bands),
            opened.columns(facts.classes),
        )

    def placing(self, network: nn.Module) -> Placing | None:
        """None: cut at random."""
        return None

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """htsat_audioset_2048d.ckpt or cnn14.pth for published sizes, else detector.safetensors."""
        import torch

        from sepbench.baselines.stsed.network_sed import SoundEventDetector
        from sepbench.baselines.stsed.network_training import Cnn14Detector, DetectorTraining
        from sepbench.baselines.stsed.published import front_end, published_detector

        if not isinstance(network, DetectorTraining):
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        module = network.detector
        plain = replace(self.sizes, drop_path=0.0)
        published = len(self._classes) == AUDIOSET and _same_network(plain)
        if published and isinstance(module, SoundEventDetector):
            path = folder / "htsat_audioset_2048d.ckpt"
            torch.save(published_detector(module), path)
            return [path]
        if published and isinstance(module, Cnn14Detector):
            path = folder / "cnn14.pth"
            state = {**module.network.state_dict(), **front_end(module.front)}
            torch.save({"model": state}, path)
            return [path]
        opened = OpenDetector(module=module, sizes=plain, classes=self._classes)
        return [write_sized(folder / "detector.safetensors", sized_detector(opened, facts))]


class SeparatorRecipe:
    """The separator under a frozen detector.

    Args:
        detector: "htsat" or "cnn14".
        detector_checkpoint: its file; None for the installed one.
        widths: channels of the levels, the centre last.
        n_fft: frame length in samples.
        hop: samples between frames.
        localise: cut each clip where its class sounds most; false cuts at random.
    """

    task: Task = "separate"

    def __init__(
        self,
        *,
        detector: Kind,
        detector_checkpoint: str | None,
        widths: Sequence[int],
        n_fft: int,
        hop: int,
        localise: bool,
    ) -> None:
        self.kind = _checked_kind(detector)
        self.detector_checkpoint = detector_checkpoint
        given = NetworkSettings(NAME)
        self.widths = given.sizes("widths", widths, fewest=2)
        self.n_fft = given.frame(n_fft, widths=self.widths, multiple=2 ** len(self.widths))
        self.hop = given.whole_number("hop", hop, low=1, high=self.n_fft // 2)
        self.localise = localise
        self._opened: OpenDetector | None = None
        self._facts: RecipeFacts | None = None

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: a detector of another rate, or examples of a length that it or the
                separator cannot hear.
        """
        from sepbench.baselines.stsed.network_separator import (
            Separator,
            SeparatorConfig,
            initialise,
        )
        from sepbench.baselines.stsed.network_training import SeparatorTraining

        self._opened = read_detector(self.kind, self.detector_checkpoint)
        if self._opened.sizes.sample_rate != facts.sample_rate:
            raise SettingError(
                f"The detector hears at {self._opened.sizes.sample_rate} Hz; give "
                f"data.sample_rate={self._opened.sizes.sample_rate}."
            )
        shortest, longest = self._opened.sizes.heard
        shortest = max(shortest, self.n_fft // 2 + 1)  # both ends are reflected over half a frame
        NetworkSettings(NAME).refuse_length(facts, shortest=shortest, longest=longest)
        self._facts = facts
        separator = Separator(
            SeparatorConfig(
                widths=self.widths,
                condition=self._opened.sizes.dimension,
                n_fft=self.n_fft,
                hop=self.hop,
                sample_rate=facts.sample_rate,
            )
        )
        initialise(separator)
        return SeparatorTraining(separator, self._opened.module)

    def placing(self, network: nn.Module) -> Placing | None:
        """Where the detector hears a clip's class most."""
        from sepbench.baselines.stsed.network_sed import SoundEventDetector
        from sepbench.baselines.stsed.network_training import MostPresent

        if not self.localise or self._opened is None or self._facts is None:
            return None
        if not self._facts.classes:
            raise SettingError("network.localise=true looks for classes, and the clips have none.")
        module, columns = self._opened.module, self._opened.columns(self._facts.classes)
        if (
            isinstance(module, SoundEventDetector)
            and self._facts.segment == SEGMENT
            and self._facts.sample_rate == SAMPLE_RATE
        ):
            return _Published(module, columns)
        return MostPresent(module, columns, self._facts.segment)

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """zeroshot_asp.ckpt where all sizes are published, else stsed.safetensors with both."""
        import torch

        from sepbench.baselines.stsed.network_separator import SeparatorConfig
        from sepbench.baselines.stsed.network_training import SeparatorTraining

        if not isinstance(network, SeparatorTraining) or self._opened is None:
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        made = network.network
        state = {name: value.detach().cpu().clone() for name, value in made.state_dict().items()}
        # The published file has no room for a detector: it goes with the published one.
        with_published = len(self._opened.classes) == AUDIOSET and _same_network(self._opened.sizes)
        if with_published and made.config == SeparatorConfig():
            path = folder / "zeroshot_asp.ckpt"
            torch.save({"state_dict": state}, path)
            return [path]
        detector = sized_detector(self._opened, {})
        both: dict[str, Tensor] = {f"separator.{name}": value for name, value in state.items()}
        both |= {f"detector.{name}": value for name, value in detector.state.items()}
        held = SizedFile(
            network=NAME,
            sizes={"separator": asdict(made.config), "detector": detector.sizes},
            names=detector.names,
            facts=facts,
            state=both,
        )
        return [write_sized(folder / "stsed.safetensors", held)]


class _Published:
    """The published rule, for 2 s at 32 kHz."""

    def __init__(self, detector: Any, columns: Sequence[int]) -> None:
        self._detector = detector
        self._columns = columns

    def __call__(self, sounds: Tensor, asked: Tensor) -> list[int]:
        from sepbench.baselines.stsed.localise import localise

        classes = [self._columns[each] for each in asked.tolist()]
        return [each.begin for each in localise(self._detector, sounds, classes)]


def _checked_kind(kind: object) -> Kind:
    if kind == "htsat" or kind == "cnn14":
        return kind
    raise SettingError(f"network.detector={kind}; one of {', '.join(KINDS)}.")


def _refuse_shares(sizes: DetectorSizes) -> None:
    """Refuse heads among which the channels of a stage, each twice those before, are not shared."""
    if sizes.kind != "htsat":
        return
    for stage, heads in enumerate(sizes.heads):
        channels = sizes.embed * 2**stage
        if channels % heads:
            raise SettingError(
                f"Recipe {DETECTOR}: network.heads={list(sizes.heads)} does not fit "
                f"network.embed={sizes.embed}: stage {stage + 1} has {channels} channels for "
                f"{heads} heads. Give numbers of heads that divide them."
            )


def _same_network(sizes: DetectorSizes) -> bool:
    """Whether a detector has the published sizes of its kind."""
    published = published_sizes(sizes.kind)
    if sizes.sample_rate != published.sample_rate:
        return False
    if sizes.kind == "cnn14":
        return sizes.widths == published.widths
    return (sizes.embed, sizes.depths, sizes.heads) == (
        published.embed,
        published.depths,
        published.heads,
    )


def _draw(module: nn.Module) -> None:
    """Start values: of transformers' backbone as Swin's, of CNN14 as PANNs'."""
    from torch import nn

    from sepbench.baselines.stsed.network_training import Cnn14Detector

    wide = isinstance(module, Cnn14Detector)
    for part in module.modules():
        if isinstance(part, nn.Linear):
            if wide:
                nn.init.xavier_uniform_(part.weight)
            else:
                nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            part.reset_parameters()
        for own, value in part.named_parameters(recurse=False):
            if own == "relative_position_bias_table":
                nn.init.trunc_normal_(value, std=0.02)
