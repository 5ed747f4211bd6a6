"""Split days into training, holdout and monitoring window: whole UTC days, half-open, matured by `as_of`.

    ... train ...| train_until   purged   holdout_from |... holdout ...| holdout_until   not matured | as_of

As many days are purged as a label takes to mature: a model trained on the day before the holdout would not have known
their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from mlops.contract import ConfigError, DataError, Policy

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Windows:
    """Event times, UTC midnights: training is `< train_until`, holdout is `>= holdout_from` and `< holdout_until`."""

    train_until: datetime
    holdout_from: datetime
    holdout_until: datetime


@dataclass(frozen=True)
class Span:
    """Event times `>= start` and `< end`, UTC midnights."""

    start: datetime
    end: datetime


def split_windows(as_of: datetime, policy: Policy) -> Windows:
    """Split the matured days: the newest `policy.holdout` are the holdout, all that had matured before it trains.

    Args:
        as_of: a moment with a time zone.
        policy: `holdout` in whole days; `maturity` of any length.

    Raises:
        ConfigError: `as_of` has no time zone, or `holdout` is not a positive number of whole days.
    """
    holdout = _span_before(_find_matured_end(as_of, policy), policy.holdout, "holdout")
    return Windows(_to_midnight(holdout.start - policy.maturity), holdout.start, holdout.end)


def find_matured_window(as_of: datetime, policy: Policy) -> Span:
    """Return the newest `policy.window` of days whose labels have all matured by `as_of`, which monitoring judges.

    Raises:
        ConfigError: `as_of` has no time zone, or `window` is not a positive number of whole days.
    """
    return _span_before(_find_matured_end(as_of, policy), policy.window, "window")


def split_folds(event_time: np.ndarray[Any, Any], policy: Policy, count: int) -> tuple[tuple[Any, Any], ...]:
    """Split rows in time: each fold tests on days after its training days, the last fold on the newest days.

    Args:
        event_time: datetime64, UTC without zone, shape (n_rows,), in any order.
        policy: days as long as `maturity`, begun ones counted whole, lie between training and test of a fold.
        count: number of folds, whose tests are equally many days each.

    Returns:
        Per fold, oldest first, the positions of the rows to train on and of those to test on.

    Raises:
        DataError: there are too few days.
    """
    from sklearn.model_selection import TimeSeriesSplit

    day = event_time.astype("datetime64[D]")
    days = np.arange(day.min(), day.max() + 1)
    splitter = TimeSeriesSplit(count, gap=ceil(policy.maturity / _DAY))
    try:
        parts = list(splitter.split(days))
    except ValueError:
        raise DataError(f"{len(days)} days are too few for {count} folds in time: land more days") from None
    return tuple(
        (np.flatnonzero(day <= days[train[-1]]), np.flatnonzero((day >= days[test[0]]) & (day <= days[test[-1]])))
        for train, test in parts
    )


def _find_matured_end(as_of: datetime, policy: Policy) -> datetime:
    if as_of.tzinfo is None:
        raise ConfigError(f"as_of is {as_of}: give it a time zone, as in {as_of}+00:00")
    return _to_midnight(as_of - policy.maturity)


def _span_before(end: datetime, length: timedelta, name: str) -> Span:
    if length < _DAY or length % _DAY:
        raise ConfigError(f"the policy's {name} is {length}: it must be a positive number of whole days")
    return Span(end - length, end)


def _to_midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
