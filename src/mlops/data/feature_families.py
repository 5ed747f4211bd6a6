"""Cut the work of the features so that a group of rows has a bounded size: by families, blocks of time and shards.

A feature reads the rows of a source that have the same values as the entity in some columns, its `by` or `on`. The
columns that all reads of a feature share are its keys. Features with the same keys are a family, and rows of other
values of the keys count for none of its entities: so a family can be cut into shards of the keys' values. A family
without keys can only be cut by time. Sources without history are reference tables: they are cut by the keys where all
reads have these and all versions of a row then lie in one shard, and else every group gets them whole. Features that
read them alone have keys by them.

What a group lacks of other sources are versions of a row that have other values of the keys and so lie in another
shard. When a row is superseded is therefore computed before the cut, and travels with the row
(`point_in_time.SUPERSEDED`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from mlops.contract import Feature, UseCase
from mlops.data.point_in_time import compute_on_nothing

BLOCK = timedelta(days=28)
"""Longest block. A source's row is sent once per block that can see it: twice if history is as long as a block."""
Read = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A read of a source: its name, columns of the entity, and the source's columns that equal them."""
_HALVINGS = 9
"""A block is at least BLOCK / 2**9 long, which is 79 minutes."""


@dataclass(frozen=True)
class Family:
    """Features that are computed together."""

    features: tuple[Feature, ...]
    keys: tuple[str, ...]
    """Columns of the entity; none: the family is cut by time only."""
    shards: Mapping[str, tuple[tuple[str, ...], ...]]
    """Per source, the columns that meet the keys, in their order: once per way of the features to ask. A source that is
    not here is sent whole to each group."""
    columns: Mapping[str, list[str]]
    """Columns that the features read, by source."""
    reach: Mapping[str, timedelta | None]
    """How long after its known-at time the features can see a row of each source; None: for ever."""


@dataclass(frozen=True)
class Cut:
    """How a family is cut."""

    block: timedelta
    shards: int
    rows: int
    """About how many rows the largest group holds."""


@dataclass(frozen=True)
class SourceSize:
    """Rows of a source, or of the entities, that a block of BLOCK can see."""

    rows: int
    history: timedelta | None
    """How long the counted rows can be seen; None: for ever, so that every group gets all of them."""
    reach: timedelta
    """How long the features of the family see them."""
    is_whole: bool = False
    """Whether each shard gets all of them."""

    def count(self, block: timedelta) -> float:
        """About how many rows a block of another length needs."""
        return self.rows if self.history is None else self.rows * ((block + self.reach) / (BLOCK + self.history))


def find_families(use_case: UseCase) -> tuple[Family, ...]:
    """Find the families of a use case's features; each feature lies in one of them."""
    asked = {
        feature.name: compute_on_nothing(use_case.entity, [feature], use_case.sources).groups_read()
        for feature in use_case.features
    }
    keys = {name: own for name, reads in asked.items() if (own := _find_shared_keys(use_case, reads)) is not None}
    # A feature that reads no source fits any family: it goes to the first.
    first = next(iter(keys.values()), use_case.entity.key)
    by_keys: dict[tuple[str, ...], list[Feature]] = {}
    for feature in use_case.features:
        by_keys.setdefault(keys.get(feature.name, first), []).append(feature)
    families = []
    for family_keys, features in by_keys.items():
        shards = _find_ways(use_case, family_keys, [read for feature in features for read in asked[feature.name]])
        known = compute_on_nothing(use_case.entity, features, use_case.sources)
        reach = {name: known.longest_reach()[name] for name in known.columns_read()}
        families.append(Family(tuple(features), family_keys, shards, known.columns_read(), reach))
    return tuple(families)


def _find_shared_keys(use_case: UseCase, reads: Sequence[Read]) -> tuple[str, ...] | None:
    """Find the columns that all reads share: those of sources with history, or else those of reference tables."""
    with_history = [by for source, by, _ in reads if use_case.source(source).history is not None]
    chosen = with_history or [by for _, by, _ in reads]
    shared = tuple(sorted(set.intersection(*map(set, chosen)))) if chosen else ()
    return shared if shared or with_history else None


def _find_ways(
    use_case: UseCase, keys: tuple[str, ...], reads: Sequence[Read]
) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Find each source's ways to meet the keys; a source that some read does not let cut is left out."""
    ways: dict[str, set[tuple[str, ...] | None]] = {}
    for source, by, columns in reads:
        meets = dict(zip(by, columns, strict=True))
        way = tuple(meets[key] for key in keys) if set(keys) <= set(by) else None
        ways.setdefault(source, set()).add(way if way is not None and _can_be_cut(use_case, source, way) else None)
    return {
        source: tuple(sorted(way for way in of if way is not None)) for source, of in ways.items() if None not in of
    }


def _can_be_cut(use_case: UseCase, name: str, columns: tuple[str, ...]) -> bool:
    """Whether a shard by these columns knows when its rows are superseded, or has all versions of each of them.

    Reference tables have no SUPERSEDED, so the versions of a row must agree in the columns: these belong to its key.
    """
    source = use_case.source(name)
    return source.history is not None or name == use_case.entity.source or {*columns} <= {*source.key}


def choose_cut(sizes: Sequence[SourceSize], share: float, limit: int, *, has_keys: bool) -> Cut:
    """Choose the longest blocks, and then the fewest shards, with which no group is expected to exceed a limit.

    Blocks are not shorter than a third of what the features see, or every row would be sent many times. Then a group
    can exceed the limit.

    Args:
        sizes: rows of the entities and of each source.
        share: share of the rows that have the most frequent value of the keys; they cannot be cut by shards.
        limit: largest number of rows of a group.
        has_keys: whether the family has keys.
    """

    def count(block: timedelta, share: float) -> float:
        """About how many rows a shard with a share of the keys' values holds."""
        return sum(size.count(block) * (1.0 if size.is_whole else share) for size in sizes)

    block, shortest = BLOCK, max(size.reach for size in sizes) / 3
    while count(block, share if has_keys else 1.0) > limit:
        if block / 2 < max(shortest, BLOCK / 2**_HALVINGS):
            break
        block /= 2
    rows, whole = ceil(count(block, 1.0)), ceil(count(block, 0.0))
    # Whole sources that leave no room would be repeated by shards of a few rows each: a tenth is the least room.
    room = max(limit - whole, limit / 10)
    # Twice as many as needed: hashes do not spread values evenly.
    shards = max(1, ceil(2 * (rows - whole) / room)) if has_keys and rows > limit else 1
    return Cut(block, shards, rows if shards == 1 else ceil(max(count(block, share), count(block, 1 / shards))))
