"""The built-in demo: 40 mixtures of two real ESC-10 recordings, ready without any download.

Clips, manifest and scene list lie in `demo/`, made by `demo/build_demo.py`. Both sounds of a
scene are asked for in turn. Every file is held against the manifest's sha256 when it is mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from sepbench.datasets.manifest import (
    read_number,
    read_table,
    refuse_duplicates,
    require_list,
    require_pool,
    require_root,
)
from sepbench.datasets.pairs import mix_pair
from sepbench.harness.api import Clip, DatasetCard, ListCard, Samples, Scene, SceneRow, TargetRow
from sepbench.harness.audio import read_audio, resolve_inside
from sepbench.harness.errors import ChangedFileError, ManifestError
from sepbench.harness.mixing import pad_to_length

DATA = Path(__file__).parent / "demo"

CLIP_SECONDS = 4.0
POOLS = {"queries": "query", "mixtures": "mixture"}  # pool -> role in the manifest

# One natural caption a class, written for this set; ESC-10 brings labels only.
CAPTIONS = {
    "chainsaw": "a chainsaw cutting wood",
    "clock_tick": "a clock ticking",
    "crackling_fire": "a fire crackling",
    "crying_baby": "a baby crying",
    "dog": "a dog barking",
    "helicopter": "a helicopter flying past",
    "rain": "rain falling",
    "rooster": "a rooster crowing",
    "sea_waves": "waves breaking on the shore",
    "sneezing": "a person sneezing",
}

MIXING = "two 4-s clips at the energy ratio of scenes.csv, peak above 1 scaled to 0.9"

CARD = DatasetCard(
    name="demo",
    summary="40 mixtures of two ESC-10 recordings at −10 to 10 dB; 3 query examples a class.",
    licence="CC0 and CC BY, clip by clip: see manifest.csv",
    lists=(
        ListCard(
            name="demo",
            revision="1",
            mixing=MIXING,
            summary="Both sounds of each mixture are targets.",
            expected_scenes=40,
        ),
        ListCard(
            name="absent",
            revision="1",
            mixing=MIXING,
            summary="The same mixtures, asked for a class that is in neither of their clips.",
            expected_scenes=40,
        ),
        ListCard(
            name="wrong-interference",
            revision="1",
            mixing=MIXING,
            summary="The targets of the list demo, each asked for with the class of the other "
            "sound.",
            expected_scenes=40,
        ),
        ListCard(
            name="wrong-absent",
            revision="1",
            mixing=MIXING,
            summary="The targets of the list demo, each asked for with a class that is in neither "
            "clip.",
            expected_scenes=40,
        ),
    ),
    protocols=("demo", "absent-query", "wrong-query-interference", "wrong-query-absent"),
    needs_root=False,
    pools=tuple(POOLS),
    where="it ships with sepbench; reinstall the package if it is incomplete.",
    citation="K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM MM 2015",
    sample_rate=32000,
)

MANIFEST_COLUMNS = ("file", "role", "label", "fold", "src_file", "sha256")
SCENE_COLUMNS = ("scene_id", "clip_a", "clip_b", "snr_db")


class Demo:
    """The clips in `demo/` as scenes, and as example clips.

    Args:
        root: another folder built by `build_demo.py`; None is the one in the package.
    """

    card = CARD

    def __init__(self, root: Path | None = None) -> None:
        self.root = DATA if root is None else root
        self._scenes: dict[str, tuple[SceneRow, ...]] = {}

    def default_protocol(self) -> str:
        """Separation of what is there; absent queries are asked for by name.

        Raises:
            MissingRootError: the folder is gone.
        """
        require_root(self.root, self.card)
        return "demo"

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """The mixtures, each with its two sounds as targets, or with one that it does not hold.

        Of the lists "wrong-…" the targets are the same and the queries name something else.

        Raises:
            ManifestError: scene list and manifest do not fit each other.
        """
        require_list(list_name, self.card)
        if list_name not in self._scenes:
            rows = self._rows()
            change = _CHANGES.get(list_name)
            if change is not None:
                rows = (change(row, k) for k, row in enumerate(rows))
            self._scenes[list_name] = tuple(rows)
        return self._scenes[list_name]

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Resample both clips, then mix them.

        Raises:
            ChangedFileError: a clip is not the one that the manifest describes.
            DatasetError: a clip is missing or cannot be used.
        """
        root = require_root(self.root, self.card)
        samples: list[Samples] = []
        files: dict[str, str] = {}
        for which in ("clip_a", "clip_b"):
            name, expected = row.details[which], row.details[f"{which}_sha256"]
            audio = read_audio(resolve_inside(root, name), sample_rate=sample_rate, mono=mono)
            if audio.sha256 != expected:
                raise ChangedFileError(
                    f"Dataset demo: {root / name} is not the file that the manifest describes "
                    f"(sha256 {audio.sha256[:12]}…, expected {expected[:12]}…). "
                    "Reinstall sepbench."
                )
            samples.append(pad_to_length(audio.samples, round(CLIP_SECONDS * sample_rate)))
            files[name] = audio.sha256
        where = f"Dataset demo, scene {row.scene_id}"
        first, second, mixture = mix_pair(
            samples[0], samples[1], row.details["snr_db"], where=where
        )
        return Scene(
            scene_id=row.scene_id,
            sample_rate=sample_rate,
            mixture=mixture,
            sources={
                self._manifest[row.details["clip_a"]]["label"]: first,
                self._manifest[row.details["clip_b"]]["label"]: second,
            },
            files=files,
        )

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names of both clips."""
        return row.details["clip_a"], row.details["clip_b"]

    def clips(self, pool: str) -> Sequence[Clip]:
        """The example clips ("queries"), or those that the mixtures are made of ("mixtures").

        Raises:
            ManifestError: the manifest cannot be understood.
        """
        require_pool(pool, self.card)
        root = require_root(self.root, self.card)
        return tuple(
            Clip(
                clip_id=Path(name).stem,
                path=resolve_inside(root, name),
                labels=(row["label"],),
                captions=(CAPTIONS[row["label"]],),
                fold=row["fold"],
                origin=row["src_file"],
            )
            for name, row in self._manifest.items()
            if row["role"] == POOLS[pool]
        )

    @cached_property
    def _manifest(self) -> Mapping[str, Mapping[str, str]]:
        """File -> row."""
        path = require_root(self.root, self.card) / "manifest.csv"
        rows = read_table(path, MANIFEST_COLUMNS)
        refuse_duplicates((row["file"] for row in rows), path, "file")
        for row in rows:
            if row["label"] not in CAPTIONS or row["role"] not in POOLS.values():
                raise ManifestError(
                    f"{path}: {row['file']} has label '{row['label']}' and role '{row['role']}'; "
                    "one of them is unknown. Reinstall sepbench."
                )
        return {row["file"]: row for row in rows}

    def _rows(self) -> Iterator[SceneRow]:
        path = require_root(self.root, self.card) / "scenes.csv"
        rows = read_table(path, SCENE_COLUMNS)
        refuse_duplicates((row["scene_id"] for row in rows), path, "scene")
        for row in rows:
            for which in ("clip_a", "clip_b"):
                if row[which] not in self._manifest:
                    raise ManifestError(
                        f"{path}: scene {row['scene_id']} uses '{row[which]}', which the manifest "
                        "does not have. Reinstall sepbench."
                    )
            first, second = self._manifest[row["clip_a"]], self._manifest[row["clip_b"]]
            snr_db = read_number(row["snr_db"], path, f"the SNR of scene {row['scene_id']}")
            yield SceneRow(
                scene_id=row["scene_id"],
                targets=(_target(first, second, snr_db), _target(second, first, -snr_db)),
                origins=(first["src_file"], second["src_file"]),
                details={
                    "clip_a": row["clip_a"],
                    "clip_a_sha256": first["sha256"],
                    "clip_b": row["clip_b"],
                    "clip_b_sha256": second["sha256"],
                    "snr_db": snr_db,
                },
            )


def _target(target: Mapping[str, str], other: Mapping[str, str], snr_db: float) -> TargetRow:
    label = target["label"]
    return TargetRow(
        name=label,
        label=label,
        texts=(CAPTIONS[label],),
        cluster=target["src_file"],
        attributes={"label": label, "interference": other["label"], "snr_db": snr_db + 0.0},
    )


def _without_its_sounds(row: SceneRow, number: int) -> SceneRow:
    """The scene, asked for one of the other classes; all of them come in turn."""
    label = _absent_class(row, number)
    absent = TargetRow(
        name=label,
        label=label,
        texts=(CAPTIONS[label],),
        cluster=row.targets[0].cluster,
        absent=True,
        attributes={"label": label, "snr_db": None},
    )
    return replace(row, targets=(absent,))


def _asked_for_the_other(row: SceneRow, number: int) -> SceneRow:
    """Each target, asked for with the class of the sound beside it."""
    first, second = row.targets
    return replace(row, targets=(_asked(first, second.name), _asked(second, first.name)))


def _asked_for_an_absent_one(row: SceneRow, number: int) -> SceneRow:
    """Each target, asked for with a class that the scene does not hold."""
    label = _absent_class(row, number)
    return replace(row, targets=tuple(_asked(target, label) for target in row.targets))


def _asked(target: TargetRow, label: str) -> TargetRow:
    """The target under another's name; the tables' label stays that of what is scored."""
    attributes = {**target.attributes, "asked": label}
    return replace(target, label=label, texts=(CAPTIONS[label],), attributes=attributes)


def _absent_class(row: SceneRow, number: int) -> str:
    """One of the classes that a scene does not hold; they come in turn."""
    present = {target.label for target in row.targets}
    others = [label for label in CAPTIONS if label not in present]
    return others[number % len(others)]


# List -> what it makes of a mixture and its number.
_CHANGES: Mapping[str, Callable[[SceneRow, int], SceneRow]] = {
    "absent": _without_its_sounds,
    "wrong-interference": _asked_for_the_other,
    "wrong-absent": _asked_for_an_absent_one,
}
