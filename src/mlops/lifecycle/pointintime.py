"""What was known about each entity at its own prediction time, out of plain frames: the one way features are made.

A source row counts for an entity while two things hold: it lies in the entity's window, and it was known and not yet
forgotten (`Source.history`). Seen from the row, all of it together is one interval of prediction times, so a window's
count is (rows whose interval has begun) minus (rows whose interval has ended): two binary searches, exact, whatever the
order of event and knowledge. What an entity gets depends neither on the order of rows nor on rows that do not count for
it, so features made day by day equal features made at once. Times are exact to the microsecond; a row whose known-at
time, window time or `by` value is missing counts for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlops.contract import ConfigError, DataError, Entity, Feature, Source, Values, Window

_UNIT = 2.0**-20
"""Windows are summed in whole multiples of this, about a millionth: float sums would depend on the order of rows."""


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
        entities: rows of the entity's source, one per entity, all its columns.
        frames: per source, rows with all its columns, one per key: at least those known from `history` before the
            block's first prediction time to its last one. Times are UTC without zone.

    Returns:
        The entity's key, `event_time`, `prediction_time` (UTC without zone) and one column per feature: float64 (NaN:
        missing) or text (None: missing). One row per entity that was itself known by its prediction time, by key.

    Raises:
        ConfigError: a feature asks for an unknown source, or has the name of another column.
        DataError: a feature did not return one value per entity.
    """
    known_at = next(source.known_at for source in sources if source.name == entity.source)
    rows = entities[entities[known_at] <= entities[entity.event_time] - entity.lead]
    rows = rows.sort_values(list(entity.key), ignore_index=True)
    known = PointInTime(rows, rows[entity.event_time] - entity.lead, {s.name: s for s in sources}, frames)
    table = rows[list(entity.key)].assign(event_time=rows[entity.event_time], prediction_time=known.prediction_time)
    columns = {feature.name: _column(feature, known) for feature in features}
    if clash := sorted(columns.keys() & set(table)):
        raise ConfigError(f"feature {clash[0]!r} has the name of a key or time column of the feature table: rename it")
    return table.assign(**columns)


def _column(feature: Feature, known: PointInTime) -> pd.Series[Any]:
    values = feature.compute(known)
    if np.shape(values) != (len(known.rows),):
        raise DataError(
            f"feature {feature.name!r} returned shape {np.shape(values)} for {len(known.rows)} entities: "
            f"it must return one value per entity"
        )
    if feature.dtype == "double":
        return pd.Series(np.asarray(values, "float64"))
    text = pd.Series(values, dtype="object")
    text[text.isna()] = None
    return text


