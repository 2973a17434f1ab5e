"""The lists of a dataset, read so that what is wrong with one is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sepbench.harness.api import Clip, Dataset, ListCard, SceneRow, ScoringProtocol
from sepbench.harness.errors import STRANGER_ERRORS, BenchError, DatasetError, UnknownNameError

Read = TypeVar("Read", Sequence[SceneRow], Sequence[Clip])


def list_card(dataset: Dataset, protocol: ScoringProtocol) -> ListCard:
    """The card of the list a protocol scores.

    Raises:
        UnknownNameError: the dataset has no such list.
    """
    for card in dataset.card.lists:
        if card.name == protocol.list_name:
            return card
    raise UnknownNameError(
        "list",
        protocol.list_name,
        [card.name for card in dataset.card.lists],
        where=f" of dataset {dataset.card.name} in protocol {protocol.name}",
    )


def read_own(read: Callable[[], Read], protocol: ScoringProtocol, what: str) -> Read:
    """What a dataset's own code gives, which may raise anything.

    Raises:
        DatasetError: it did.
    """
    try:
        return read()
    except BenchError:
        raise
    except STRANGER_ERRORS as error:  # a stranger's dataset may raise anything
        raise DatasetError(
            f"Dataset {protocol.dataset}: {what} cannot be read: {type(error).__name__}: {error}"
        ) from error


def sound_rows(rows: Iterable[SceneRow], protocol: ScoringProtocol) -> Iterator[SceneRow]:
    """The list's rows, each checked before it is used: one walk over a long list has to do.

    Raises:
        DatasetError: at the first row that is none, or has a name that was there before.
    """
    where = f"Dataset {protocol.dataset}, list '{protocol.list_name}'"
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, SceneRow):
            raise DatasetError(f"{where}: a row is {type(row).__name__}; expected SceneRow.")
        if row.scene_id in seen:
            raise DatasetError(f"{where}: two scenes are called '{row.scene_id}'.")
        seen.add(row.scene_id)
        if len({target.name for target in row.targets}) < len(row.targets):
            raise DatasetError(f"{where}, scene {row.scene_id}: a target is listed twice.")
        yield row
    if not seen:
        raise DatasetError(f"{where} is empty. Check the dataset's folder.")
