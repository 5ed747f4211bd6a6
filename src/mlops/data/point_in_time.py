"""What was known about each entity at its own prediction time, out of plain frames: the one way features are made.

Of the versions of a row only the one that is valid at the question counts (`row_versions`), also of the entity itself.

A valid row counts for an entity while it lies in the entity's window and is not yet forgotten (`Source.history`). Seen
from the row, all of it together is one interval of prediction times, so a window's count is (rows whose interval has
begun) minus (rows whose interval has ended): two binary searches, exact, whatever the order of event and knowledge.
What an entity gets depends neither on the order of rows nor on rows that do not count for it, so features made day by
day equal features made at once. Times are exact to the microsecond; a row whose known-at time, window time or `by`
value is missing counts for nobody.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlops.contract import Columns, ConfigError, DataError, Entity, Feature, Source, Values, Window
from mlops.data.row_versions import moments_of, superseded_at, valid_at

_UNIT = 2.0**-20
"""Windows are summed in whole multiples of this, about a millionth: float sums would depend on the order of rows."""
_NOBODY = -2
"""Equals no group, and not the -1 of a missing one."""


def compute_features(
    entity: Entity,
    features: Sequence[Feature],
    sources: Sequence[Source],
    entities: pd.DataFrame,
    frames: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Compute one block of the feature table.

    Args:
        entity: what a row is about.
        features: the columns to compute, in their order.
        sources: the sources that the features look at.
        entities: rows of the entity's source whose prediction times make the block, all its columns.
        frames: per source, all versions of its rows, one per key and known-at time: at least those known from `history`
            before the block's first prediction time to its last one; of the entity's source also all that are known
            since the earliest of `entities`. Times are UTC without zone.

    Returns:
        The entity's key, `event_time`, `prediction_time` (UTC without zone) and one column per feature: float64 (NaN:
        missing) or text (None: missing). One row per version of an entity that was valid at its own prediction time, by
        key and prediction time. So an entity that was moved after it was asked about is asked about once more.

    Raises:
        ConfigError: a feature asks for an unknown source, or has the name of another column.
        DataError: a feature did not return one value per entity, or one outside its limits.
    """
    by_name = {source.name: source for source in sources}
    rows = entities[_asked_about(entity, by_name[entity.source], entities, frames.get(entity.source))]
    rows = rows.sort_values([*entity.key, entity.event_time], ignore_index=True)
    known = PointInTime(rows, rows[entity.event_time] - entity.lead, by_name, frames)
    table = rows[list(entity.key)].assign(event_time=rows[entity.event_time], prediction_time=known.prediction_time)
    columns = {feature.name: _compute_column(feature, known) for feature in features}
    if clash := sorted(columns.keys() & set(table)):
        raise ConfigError(f"feature {clash[0]!r} has the name of a key or time column of the feature table: rename it")
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def _asked_about(entity: Entity, source: Source, entities: pd.DataFrame, versions: pd.DataFrame | None) -> Values:
    """Whether each row was the valid version of its entity at its own prediction time."""
    names = [*dict.fromkeys([*entity.key, source.known_at])]
    parts = [entities[names], *([] if versions is None else [versions[names]])]
    together = pd.concat(parts, ignore_index=True)
    repeated = together.duplicated().to_numpy()
    distinct = together[~repeated]
    superseded = np.full(len(together), np.datetime64("NaT", "us"))
    superseded[~repeated] = superseded_at(distinct[list(entity.key)], distinct[source.known_at])
    asked = moments_of(entities[entity.event_time] - entity.lead)
    return valid_at(asked, moments_of(entities[source.known_at]), superseded[: len(entities)])


def columns_read(entity: Entity, features: Sequence[Feature], sources: Sequence[Source]) -> dict[str, list[str]]:
    """Columns of each source that the features look at, sorted: found by making them of no entity and no row.

    The entities' own rows are not looked for: they are always whole.
    """
    nothing = {source.name: _empty_frame(source) for source in sources}
    rows = nothing[entity.source]
    known = PointInTime(rows, rows[entity.event_time] - entity.lead, {s.name: s for s in sources}, nothing)
    for feature in features:
        feature.compute(known)
    return known.columns_read()


def _empty_frame(source: Source) -> pd.DataFrame:
    dtypes = {"string": "object", "long": "float64", "double": "float64", "timestamp": "datetime64[ns]"}
    return pd.DataFrame({column.name: pd.Series(dtype=dtypes[column.type]) for column in source.columns})


def _compute_column(feature: Feature, known: PointInTime) -> pd.Series[Any]:
    values = feature.compute(known)
    if np.shape(values) != (len(known.rows),):
        raise DataError(
            f"feature {feature.name!r} returned shape {np.shape(values)} for {len(known.rows)} entities: "
            f"it must return one value per entity"
        )
    if feature.dtype == "double":
        return pd.Series(_within_limits(feature, np.asarray(values, "float64")))
    text = pd.Series(values, dtype="object")
    text[text.isna()] = None
    return text


