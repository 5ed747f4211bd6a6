"""Check that all entities of the holdout have features, outcomes and labels: a join drops the others silently.

All entities that had a prediction time are counted, not only rows with a label. The days before the holdout give the
usual figures: the number of days with events, and the share of reported outcomes with a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mlops.contract import Policy

COUNTS = ("entities", "featured", "reported", "labelled")
_EXPECTED = 10
"""Smallest expected number of labels of a day at which no label at all is not chance."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Counts of entities per day, for the holdout and as many days before it."""

    days: pd.DataFrame
    """One row per UTC day with events: `day` (datetime64) and the number of entities, of those with features, with a
    reported outcome and with a label (COUNTS). An entity without features counts in the first number only."""
    holdout_from: pd.Timestamp
    """First day of the holdout, UTC without zone."""

    @property
    def holdout(self) -> pd.DataFrame:
        """The days of the holdout."""
        return self.days[self.days["day"] >= self.holdout_from]

    @property
    def reference(self) -> pd.DataFrame:
        """The days before the holdout."""
        return self.days[self.days["day"] < self.holdout_from]


def find_gaps(coverage: Coverage, policy: Policy) -> tuple[str, ...]:
    """Describe what is missing from the holdout, one sentence each; empty: nothing is missing.

    Args:
        coverage: the counts.
        policy: `max_unlabelled` limits entities without features or reported outcome, `missing_floor` reported ones
            without label, `min_volume` days without events.
    """
    holdout, reference = coverage.holdout, coverage.reference
    total, usual = holdout[list(COUNTS)].sum(), _share_of_labels(reference)
    gaps = [
        *_describe_missing_days("have no features", total["entities"], total["entities"] - total["featured"],
                          policy.max_unlabelled),
        *_describe_missing_days("have no reported outcome", total["featured"], total["featured"] - total["reported"],
                          policy.max_unlabelled),
    ]  # fmt: skip
    share = _share_of_labels(holdout)
    if usual is not None and share is not None and share < usual - policy.missing_floor:
        gaps.append(f"{share:.1%} of the reported outcomes carry a label; in the days before it were {usual:.1%}")
    share = share if usual is None else usual
    empty = holdout[(holdout["labelled"] == 0) & (holdout["entities"] * (share or 0.0) >= _EXPECTED)]
    if len(empty):
        gaps.append(f"{len(empty)} of {len(holdout)} days have no label at all, first {empty['day'].min():%Y-%m-%d}")
    if len(holdout) < policy.min_volume * len(reference):
        gaps.append(f"only {len(holdout)} days have events; as many days before it were {len(reference)}")
    return tuple(gaps)


def _describe_missing_days(what: str, rows: int, missing: int, allowed: float) -> list[str]:
    if rows and missing <= allowed * rows:
        return []
    return [f"{missing:,} of {rows:,} entities {what}; {allowed:.1%} is allowed"]


def _share_of_labels(days: pd.DataFrame) -> float | None:
    reported = days["reported"].sum()
    return float(days["labelled"].sum() / reported) if reported else None
