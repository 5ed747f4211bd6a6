"""Compute features from pandas frames; each entity sees only rows known at its own prediction time.

Of the versions of a row, only the one that is valid at the prediction time counts (`row_versions`); the same holds for
the entity's own row.

A row counts for an entity while it is valid, lies in the entity's window and is not older than `Source.history`. Each
of these conditions holds in one interval of prediction times, so all of them hold in one interval [begins, ends). The
rows in a window are therefore (rows whose interval has begun) minus (rows whose interval has ended) at the prediction
time: two binary searches. The result is exact in any order in which events happen and become known.

An entity's features depend neither on the order of rows nor on rows that do not count for it, so features made day by
day equal features made at once. Times are exact to the microsecond. A row without known-at time, window time or `by`
value counts for no entity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlops.contract import ConfigError, Entity, Feature, Source, Values, Window
from mlops.data.feature_columns import make_column
from mlops.data.row_versions import find_superseding_times, find_value_holders, moments_of, valid_at
from mlops.data.window_rows import WindowRows

SUPERSEDED = "_superseded"
"""Column of a source's frame that lacks versions of its rows: when the next version of each row became known."""
_NO_GROUP = -2
"""Group number that equals no entity's: groups are >= 0, and -1 stands for a missing `by` value."""


def compute_features(
    entity: Entity,
    features: Sequence[Feature],
    sources: Sequence[Source],
    entities: pd.DataFrame,
    frames: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Compute one block of the feature table.

    Args:
        entity: the entity that a row is about.
        features: the columns to compute, in this order.
        sources: the sources that the features read.
        entities: rows of the entity's source whose prediction times lie in the block, with all columns.
        frames: per source, all versions of its rows, one per key and known-at time: at least those known from `history`
            before the block's first prediction time until its last one; of the entity's source also all that are known
            since the earliest row of `entities`. Times are UTC without zone. A frame may lack versions of its rows if
            it has the column SUPERSEDED; then `entities` have to be valid at their prediction times.

    Returns:
        The entity's key, `event_time`, `prediction_time` (UTC without zone) and one column per feature: float64 (NaN:
        missing) or text (None: missing). One row per version of an entity that was valid at its own prediction time,
        sorted by key and prediction time. An entity whose event is moved after its prediction time gets a second row.

    Raises:
        ConfigError: a feature asks for an unknown source, or has the name of another column.
        DataError: a feature did not return one value per entity, or one outside its limits.
    """
    by_name = {source.name: source for source in sources}
    rows = entities[_is_valid_version(entity, by_name[entity.source], entities, frames.get(entity.source))]
    rows = rows.sort_values([*entity.key, entity.event_time], ignore_index=True)
    known = PointInTime(rows, rows[entity.event_time] - entity.lead, by_name, frames)
    table = rows[list(entity.key)].assign(event_time=rows[entity.event_time], prediction_time=known.prediction_time)
    columns = {feature.name: make_column(feature, feature.compute(known), len(known.rows)) for feature in features}
    if clash := sorted(columns.keys() & set(table)):
        raise ConfigError(f"feature {clash[0]!r} has the name of a key or time column of the feature table: rename it")
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def _is_valid_version(entity: Entity, source: Source, entities: pd.DataFrame, versions: pd.DataFrame | None) -> Values:
    """Whether each row was the valid version of its entity at its own prediction time, shape (n_entities,)."""
    names = [*dict.fromkeys([*entity.key, source.known_at])]
    parts = [entities[names], *([] if versions is None else [versions[names]])]
    # The next version may lie in another block, so the versions of the whole source decide. Rows of `entities` are
    # among `versions` again, and `find_superseding_times` takes each version once.
    candidates = pd.concat(parts, ignore_index=True)
    repeated = candidates.duplicated().to_numpy()
    distinct = candidates[~repeated]
    superseded = np.full(len(candidates), np.datetime64("NaT", "us"))
    superseded[~repeated] = find_superseding_times(distinct[list(entity.key)], distinct[source.known_at])
    asked = moments_of(entities[entity.event_time] - entity.lead)
    return valid_at(asked, moments_of(entities[source.known_at]), superseded[: len(entities)])


def columns_read(entity: Entity, features: Sequence[Feature], sources: Sequence[Source]) -> dict[str, list[str]]:
    """Find the columns of each source that the features read, sorted, by computing them on empty frames.

    Columns of the entities' own rows are left out: these rows always have all columns.
    """
    return compute_on_nothing(entity, features, sources).columns_read()


def compute_on_nothing(entity: Entity, features: Sequence[Feature], sources: Sequence[Source]) -> PointInTime:
    """Compute features on empty frames, to learn what they read."""
    empty = {source.name: _empty_frame(source) for source in sources}
    rows = empty[entity.source]
    known = PointInTime(rows, rows[entity.event_time] - entity.lead, {s.name: s for s in sources}, empty)
    for feature in features:
        feature.compute(known)
    return known


def _empty_frame(source: Source) -> pd.DataFrame:
    dtypes = {"string": "object", "long": "float64", "double": "float64", "timestamp": "datetime64[ns]"}
    return pd.DataFrame({column.name: pd.Series(dtype=dtypes[column.type]) for column in source.columns})


@dataclass(frozen=True)
class PointInTime:
    """`mlops.contract.Known` over plain frames. Intermediate results that several features need are computed once."""

    rows: pd.DataFrame
    prediction_time: pd.Series[pd.Timestamp]
    sources: Mapping[str, Source]
    frames: Mapping[str, pd.DataFrame]
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def latest(self, source: str, column: str, *, by: Sequence[str], within: timedelta) -> Values:
        """See `Known.latest`. Of two rows known at the same moment, the one with the larger key is the newer."""
        _check_arguments(by, within)
        history = self._find_source(source).history
        within = within if history is None else min(within, history)
        self._make_once(("reach", source, within), lambda: None)
        return self._newest_values(source, column, by, by, within)

    def lookup(self, source: str, column: str, *, on: str | Sequence[str]) -> Values:
        """See `Known.lookup`."""
        reference, columns = self._find_source(source), [on] if isinstance(on, str) else list(on)
        if len(columns) != len(reference.key):
            raise ConfigError(
                f"lookup in source {source!r} names {len(columns)} columns of the entity ({', '.join(columns)}) for a "
                f"key of {len(reference.key)} ({', '.join(reference.key)}): give `on` one column per column of the key"
            )
        self._make_once(("reach", source, reference.history), lambda: None)
        return self._newest_values(source, column, columns, reference.key, reference.history)

    def window(
        self, source: str, *, by: Sequence[str], since: timedelta, until: timedelta = timedelta(), on: str = ""
    ) -> Window:
        """See `Known.window`."""
        _check_arguments(by, since, until)
        declared = self._find_source(source)
        on, history = on or declared.known_at, declared.history
        # A row can be known long before the time by which it lies in the window.
        short = on == declared.known_at and (history is None or since < history)
        self._make_once(("reach", source, since if short else history), lambda: None)
        made: WindowRows = self._make_once(
            ("window", source, *by, since, until, on),
            lambda: self._open_window(declared, by, since, until, on),
        )
        return made

    def columns_read(self) -> dict[str, list[str]]:
        """Return the columns read so far, sorted, by source."""
        read = sorted((key[1], key[2]) for key in self._made if key[0] == "column")
        return {source: [column for name, column in read if name == source] for source, _ in read}

    def groups_read(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Return the sources read so far, each with columns of the entity and the source's that equal them."""
        read = [(key[1], key[2:]) for key in self._made if key[0] == "groups"]
        return [(source, by[: len(by) // 2], by[len(by) // 2 :]) for source, by in read]

    def longest_reach(self) -> dict[str, timedelta | None]:
        """Return how long after its known-at time a row of each source has been read so far; None: for ever."""
        reaches: dict[str, list[timedelta | None]] = {}
        for key in self._made:
            if key[0] == "reach":
                reaches.setdefault(key[1], []).append(key[2])
        return {name: None if None in of else max(r for r in of if r is not None) for name, of in reaches.items()}

    def _open_window(
        self, source: Source, by: Sequence[str], since: timedelta, until: timedelta, on: str
    ) -> WindowRows:
        entities, groups = self._group_numbers(source.name, by, by)
        known, times = self._source_times(source.name, source.known_at), self._source_times(source.name, on)
        usable = np.flatnonzero((groups >= 0) & ~np.isnat(known) & ~np.isnat(times))
        groups, known, times = groups[usable], known[usable], times[usable]
        # A row counts from the later of "its time enters the window" and "it is known", until the earliest of "its time
        # leaves the window", "its next version is known" and "it is forgotten". All are numbers of prediction times.
        begins = self._first(np.maximum(times - np.timedelta64(until), known))
        ends = np.minimum(
            self._first(times + np.timedelta64(since)), self._first(self._find_superseding_times(source)[usable])
        )
        if source.history is not None:
            ends = np.minimum(ends, self._first(known + np.timedelta64(source.history), "right"))
        # An empty interval (ends < begins) must not count -1: it ends where it begins.
        positions = self._at(groups, begins), self._at(groups, np.maximum(begins, ends))
        questions = self._question_positions(entities)
        return WindowRows(
            partial(self._source_column, source.name), usable, *positions, questions, since + until,
            lambda oldest, youngest: self._open_window(source, by, oldest - until, until - youngest, on),
        )  # fmt: skip

    def _newest_values(
        self, source: str, column: str, entity_by: Sequence[str], source_by: Sequence[str], within: timedelta | None
    ) -> Values:
        """For each entity, the newest valid value of the rows in its group, shape (n_entities,); else missing.

        Args:
            source: name of the source.
            column: its column; rows in which it is missing are skipped.
            entity_by: the entities' columns that make groups.
            source_by: the source's columns that make the same groups, in the same order.
            within: largest age of the value; None: any age.
        """
        known, values = self._source_times(source, self.sources[source].known_at), self._source_column(source, column)
        entities, groups = self._group_numbers(source, entity_by, source_by)
        # Usable rows sorted by group, then known-at time, then key: the last row at or before a question is the newest.
        order = self._by_key(source)
        order = order[((groups >= 0) & ~np.isnat(known) & values.notna().to_numpy())[order]]
        order = order[np.lexsort((known[order], groups[order]))]
        starts = self._at(groups[order], self._first(known[order]))
        ends = self._at(groups[order], self._first(self._find_superseding_times(self.sources[source])[order]))
        last = self._at(groups[order], np.full(len(order), len(self._prediction_times)))
        axis, holder = find_value_holders(starts, ends, last)
        # searchsorted - 1 is -1 for a question before every row; index -1 is then the appended "no row".
        position = np.append(holder, -1)[np.searchsorted(axis, self._question_positions(entities), side="right") - 1]
        # The row found can belong to an earlier group on the axis: then this entity has no row.
        has_value = np.append(groups[order], _NO_GROUP)[position] == entities
        if within is not None:
            age = moments_of(self.prediction_time) - np.append(known[order], np.datetime64("NaT"))[position]
            has_value &= age <= np.timedelta64(within)
        return np.asarray(values.iloc[order].reset_index(drop=True).reindex(np.where(has_value, position, -1)))

    def _find_superseding_times(self, source: Source) -> Values:
        def make() -> Values:
            if SUPERSEDED in self.frames[source.name]:
                return moments_of(self.frames[source.name][SUPERSEDED])
            key = pd.DataFrame({name: self._source_column(source.name, name).to_numpy() for name in source.key})
            return find_superseding_times(key, self._source_column(source.name, source.known_at))

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
        def make() -> pd.Series[Any]:
            return _find_column(self.frames[source], name, f"source {source!r}")

        column: pd.Series[Any] = self._make_once(("column", source, name), make)
        return column

    def _source_times(self, source: str, name: str) -> Values:
        return np.asarray(
            self._make_once(("times", source, name), lambda: moments_of(self._source_column(source, name)))
        )

    def _by_key(self, source: str) -> Values:
        """Positions of a source's rows, sorted by their keys, shape (n_rows,)."""

        def make() -> Values:
            names = list(self.sources[source].key)
            keys = pd.DataFrame({name: self._source_column(source, name).to_numpy() for name in names})
            return np.asarray(keys.sort_values(names, kind="stable").index)

        return np.asarray(self._make_once(("order", source), make))

    def _group_numbers(self, source: str, entity_by: Sequence[str], source_by: Sequence[str]) -> tuple[Values, Values]:
        """Number the groups of entities and of a source's rows: equal `by` values, equal number; negative: missing.

        Returns:
            Numbers of the entities, shape (n_entities,), and of the source's rows, shape (n_rows,).
        """

        def make() -> Values:
            # Entities and rows are numbered together, so that equal values get equal numbers on both sides. Numbering
            # anew after each column keeps group * n_codes + code far below 2**63.
            groups = np.zeros(len(self.rows) + len(self.frames[source]), "int64")
            for entity_column, source_column in zip(entity_by, source_by, strict=True):
                codes = self._value_codes(source, entity_column, source_column)
                missing = (groups < 0) | (codes < 0)
                groups = np.where(missing, -1, pd.factorize(groups * (codes.max(initial=0) + 1) + codes)[0])
            return groups

        groups: Values = self._make_once(("groups", source, *entity_by, *source_by), make)
        return groups[: len(self.rows)], groups[len(self.rows) :]

    def _value_codes(self, source: str, entity_column: str, source_column: str) -> Values:
        def make() -> Values:
            rows = self._source_column(source, source_column)
            asked = _find_column(self.rows, entity_column, "the entity's source")
            values = [asked.to_numpy("object"), rows.to_numpy("object")]
            return np.asarray(pd.factorize(np.concatenate(values))[0])

        return np.asarray(self._make_once(("codes", source, entity_column, source_column), make))

    @cached_property
    def _prediction_times(self) -> Values:
        return np.unique(moments_of(self.prediction_time))

    def _first(self, times: Values, side: Literal["left", "right"] = "left") -> Values:
        """Number of the first prediction time at or after (right: after) each of `times`, counted from 0."""
        return np.searchsorted(self._prediction_times, times, side=side)

    def _at(self, groups: Values, moments: Values) -> Values:
        """Positions on one axis that holds the groups one after the other, so that one search serves all groups.

        Each group takes one place per prediction time and one for "after the last prediction time".
        """
        return groups * (len(self._prediction_times) + 1) + moments

    def _question_positions(self, groups: Values) -> Values:
        """Position of each entity's prediction time in its group, shape (n_entities,)."""
        return self._at(groups, self._make_once(("asked",), lambda: self._first(moments_of(self.prediction_time))))


def _check_arguments(by: Sequence[str], *lengths: timedelta) -> None:
    """Raise ConfigError for one text instead of a list, whose letters would be columns, and for a plain number."""
    if isinstance(by, str):
        raise ConfigError(f"by is {by!r}: name the columns in a list, as by=[{by!r}]")
    for length in lengths:
        if not isinstance(length, timedelta):
            raise ConfigError(f"{length!r} is no length of time: write it as timedelta(days=28)")


def _find_column(frame: pd.DataFrame, name: str, owner: str) -> pd.Series[Any]:
    if name not in frame:
        raise ConfigError(f"{owner} has no column {name!r}; there are {', '.join(map(str, frame))}")
    return frame[name]
