"""Choose which rows a training reads where all of them are more than it may read.

Each entity lies in one of BUCKETS buckets, by the hash of its key and the model's seed. A sample takes the buckets
below a bound, so it is the same in every run, and a smaller sample lies within a larger one. A class that would nearly
vanish has a higher bound than the others, and weights make up for it: beyond some ten other rows for each of its own,
more rows of the others add little to what a model learns of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from mlops.contract import ConfigError, Values

BUCKETS = 2**16
_FLOOR = 10
"""A class keeps as many rows as this part of the limit before the others are taken, where it has them."""


@dataclass(frozen=True)
class SamplePlan:
    """What a sample takes of each class; the keys are labels, or one other key where classes do not matter."""

    bounds: Mapping[Hashable, int]
    """First bucket that is left out."""
    total: Mapping[Hashable, int]
    """Number of all rows."""
    kept: Mapping[Hashable, int]
    """Number of rows that the sample takes."""

    @property
    def is_whole(self) -> bool:
        """Whether every row is taken."""
        return self.kept == self.total

    @property
    def common_bound(self) -> int:
        """Bound below which the rows of all classes are taken: these rows are a sample without weights."""
        return min(self.bounds.values())

    @property
    def weights(self) -> Mapping[Hashable, float]:
        """How many rows each row of a class stands for, relative to the class that is taken most completely.

        All are 1 where the bounds are equal: what is left of differences is chance, and not a choice of the sample.
        """
        if len(set(self.bounds.values())) == 1:
            return dict.fromkeys(self.bounds, 1.0)
        shares = {name: self.total[name] / self.kept[name] for name in self.bounds if self.kept[name]}
        return {name: share / min(shares.values()) for name, share in shares.items()}

    def describe(self) -> str:
        """Describe the sample, as in "1,000 of 5,000 labelled rows"."""
        text = f"{sum(self.kept.values()):,} of {sum(self.total.values()):,} labelled rows"
        if len(set(self.bounds.values())) == 1:
            return text
        return text + ", weights " + ", ".join(f"{weight:.4g} for {name}" for name, weight in self.weights.items())


def plan_sample(counts: Mapping[Hashable, Values], limit: int) -> SamplePlan:
    """Plan the largest sample that does not exceed a limit.

    Args:
        counts: rows of each class per bucket, shape (BUCKETS,); one class where classes do not matter.
        limit: largest number of rows, above 0.

    Raises:
        ConfigError: the limit is below what the first bucket holds.
    """
    if not counts:  # no row has a label
        return SamplePlan({}, {}, {})
    below = {name: np.append(0, np.cumsum(rows)) for name, rows in counts.items()}  # rows below each bound
    total = {name: int(rows[-1]) for name, rows in below.items()}
    floor = limit // max(_FLOOR, 2 * len(counts))
    own = {name: _find_bound(rows, floor) if len(counts) > 1 else 0 for name, rows in below.items()}
    # With a common bound b, a class takes the rows below b, or those below its own bound if that is higher.
    taken = sum((rows[np.maximum(np.arange(len(rows)), own[name])] for name, rows in below.items()), start=np.int64(0))
    common = _find_bound(np.asarray(taken), limit)
    bounds: dict[Hashable, int] = {name: max(common, own[name]) for name in below}
    kept = {name: int(below[name][bound]) for name, bound in bounds.items()}
    if not common and any(total.values()):
        raise ConfigError(
            f"max_training_rows is {limit}, too few to sample {sum(total.values()):,} labelled rows: raise it in the "
            "policy"
        )
    return SamplePlan(bounds, total, kept)


def _find_bound(below: Values, limit: int) -> int:
    """Find the largest bound below which there are at most `limit` rows."""
    return int(np.searchsorted(below, limit, side="right")) - 1
