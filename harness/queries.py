"""From a row and a query rule to the queries that are asked: one an item.

Example clips are drawn by a seed made of the item alone, from clips that carry the target's label
and share no original recording with the scene.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sepbench.harness.api import (
    WITH_EXAMPLES,
    AskedKind,
    Clip,
    Example,
    Query,
    QueryKind,
    QueryRule,
    SceneRow,
    TargetRow,
)
from sepbench.harness.errors import NotApplicableError
from sepbench.harness.identity import seed_of


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuery:
    """A query as it is recorded: words and clip ids, no paths.

    Attributes:
        index: number among the queries of one target (captions of one clip).
    """

    index: int
    text: str | None = None
    label: str | None = None
    clip_ids: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Plain data for the workspace."""
        parts = {"text": self.text, "label": self.label, "examples": list(self.clip_ids)}
        return {key: value for key, value in parts.items() if value}


class ExamplePool:
    """Labelled clips of a pool, by label, in a stable order."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._by_id = {clip.clip_id: clip for clip in clips}
        self._by_label: dict[str, list[Clip]] = defaultdict(list)
        for clip in sorted(clips, key=lambda c: c.clip_id):
            for label in dict.fromkeys(clip.labels):
                self._by_label[label].append(clip)

    def draw(
        self, target: TargetRow, row: SceneRow, *, shots: int, seed: int | None
    ) -> tuple[str, ...]:
        """Ids of `shots` clips with the target's label, from other recordings.

        Clips of different recordings are preferred over several of one.

        Args:
            target: whose label counts.
            row: whose recordings are left out.
            shots: how many.
            seed: of the drawing; None takes the first ones.

        Raises:
            NotApplicableError: the pool is too small.
        """
        taken = set(row.origins)
        # Of a row that names no recordings, at least its targets are known.
        own = set() if taken else {each.cluster for each in row.targets if each.cluster}
        usable = [
            clip
            for clip in self._by_label.get(target.label or "", [])
            if (clip.origin or clip.clip_id) not in taken
            and own.isdisjoint((clip.origin, clip.clip_id))
        ]
        if len(usable) < shots:
            raise NotApplicableError(
                f"scene {row.scene_id}: {len(usable)} example clips of '{target.label}' from other "
                f"recordings are at hand, {shots} are needed"
            )
        if seed is not None:
            random.Random(seed).shuffle(usable)
        seen: dict[str, int] = defaultdict(int)
        ranks = []
        for clip in usable:  # the n-th clip of a recording comes after all (n-1)-th ones
            origin = clip.origin or clip.clip_id  # a clip of unknown origin stands alone
            ranks.append(seen[origin])
            seen[origin] += 1
        order = sorted(range(len(usable)), key=lambda i: ranks[i])
        return tuple(usable[i].clip_id for i in order[:shots])

    def own(self, target: TargetRow, row: SceneRow, *, shots: int) -> tuple[str]:
        """Id of the one clip that is the target itself.

        Raises:
            NotApplicableError: there is none, or more than one example is asked for.
        """
        if shots != 1:
            raise NotApplicableError(
                f"the target itself is the example of a query: 1, not {shots} (query.shots)"
            )
        if target.cluster not in self._by_id:
            raise NotApplicableError(
                f"scene {row.scene_id}: the pool has no clip '{target.cluster}', which is the "
                f"target {target.name} itself"
            )
        return (target.cluster,)

    def examples(self, clip_ids: Sequence[str]) -> tuple[Example, ...]:
        """The clips of an asked query, with their paths, not yet loaded."""
        return tuple(
            Example(clip_id=i, path=self._by_id[i].path, stream=self._by_id[i].stream)
            for i in clip_ids
        )

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._by_id


def wanted_kinds(
    rule: QueryRule, supported: Sequence[QueryKind], asked: Sequence[AskedKind]
) -> Sequence[QueryKind | None]:
    """What `choose_kind` is to be forced to, one a cell: each kind that was asked for.

    "each" stands for every kind that the protocol and the model have; a model without queries is
    asked once.
    """
    if not supported or not asked:
        return (None,)
    each = [kind for kind in rule.kinds if kind in supported]
    wanted: list[QueryKind | None] = []
    for kind in asked:
        wanted += (each or [None]) if kind == "each" else [kind]
    return list(dict.fromkeys(wanted))


def choose_kind(
    rule: QueryRule, supported: Sequence[QueryKind], forced: QueryKind | None
) -> QueryKind:
    """The query kind of a cell: the one asked for, else the protocol's first that fits.

    A text together with examples is asked for by name only, where the protocol has both.

    Raises:
        NotApplicableError: the model, or the protocol, does not know the kind.
    """
    if not supported:
        return "none"
    if forced is not None:
        if forced not in supported:
            raise NotApplicableError(f"takes {' or '.join(supported)} queries, not {forced}")
        if any(kind not in rule.kinds for kind in forced.split("+")):
            raise NotApplicableError(f"the protocol has no {forced} queries")
        return forced
    for kind in rule.kinds:
        if kind in supported:
            return kind
    raise NotApplicableError(
        f"takes {' or '.join(supported)} queries; the protocol has {' or '.join(rule.kinds)}"
    )


def queries_of(
    row: SceneRow,
    target: TargetRow,
    *,
    kind: QueryKind,
    rule: QueryRule,
    shots: int,
    pool: ExamplePool | None,
    seed_parts: Sequence[object],
) -> Iterator[AskedQuery]:
    """The queries for one target of one scene.

    Raises:
        NotApplicableError: the row has no text, no label, or the pool is too small.
    """
    where = f"scene {row.scene_id}, target {target.name}"
    if kind == "none":
        yield AskedQuery(index=0)
    elif kind == "label":
        if not target.label:
            raise NotApplicableError(f"{where} has no label")
        yield AskedQuery(index=0, label=target.label)
    else:
        drawn: tuple[str, ...] = ()
        if kind in WITH_EXAMPLES:
            if pool is None or len(pool) == 0:
                raise NotApplicableError(f"no example clips: the pool '{rule.pool}' is not on disk")
            # The kind is no part of the seed: with a text or without, the examples are the same.
            parts = ("examples", *seed_parts, row.scene_id, target.name, shots)
            seed = seed_of(*parts) if rule.draw == "seeded" else None
            if rule.draw == "own":
                drawn = pool.own(target, row, shots=shots)
            else:
                drawn = pool.draw(target, row, shots=shots, seed=seed)
        texts = (None,) if kind == "audio" else _texts(target, rule, where)
        for index, text in enumerate(texts):
            yield AskedQuery(index=index, text=text, clip_ids=drawn)


def _texts(target: TargetRow, rule: QueryRule, where: str) -> tuple[str, ...]:
    """The protocol's prompt for the label, else the captions, else words made of the label.

    Raises:
        NotApplicableError: none of them.
    """
    prompt = rule.prompts.get(target.label or "")
    texts = (prompt,) if prompt else target.texts
    if not texts and target.label:
        words = target.label.replace("_", " ")
        texts = ((rule.template or "{label}").replace("{label}", words),)
    if not texts:
        raise NotApplicableError(f"{where} has no text")
    return texts


def restore_query(record: Mapping[str, Any], pool: ExamplePool | None) -> Query:
    """The query of a recorded item, with the paths of today's folder."""
    clip_ids = record.get("examples", ())
    return Query(
        text=record.get("text"),
        label=record.get("label"),
        examples=pool.examples(clip_ids) if pool is not None and clip_ids else (),
    )