@dataclass(frozen=True)
class PointInTime:
    """`mlops.contract.Known` over plain frames."""

    rows: pd.DataFrame
    prediction_time: pd.Series[pd.Timestamp]
    sources: Mapping[str, Source]
    frames: Mapping[str, pd.DataFrame]

    def latest(self, source: str, column: str, *, by: Sequence[str], within: timedelta) -> Values:
        """See `Known.latest`. Of two rows known at the same moment, the one with the larger key is the newer."""
        history = self._source(source).history
        return self._newest(source, column, by, by, within if history is None else min(within, history))

    def lookup(self, source: str, column: str, *, on: str) -> Values:
        """See `Known.lookup`."""
        reference = self._source(source)
        if len(reference.key) != 1:
            raise ConfigError(f"source {source!r} has a key of {len(reference.key)} columns: lookup needs one of one")
        return self._newest(source, column, [on], reference.key, reference.history)

    def window(
        self, source: str, *, by: Sequence[str], since: timedelta, until: timedelta = timedelta(), on: str = ""
    ) -> Window:
        """See `Known.window`."""
        asked_of = self._source(source)
        on = on or asked_of.known_at
        frame = self.frames[source].dropna(subset=[asked_of.known_at, on, *by])
        known, times = _times(frame[asked_of.known_at]), _times(frame[on])
        entities, groups = _groups(self.rows, by, frame, by)
        begins = self._first(np.maximum(times - np.timedelta64(until), known))
        ends = self._first(times + np.timedelta64(since))
        if asked_of.history is not None:
            ends = np.minimum(ends, self._first(known + np.timedelta64(asked_of.history), "right"))
        return _Active(
            frame, self._at(groups, begins), self._at(groups, np.maximum(begins, ends)), self._asked(entities)
        )

    def _newest(
        self, source: str, column: str, mine: Sequence[str], theirs: Sequence[str], within: timedelta | None
    ) -> Values:
        asked_of = self.sources[source]
        frame = self.frames[source].dropna(subset=[asked_of.known_at, column, *theirs]).sort_values([*asked_of.key])
        known = _times(frame[asked_of.known_at])
        entities, groups = _groups(self.rows, mine, frame, theirs)
        order = np.lexsort((known, groups))
        axis = self._at(groups, self._first(known))[order]
        # Position -1, "none before", is the nothing appended here.
        position = np.searchsorted(axis, self._asked(entities), side="right") - 1
        found = np.append(groups[order], -1)[position] == entities
        if within is not None:
            age = _times(self.prediction_time) - np.append(known[order], np.datetime64("NaT"))[position]
            found &= age <= np.timedelta64(within)
        values = frame[column].iloc[order].reset_index(drop=True).reindex(np.where(found, position, -1))
        return np.asarray(values)

    def _source(self, name: str) -> Source:
        if name not in self.sources:
            raise ConfigError(f"no source {name!r}; there are {', '.join(self.sources)}")
        return self.sources[name]

    @cached_property
    def _moments(self) -> Values:
        return np.unique(_times(self.prediction_time))

    def _first(self, times: Values, side: Literal["left", "right"] = "left") -> Values:
        """Number of the first prediction time that is not before (right: that is after) each of `times`."""
        return np.searchsorted(self._moments, times, side=side)

    def _at(self, groups: Values, moments: Values) -> Values:
        """Positions on one axis, on which a group's moments follow those of the group before it."""
        return groups * (len(self._moments) + 1) + moments

    def _asked(self, groups: Values) -> Values:
        return self._at(groups, self._first(_times(self.prediction_time)))


@dataclass(frozen=True)
class _Active:
    """Source rows, and between which positions on the axis each is active; see the module."""

    frame: pd.DataFrame
    begins: Values
    ends: Values
    asked: Values

    def count(self) -> Values:
        return self._totals(np.ones((len(self.frame), 1), "int64"))[:, 0].astype("float64")

    def mean(self, value: str | Callable[[pd.DataFrame], Values]) -> Values:
        given = self.frame[value] if isinstance(value, str) else value(self.frame)
        values = pd.Series(given).astype("float64").to_numpy()
        present = np.isfinite(values)
        units = np.rint(np.where(present, values, 0.0) / _UNIT).astype("int64")
        count, total = self._totals(np.column_stack([present.astype("int64"), units])).T
        mean: Values = np.full(len(count), np.nan)
        np.divide(total * _UNIT, count, out=mean, where=count > 0)
        return mean

    def _totals(self, weights: Values) -> Values:
        return self._begun(self.begins, weights) - self._begun(self.ends, weights)

    def _begun(self, positions: Values, weights: Values) -> Values:
        order = np.argsort(positions)
        sums = np.concatenate([np.zeros((1, weights.shape[1]), "int64"), np.cumsum(weights[order], axis=0)])
        return np.asarray(sums[np.searchsorted(positions[order], self.asked, side="right")])


def _times(times: pd.Series[Any]) -> Values:
    return np.asarray(times.to_numpy("datetime64[us]"))


def _groups(
    left: pd.DataFrame, left_by: Sequence[str], right: pd.DataFrame, right_by: Sequence[str]
) -> tuple[Values, Values]:
    """Equal numbers for equal `by` values. On the right none may be missing, so one missing on the left equals none."""
    groups = np.zeros(len(left) + len(right), "int64")
    for one, other in zip(left_by, right_by, strict=True):
        values, distinct = pd.factorize(np.concatenate([left[one].to_numpy("object"), right[other].to_numpy("object")]))
        groups, _ = pd.factorize(groups * (len(distinct) + 1) + values)
    return groups[: len(left)], groups[len(left) :]
