"""VoiceBank-DEMAND (Valentini-Botinhao, 2017): read speech in recorded noise.

Official layout: `clean_testset_wav/` and `noisy_testset_wav/` with identical names, in the root or
in the folder that the archive was unpacked into; copies resampled to 16 kHz often carry the suffix
`_16k`, and some lie in `test/clean` and `test/noisy`. WAV or FLAC.

The noise is not distributed: it is noisy − clean, taken after resampling, so that speech + noise is
the mixture at every rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sepbench.datasets.manifest import (
    read_number,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
)
from sepbench.datasets.pairs import read_target_and_mixture
from sepbench.datasets.unpacked import bases
from sepbench.harness.api import Attribute, Clip, DatasetCard, ListCard, Scene, SceneRow, TargetRow
from sepbench.harness.errors import ManifestError, MissingRootError

# Suffixes of folders, as distributed first. Copies are at 16 kHz whatever their suffix.
VARIANTS = ("", "_16k", "_16kHz", "_16khz", "_16000", "-16k")
PAIRS = (  # clean, noisy
    *((f"clean_testset_wav{end}", f"noisy_testset_wav{end}") for end in VARIANTS),
    ("test/clean", "test/noisy"),
)
# Lines "p232_001 bus 17.5", no header; below `logfiles` where its archive was unpacked.
LOG_FILES = ("log_testset.txt", "logfiles/log_testset.txt")
# Part -> its folders. The parts have different speakers; the first release had one without a name.
TRAIN_PARTS = {
    "28spk": (
        *(f"clean_trainset_28spk_wav{end}" for end in VARIANTS),
        *(f"clean_trainset_wav{end}" for end in VARIANTS),
        "train/clean",
    ),
    "56spk": tuple(f"clean_trainset_56spk_wav{end}" for end in VARIANTS),
}
SUFFIXES = (".wav", ".flac")

CARD = DatasetCard(
    name="voicebank-demand",
    summary="824 read sentences of two speakers in noise at 2.5 to 17.5 dB; one target: speech.",
    licence="CC BY 4.0",
    lists=(
        ListCard(
            name="test",
            revision="1",
            mixing="finished mixtures of the corpus; noise = noisy − clean",
            summary="The official test set.",
            expected_scenes=824,
        ),
    ),
    protocols=("voicebank-demand", "vbd-enhancement", "uss-vbd"),
    pools=("train-speech",),
    where=(
        "doi.org/10.7488/ds/2117 (Edinburgh DataShare): unpack clean_testset_wav.zip and "
        "noisy_testset_wav.zip side by side."
    ),
    citation="C. Valentini-Botinhao, Noisy speech database, University of Edinburgh, 2017",
    sample_rate=48000,
    steps=(
        "Download clean_testset_wav.zip and noisy_testset_wav.zip from doi.org/10.7488/ds/2117.",
        "Unpack both into one folder, so that clean_testset_wav and noisy_testset_wav lie side by "
        "side.",
        "For tables by SNR, put log_testset.txt of logfiles.zip beside them.",
    ),
)


class VoiceBankDemand:
    """The test set as scenes, the training speech as clips.

    Args:
        root: folder that holds `clean_testset_wav` and `noisy_testset_wav`, or one above it.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._scenes: tuple[SceneRow, ...] | None = None

    def default_protocol(self) -> str:
        """The corpus has one protocol.

        Raises:
            MissingRootError: no folder, or no test set in it.
        """
        _test_folders(require_root(self.root, self.card))
        return "voicebank-demand"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """One row for each pair of files, in the order of their names.

        Raises:
            MissingRootError: no folder, or no test set in it.
            ManifestError: a file without partner, or a log that cannot be understood.
        """
        require_list(list_name, self.card)
        root = require_root(self.root, self.card)
        if self._scenes is None:
            self._scenes = tuple(_rows(root))
        return self._scenes

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Clean and noisy file of one sentence.

        Raises:
            AudioMismatchError: their rates or lengths differ.
            DatasetError: one of them is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        speech, mixture, files = read_target_and_mixture(
            root,
            *self.files(row),
            sample_rate=sample_rate,
            mono=mono,
            equal_lengths=True,
        )
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources={"speech": speech, "noise": mixture - speech},
            files=files,
        )

    def files(self, row: SceneRow) -> tuple[str, str]:
        """Names of the clean and the noisy file.

        Raises:
            MissingRootError: no folder, or no test set in it.
        """
        clean, noisy = _test_folders(require_root(self.root, self.card))
        return f"{clean}/{row.details['file']}", f"{noisy}/{row.details['file']}"

    def clips(self, pool: str) -> Sequence[Clip]:
        """Clean training sentences, `fold` naming their part and `origin` their speaker.

        Raises:
            MissingRootError: no folder.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        return tuple(
            Clip(
                clip_id=Path(name).stem,
                path=root / folder / name,
                labels=("speech",),
                fold=part,
                origin=_speaker(name),
            )
            for part, folders in TRAIN_PARTS.items()
            for folder in _present(root, folders)
            for name in _audio_names(root / folder)
        )


def _present(root: Path, folders: Sequence[str]) -> list[str]:
    """The first of the folders that is there, in the root or one folder below."""
    there = (b + f for b in bases(root) for f in folders if (root / b / f).is_dir())
    return list(islice(there, 1))


def _test_folders(root: Path) -> tuple[str, str]:
    """Names of the clean and the noisy folder, both of the same variant."""
    for base in bases(root):
        for clean, noisy in PAIRS:
            if (root / base / clean).is_dir() and (root / base / noisy).is_dir():
                return base + clean, base + noisy
    raise MissingRootError(
        f"Dataset voicebank-demand: {root} does not hold both clean_testset_wav and "
        f"noisy_testset_wav (or both with the suffix _16k). Where to get them: {CARD.where}"
    )


def _audio_names(folder: Path) -> list[str]:
    # Archives packed on a Mac bring "._p232_001.wav" files that are no audio.
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _speaker(name: str) -> str:
    return name.partition("_")[0]


def _rows(root: Path) -> Iterator[SceneRow]:
    clean, noisy = _test_folders(root)
    clean_names, noisy_names = _audio_names(root / clean), _audio_names(root / noisy)
    for names, others, folder in (
        (clean_names, noisy_names, noisy),
        (noisy_names, clean_names, clean),
    ):
        alone = sorted(set(names) - set(others))
        if alone:
            shown = ", ".join(alone[:5]) + (", …" if len(alone) > 5 else "")
            raise ManifestError(
                f"Dataset voicebank-demand: {len(alone)} files have no partner in {root / folder}: "
                f"{shown}. Complete the folder, or remove them from the other one."
            )
    refuse_duplicates((Path(name).stem for name in clean_names), root / clean, "utterance")
    logs = (root / base / name for base in bases(root) for name in LOG_FILES)
    log = _read_log(next((path for path in logs if path.is_file()), None))
    for name in clean_names:
        stem = Path(name).stem
        speaker = _speaker(name)
        yield SceneRow(
            scene_id=stem,
            targets=(
                TargetRow(
                    name="speech",
                    label="speech",
                    texts=("speech",),
                    cluster=stem,
                    attributes={"speaker": speaker, **log.get(stem, {})},
                ),
            ),
            origins=(speaker,),
            details={"file": name},
        )


def _read_log(path: Path | None) -> dict[str, dict[str, Attribute]]:
    """Utterance -> noise and SNR, where the log is there; it may cover more than is on disk."""
    if path is None:
        return {}
    entries: dict[str, dict[str, Attribute]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read as text ({error}). Restore it.") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] in entries:
            what = "names its file again" if fields[0] in entries else "is not 'file noise snr'"
            raise ManifestError(f"{path}, line {number}, {what}: '{line}'. Restore the file.")
        snr_db = read_number(fields[2], path, f"the SNR in line {number}")
        entries[fields[0]] = {"noise": fields[1], "snr_db": snr_db}
    return entries