def _within_limits(feature: Feature, values: Values) -> Values:
    low, high = feature.limits
    wrong = np.isinf(values) | (values < low) | (values > high)
    if wrong.any():
        raise DataError(
            f"feature {feature.name!r} is {values[wrong][0]:g} for {wrong.sum()} of {len(values)} entities: "
            f"its limits are {low:g} to {high:g}; mend the feature, or quarantine what it is made of"
        )
    return values


@dataclass(frozen=True)
class PointInTime:
    """`mlops.contract.Known` over plain frames; what several features need is made once."""

    rows: pd.DataFrame
    prediction_time: pd.Series[pd.Timestamp]
    sources: Mapping[str, Source]
    frames: Mapping[str, pd.DataFrame]
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def latest(self, source: str, column: str, *, by: Sequence[str], within: timedelta) -> Values:
        """See `Known.latest`. Of two rows known at the same moment, the one with the larger key is the newer."""
        history = self._find_source(source).history
        return self._newest_values(source, column, by, by, within if history is None else min(within, history))

    def lookup(self, source: str, column: str, *, on: str) -> Values:
        """See `Known.lookup`."""
        reference = self._find_source(source)
        if len(reference.key) != 1:
            raise ConfigError(f"source {source!r} has a key of {len(reference.key)} columns: lookup needs one of one")
        return self._newest_values(source, column, [on], reference.key, reference.history)

    def window(
        self, source: str, *, by: Sequence[str], since: timedelta, until: timedelta = timedelta(), on: str = ""
    ) -> Window:
        """See `Known.window`."""
        on = on or self._find_source(source).known_at
        made: _Active = self._make_once(
            ("window", source, *by, since, until, on),
            lambda: self._open_window(self.sources[source], by, since, until, on),
        )
        return made

    def columns_read(self) -> dict[str, list[str]]:
        """Columns looked at so far, by source, sorted."""
        read = sorted((key[1], key[2]) for key in self._made if key[0] == "column")
        return {source: [column for name, column in read if name == source] for source, _ in read}

    def _open_window(self, source: Source, by: Sequence[str], since: timedelta, until: timedelta, on: str) -> _Active:
        entities, groups = self._group_numbers(source.name, by, by)
        known, times = self._source_times(source.name, source.known_at), self._source_times(source.name, on)
        there = np.flatnonzero((groups >= 0) & ~np.isnat(known) & ~np.isnat(times))
        groups, known, times = groups[there], known[there], times[there]
        begins = self._first(np.maximum(times - np.timedelta64(until), known))
        ends = np.minimum(
            self._first(times + np.timedelta64(since)), self._first(self._superseded_times(source)[there])
        )
        if source.history is not None:
            ends = np.minimum(ends, self._first(known + np.timedelta64(source.history), "right"))
        positions = self._at(groups, begins), self._at(groups, np.maximum(begins, ends))
        return _Active(
            partial(self._source_column, source.name), there, *(_Begun.at(p, self._asked(entities)) for p in positions)
        )

    def _newest_values(
        self, source: str, column: str, mine: Sequence[str], theirs: Sequence[str], within: timedelta | None
    ) -> Values:
        known, values = self._source_times(source, self.sources[source].known_at), self._source_column(source, column)
        entities, groups = self._group_numbers(source, mine, theirs)
        order = self._by_key(source)
        order = order[((groups >= 0) & ~np.isnat(known) & values.notna().to_numpy())[order]]
        order = order[np.lexsort((known[order], groups[order]))]
        starts = self._at(groups[order], self._first(known[order]))
        ends = self._at(groups[order], self._first(self._superseded_times(self.sources[source])[order]))
        last = self._at(groups[order], np.full(len(order), len(self._prediction_times)))
        axis, holder = _value_holders(starts, ends, last)
        # Position -1, "none before", is the nobody appended here.
        position = np.append(holder, -1)[np.searchsorted(axis, self._asked(entities), side="right") - 1]
        found = np.append(groups[order], _NOBODY)[position] == entities
        if within is not None:
            age = moments_of(self.prediction_time) - np.append(known[order], np.datetime64("NaT"))[position]
            found &= age <= np.timedelta64(within)
        return np.asarray(values.iloc[order].reset_index(drop=True).reindex(np.where(found, position, -1)))

    def _superseded_times(self, source: Source) -> Values:
        def make() -> Values:
            key = pd.DataFrame({name: self._source_column(source.name, name).to_numpy() for name in source.key})
            return superseded_at(key, self._source_column(source.name, source.known_at))

        return np.asarray(self._make_once(("superseded", source.name), make))

    def _find_source(self, name: str) -> Source:
        if name not in self.sources:
            raise ConfigError(f"no source {name!r}; there are {', '.join(self.sources)}")
        return self.sources[name]

    def _make_once(self, what: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    def _source_column(self, source: str, name: str) -> pd.Series[Any]:
        column: pd.Series[Any] = self._make_once(("column", source, name), lambda: self.frames[source][name])
        return column

    def _source_times(self, source: str, name: str) -> Values:
        return np.asarray(
            self._make_once(("times", source, name), lambda: moments_of(self._source_column(source, name)))
        )

    def _by_key(self, source: str) -> Values:
        """Positions of a source's rows in the order of their keys."""

        def make() -> Values:
            names = list(self.sources[source].key)
            keys = pd.DataFrame({name: self._source_column(source, name).to_numpy() for name in names})
            return np.asarray(keys.sort_values(names, kind="stable").index)

        return np.asarray(self._make_once(("order", source), make))

    def _group_numbers(self, source: str, mine: Sequence[str], theirs: Sequence[str]) -> tuple[Values, Values]:
        """Equal numbers for equal `by` values of the entities and of a source's rows; negative where one is missing."""

        def make() -> Values:
            groups = np.zeros(len(self.rows) + len(self.frames[source]), "int64")
            for one, other in zip(mine, theirs, strict=True):
                codes = self._value_codes(source, one, other)
                missing = (groups < 0) | (codes < 0)
                groups = np.where(missing, -1, pd.factorize(groups * (codes.max(initial=0) + 1) + codes)[0])
            return groups

        groups: Values = self._make_once(("groups", source, *mine, *theirs), make)
        return groups[: len(self.rows)], groups[len(self.rows) :]

    def _value_codes(self, source: str, mine: str, theirs: str) -> Values:
        def make() -> Values:
            values = [self.rows[mine].to_numpy("object"), self._source_column(source, theirs).to_numpy("object")]
            return np.asarray(pd.factorize(np.concatenate(values))[0])

        return np.asarray(self._make_once(("codes", source, mine, theirs), make))

    @cached_property
    def _prediction_times(self) -> Values:
        return np.unique(moments_of(self.prediction_time))

    def _first(self, times: Values, side: Literal["left", "right"] = "left") -> Values:
        """Number of the first prediction time that is not before (right: that is after) each of `times`."""
        return np.searchsorted(self._prediction_times, times, side=side)

    def _at(self, groups: Values, moments: Values) -> Values:
        """Positions on one axis, on which a group's moments follow those of the group before it."""
        return groups * (len(self._prediction_times) + 1) + moments

    def _asked(self, groups: Values) -> Values:
        return self._at(groups, self._make_once(("asked",), lambda: self._first(moments_of(self.prediction_time))))


def _value_holders(starts: Values, ends: Values, last: Values) -> tuple[Values, Values]:
    """Moments of an axis, sorted, and which row holds from each to the next: the last one that is valid; -1: none.

    Args:
        starts: position from which each row is valid, ascending; of two valid rows the later one holds.
        ends: position from which it is not valid any more.
        last: end of its group's part of the axis; no question lies there.
    """
    begins_next = np.append(starts[1:], last[-1:])
    if (ends >= np.minimum(begins_next, last)).all():  # as a rule: a row holds until the next one of its group begins
        return starts, np.arange(len(starts))
    moments = np.unique(np.concatenate([starts, ends]))
    holder = np.full(len(moments), -1)
    valid: list[int] = []
    row = 0
    for number, moment in enumerate(moments):
        while row < len(starts) and starts[row] <= moment:
            heapq.heappush(valid, -row)
            row += 1
        while valid and ends[-valid[0]] <= moment:
            heapq.heappop(valid)
        holder[number] = -valid[0] if valid else -1
    return moments, holder


@dataclass(frozen=True)
class _Active:
    """Source rows that count at some time, and what of them has begun and ended by each question; see the module."""

    column: Callable[[str], pd.Series[Any]]
    there: Values
    begun: _Begun
    ended: _Begun

    def count(self) -> Values:
        return (self.begun.number - self.ended.number).astype("float64")

    def mean(self, value: str | Callable[[Columns], Values]) -> Values:
        given = self.column(value) if isinstance(value, str) else value(_Read(self.column))
        values = pd.Series(given).to_numpy("float64", na_value=np.nan)[self.there]
        present = np.isfinite(values)
        units = np.rint(np.where(present, values, 0.0) / _UNIT).astype("int64")
        count, total = (self.begun.total(w) - self.ended.total(w) for w in (present.astype("int64"), units))
        mean: Values = np.full(len(count), np.nan)
        np.divide(total * _UNIT, count, out=mean, where=count > 0)
        return mean


@dataclass(frozen=True)
class _Begun:
    """How many of the positions, taken in `order`, are not after each question's: `number`."""

    order: Values
    number: Values

    @staticmethod
    def at(positions: Values, asked: Values) -> _Begun:
        order = np.argsort(positions)
        return _Begun(order, np.searchsorted(positions[order], asked, side="right"))

    def total(self, weights: Values) -> Values:
        return np.asarray(np.append(0, np.cumsum(weights[self.order]))[self.number])


@dataclass(frozen=True)
class _Read:
    """`mlops.contract.Columns` of a source."""

    column: Callable[[str], pd.Series[Any]]

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self.column(name)
