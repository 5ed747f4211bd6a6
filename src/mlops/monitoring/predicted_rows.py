"""Predictions that monitoring measures: the protocol, and the rows themselves, where they fit into this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd

from mlops.contract import Policy
from mlops.modeling.volume import find_unjudged
from mlops.monitoring import drift
from mlops.monitoring.quality import ModelComparison, Quality, compare_models, measure_slices
from mlops.questions import Question


class Predicted(Protocol):
    """Predictions with their labels; each method takes the events of [start, end), moments with time zone."""

    def measure(self, start: datetime, end: datetime, *, due: bool) -> list[Quality]:
        """Measure the quality, the window first and then its slices, see `measure_slices`; empty: there is no row."""
        ...

    def count_early(self, start: datetime, end: datetime) -> int:
        """Count the labels that were known when their predictions were made."""
        ...

    def usual_version(self, start: datetime, end: datetime) -> int:
        """Number of the version that made most of the predictions."""
        ...

    def compare(self, start: datetime, end: datetime) -> ModelComparison | None:
        """Compare with the baseline model; None: rows lack its predictions, or all are of one day."""
        ...

    def find_unjudged(self, start: datetime, end: datetime) -> tuple[str, ...]:
        """Describe what is never judged, see `volume.find_unjudged`."""
        ...

    def count_bins(self, weeks: Sequence[datetime]) -> Any:
        """Count the bins of the predictions of weeks, see `drift.count_bins`: a frame here, or one on Spark."""
        ...


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """Predictions as rows; see `Predicted`."""

    rows: pd.DataFrame
    """As `store.load_predictions` returns them."""
    question: Question
    policy: Policy

    def _between(self, start: datetime, end: datetime) -> pd.DataFrame:
        first, last = (pd.Timestamp(moment.astimezone(UTC).replace(tzinfo=None)) for moment in (start, end))
        return self.rows[(self.rows["event_time"] >= first) & (self.rows["event_time"] < last)]

    def _select_labelled(self, start: datetime, end: datetime) -> pd.DataFrame:
        rows = self._between(start, end)
        return rows[rows["label"].notna()]

    def measure(self, start: datetime, end: datetime, *, due: bool) -> list[Quality]:
        """See `Predicted`."""
        rows = self._between(start, end)
        return list(measure_slices(self.question, rows, start, end, self.policy, due=due)) if len(rows) else []

    def count_early(self, start: datetime, end: datetime) -> int:
        """See `Predicted`."""
        return int(self._select_labelled(start, end)["early"].sum())

    def usual_version(self, start: datetime, end: datetime) -> int:
        """See `Predicted`."""
        return int(self._between(start, end)["model_version"].mode().iloc[0])

    def compare(self, start: datetime, end: datetime) -> ModelComparison | None:
        """See `Predicted`."""
        rows = self._between(start, end)
        is_comparable = not rows["baseline"].isna().any()
        rows = rows[rows["label"].notna()]
        if not is_comparable or rows["day"].nunique() < 2:
            return None
        champion, baseline = (
            self.question.unpack_scores(rows[name]) for name in (self.question.score_column, "baseline")
        )
        return compare_models(self.question, rows["label"], champion, baseline, rows["day"])

    def find_unjudged(self, start: datetime, end: datetime) -> tuple[str, ...]:
        """See `Predicted`."""
        rows = self._select_labelled(start, end)
        return find_unjudged(self.question, rows, self.policy.window, self.policy) if len(rows) else ()

    def count_bins(self, weeks: Sequence[datetime]) -> pd.DataFrame:
        """See `Predicted`."""
        moments = [pd.Timestamp(week.astimezone(UTC).replace(tzinfo=None)) for week in weeks]
        rows = self.rows[self.rows["week"].isin(moments)]
        return drift.count_bins(rows[["prediction"]], rows["week"].to_numpy()) if len(rows) else pd.DataFrame()
