"""Stage 2: from queries to conditions, each unique query once per model."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sepbench.harness.api import Example, Query, QuerySeparator
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import STRANGER_ERRORS, QueryError
from sepbench.harness.identity import query_key
from sepbench.harness.records import Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioned:
    """A query's condition, or why there is none.

    Attributes:
        seconds: time it took; 0 where it came from the cache.
        example_files: clip id -> sha256 of the examples as read.
    """

    condition: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    example_files: Mapping[str, str] = field(default_factory=dict)


class ConditionCache:
    """Conditions of one loaded model, least recently used ones dropped first.

    Args:
        model: answers `condition(queries)`.
        capacity: how many conditions to keep.
    """

    def __init__(self, model: QuerySeparator, *, capacity: int = 4096) -> None:
        self._model = model
        self._capacity = capacity
        self._kept: OrderedDict[str, Conditioned] = OrderedDict()

    def get(self, queries: Sequence[Query]) -> list[Conditioned]:
        """Conditions in the order of the queries; new ones are computed in one call."""
        keys = [query_key(query) for query in queries]
        new = {
            key: query for key, query in zip(keys, queries, strict=True) if key not in self._kept
        }
        if new:
            for key, made in zip(new, self._compute(list(new.values())), strict=True):
                self._kept[key] = made
        answers = []
        for key in keys:
            kept = self._kept[key]
            self._kept.move_to_end(key)
            answers.append(kept)
            # Only the item that caused the work carries its time.
            self._kept[key] = replace(kept, seconds=0.0)
            if kept.failure is not None:
                # Not cached across calls: a failed query is tried again with its next item.
                new.setdefault(key, queries[0])
        for key in new:
            if key in self._kept and self._kept[key].failure is not None:
                del self._kept[key]
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return answers

    def _compute(self, queries: Sequence[Query]) -> list[Conditioned]:
        started = time.perf_counter()
        ready: list[Query | Failure] = [self._with_audio(query) for query in queries]
        good = [query for query in ready if isinstance(query, Query)]
        made = iter(self._call(good))
        answers = [next(made) if isinstance(query, Query) else query for query in ready]
        share = (time.perf_counter() - started) / len(queries)
        return [
            Conditioned(failure=answer, seconds=share)
            if isinstance(answer, Failure)
            else Conditioned(
                condition=answer,
                seconds=share,
                example_files={e.clip_id: e.sha256 or "" for e in query.examples}
                if isinstance(query, Query)
                else {},
            )
            for answer, query in zip(answers, ready, strict=True)
        ]

    def _with_audio(self, query: Query) -> Query | Failure:
        """The query with its examples read at the model's rate."""
        if not query.examples:
            return query
        try:
            return replace(query, examples=tuple(self._read(e) for e in query.examples))
        except STRANGER_ERRORS as error:  # one unreadable example fails its own items only
            return Failure.of(error)

    def _read(self, example: Example) -> Example:
        import torch

        if example.waveform is not None:
            return example
        if example.path is None:
            raise QueryError(f"Example '{example.clip_id}' has neither audio nor a path.")
        card = self._model.card
        audio = read_audio(
            example.path,
            sample_rate=card.sample_rate,
            mono=card.channels == 1,
            stream=example.stream,
        )
        return replace(
            example,
            waveform=torch.from_numpy(audio.samples),
            sample_rate=audio.sample_rate,
            sha256=audio.sha256,
        )

    def _call(self, queries: Sequence[Query]) -> list[Any]:
        """Conditions or failures; where a call for several fails, each is tried alone."""
        if not queries:
            return []
        try:
            made = list(self._model.condition(queries))
            if len(made) != len(queries):
                raise QueryError(
                    f"{self._model.card.name}.condition returned {len(made)} conditions for "
                    f"{len(queries)} queries."
                )
        except STRANGER_ERRORS as error:  # a stranger's code may raise anything
            if len(queries) == 1:
                return [Failure.of(error)]
            return [answer for query in queries for answer in self._call([query])]
        return made
