"""Detectors of any size, made, written and read again; for the training of ST-SED."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sepbench.baselines.checkpoints import fit
from sepbench.baselines.encoders.clips import checkpoint_path
from sepbench.baselines.small.files import SizedFile, read_sized
from sepbench.baselines.stsed.classes import audioset_names
from sepbench.harness.errors import CheckpointError, SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "detector"
KINDS = ("htsat", "cnn14")
Kind = Literal["htsat", "cnn14"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSizes:
    """Which network, and how large.

    Attributes:
        kind: "htsat" or "cnn14".
        embed: of HTS-AT, as `DetectorConfig`.
        depths: likewise.
        heads: likewise.
        drop_path: likewise.
        widths: of CNN14's blocks.
        sample_rate: Hz.
    """

    kind: Kind
    embed: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    drop_path: float
    widths: tuple[int, ...]
    sample_rate: int

    @property
    def dimension(self) -> int:
        """D of the latent."""
        if self.kind == "cnn14":
            return self.widths[-1]
        return int(self.embed * 2 ** (len(self.depths) - 1))

    @property
    def heard(self) -> tuple[int, int]:
        """Fewest and most samples of a clip that it can hear; 0 for any number.

        Raises:
            SettingError: another rate than 16 or 32 kHz.
        """
        from sepbench.baselines.small.network_contrastive import front_end
        from sepbench.baselines.stsed.network_sed import GRID

        front = front_end(self.sample_rate)
        reflected = front.n_fft // 2 + 1
        if self.kind == "htsat":
            return reflected, GRID * front.hop - 1
        frames = 2 ** (len(self.widths) - 1)  # the halvings leave one of so many
        return max(reflected, (frames - 1) * front.hop), 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenDetector:
    """A detector with its classes.

    Attributes:
        module: a `Detector`.
        sizes: its sizes.
        classes: names, in the order of its answers.
    """

    module: nn.Module
    sizes: DetectorSizes
    classes: tuple[str, ...]

    def columns(self, classes: Sequence[str]) -> list[int]:
        """Class of the data -> class of the detector.

        Raises:
            SettingError: a class that the detector does not know.
        """
        numbers = {name: number for number, name in enumerate(self.classes)}
        for name in classes:
            if name not in numbers:
                raise SettingError(
                    f"The detector does not know the class '{name}': it was trained on others. "
                    "Train one on this data: bench train stsed-sed."
                )
        return [numbers[name] for name in classes]


def build(sizes: DetectorSizes, classes: int) -> nn.Module:
    """A detector without weights; its norms hold their start values."""
    from sepbench.baselines.encoders.construction import without_draws
    from sepbench.baselines.encoders.network_cnn14 import Cnn14
    from sepbench.baselines.small.network_contrastive import front_end
    from sepbench.baselines.stsed.network_sed import DetectorConfig, build_detector
    from sepbench.baselines.stsed.network_training import Cnn14Detector

    front = front_end(sizes.sample_rate)
    if sizes.kind == "cnn14":
        return without_draws(
            lambda: Cnn14Detector(Cnn14((1, *sizes.widths), classes=classes), front)
        )
    return build_detector(
        DetectorConfig(
            embed=sizes.embed,
            depths=sizes.depths,
            heads=sizes.heads,
            classes=classes,
            front=front,
            drop_path=sizes.drop_path,
        )
    )


def classes_of(names: Sequence[str]) -> tuple[str, ...]:
    """The classes that a detector for some names has: all of AudioSet's, or just these."""
    known = audioset_names()
    return known if names and set(names) <= set(known) else tuple(names)


def sized_detector(opened: OpenDetector, facts: Mapping[str, Any]) -> SizedFile:
    """A detector as its file holds it."""
    from dataclasses import asdict

    return SizedFile(
        network=NAME,
        sizes=asdict(opened.sizes),
        names=opened.classes,
        facts=facts,
        state=without_indexes(opened.module.state_dict()),
    )


def open_sized(held: SizedFile, what: str) -> OpenDetector:
    """A detector out of such a file, in eval mode.

    Raises:
        CheckpointError: tensors that do not fit the sizes.
    """
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in held.sizes.items()
    }
    sizes = DetectorSizes(**given)
    module = build(sizes, len(held.names))
    state = module.state_dict()
    computed = set(state) - set(without_indexes(state))
    fit(module, held.state, what=f"{what} for a detector", computed=computed)
    return OpenDetector(module=module.eval(), sizes=sizes, classes=held.names)


def read_detector(kind: Kind, checkpoint: str | None) -> OpenDetector:
    """The detector of a file: published, or written by a training.

    Args:
        kind: which is expected.
        checkpoint: None for the installed "htsat" or "cnn14".

    Raises:
        MissingWeightsError: none given and none installed.
        CheckpointError: missing, damaged, or another network's.
    """
    path = checkpoint_path(checkpoint, kind)
    if path.suffix == ".safetensors":
        opened = open_sized(read_sized(path, NAME), path.name)
        if opened.sizes.kind != kind:
            raise CheckpointError(
                f"{path} holds a detector of the kind {opened.sizes.kind}; give "
                f"network.detector={opened.sizes.kind}."
            )
        return opened
    return OpenDetector(
        module=_published(kind, path), sizes=published_sizes(kind), classes=audioset_names()
    )


def published_sizes(kind: Kind) -> DetectorSizes:
    """Those of the published checkpoints."""
    return DetectorSizes(
        kind=kind,
        embed=256,
        depths=(2, 2, 6, 2),
        heads=(4, 8, 16, 32),
        drop_path=0.0,
        widths=(64, 128, 256, 512, 1024, 2048),
        sample_rate=32_000,
    )


def _published(kind: Kind, path: Path) -> nn.Module:
    if kind == "htsat":
        from sepbench.baselines.stsed.layout import detector_of, read_state

        return detector_of(read_state(path), path.name)
    from sepbench.baselines.encoders import cnn14
    from sepbench.baselines.encoders.log_mel import PANNS
    from sepbench.baselines.stsed.network_training import Cnn14Detector

    network = cnn14.build(cnn14.read_state(path), PANNS, what=path.name)
    return Cnn14Detector(network, PANNS).eval()


def without_indexes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state without the window indexes, which a constructor makes."""
    return {n: v for n, v in state.items() if not n.endswith("relative_position_index")}
