"""A corpus on disk: its card, its lists, and how its scenes are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sepbench.harness.api.words import Clip, Scene, SceneRow


@dataclass(frozen=True, kw_only=True, slots=True)
class ListCard:
    """One named list of a dataset's scenes.

    Attributes:
        revision: changes whenever the scenes, their mixing or their queries change.
        mixing: how mixtures come about, in words; part of the cell's identity.
    """

    name: str
    revision: str
    mixing: str
    summary: str = ""
    expected_scenes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A file of a corpus that anybody may fetch without a form; `bench data prepare` does.

    Attributes:
        name: where it goes, relative to the root.
        url: of exactly this revision.
        size: bytes.
        sha256: of its contents; anything else that comes is thrown away.
        licence: shown before it is fetched.
    """

    name: str
    url: str
    size: int
    sha256: str
    licence: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetCard:
    """Facts about a corpus.

    Attributes:
        protocols: names of the protocols it is usually scored under, the default first.
        needs_root: False when the audio ships with the package.
        pools: names that `Dataset.clips` takes.
        where: where to get it, for the error that says it is missing.
        steps: what to do by hand to get it ready, one sentence a step.
        remote: the files that `bench data prepare` may fetch.
    """

    name: str
    summary: str
    licence: str
    lists: tuple[ListCard, ...]
    protocols: tuple[str, ...] = ()
    needs_root: bool = True
    pools: tuple[str, ...] = ()
    where: str = ""
    citation: str = ""
    sample_rate: int | None = None
    steps: tuple[str, ...] = ()
    remote: tuple[RemoteFile, ...] = ()


@runtime_checkable
class Dataset(Protocol):
    """Files on disk as scenes in a stable order. Never downloads, never draws unseeded."""

    card: DatasetCard

    def default_protocol(self) -> str:
        """The protocol to score under when none is named, given what is on disk."""
        ...

    def scenes(self, list_name: str) -> Sequence[SceneRow]:
        """The rows of a list in a stable order, without reading audio.

        Raises:
            MissingRootError: the folder is not there.
            ManifestError: the list cannot be parsed.
        """
        ...

    def load(self, row: SceneRow, sample_rate: int, *, mono: bool) -> Scene:
        """Read (and, where the list mixes on the fly, mix) one scene at the protocol's rate.

        Raises:
            DatasetError: a file is missing, outside the root, or not usable as audio.
        """
        ...

    def clips(self, pool: str) -> Sequence[Clip]:
        """Labelled recordings of a pool; empty when the pool is not on disk."""
        ...


@runtime_checkable
class FileLister(Protocol):
    """What a dataset may do besides, so that `bench data` can say which scenes are on disk."""

    def files(self, row: SceneRow) -> Sequence[str]:
        """Names, relative to the root, of the audio files that a scene is made of.

        A file that lies nowhere is named as it is expected. No audio is read.

        Raises:
            MissingRootError: the folder is not there.
            ManifestError: a file is there more than once.
        """
        ...
