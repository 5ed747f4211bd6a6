"""Which rows of a batch are published, which go to quarantine, and whether the batch is blocked as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.contract import Outcome, Source
from mlops.lifecycle.intake import File, Rows, unbroken

FILE_MODIFIED = "file_modified"
"""Column that a source's table adds: of two rows with one key and known-at time, the one of the later file stays."""
Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Broken:
    """One rule that one row breaks."""

    file: File
    line: int
    rule: str
    row: str
    """The line as it came."""

    @property
    def column(self) -> str:
        """The rule's column, `row` for the line as a whole."""
        return self.rule.partition(":")[0]


@dataclass(frozen=True)
class Judged:
    """What became of one source's rows of one delivery."""

    source: Source
    files: tuple[File, ...]
    outcomes: tuple[Outcome, ...]
    unknown: tuple[str, ...]
    """Columns that the contract does not know; they were left out."""
    rows: int
    """Rows that came."""
    good: pa.Table
    """Rows to publish, one per key and known-at time, and of each row when its file was last changed."""
    broken: tuple[Broken, ...]
    bad: int
    """Rows that break at least one rule."""
    repeated: int
    """Good rows equal to another."""
    outdated: int
    """Rows to publish of which a version known later is there too: both are kept."""
    conflicting: int
    """Good rows known at the same moment as another of their key, with other content: the later file's stays."""

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """First and last moment at which a row to publish was known, UTC."""
        known = pc.min_max(self.good[self.source.known_at]).as_py()
        return known["min"], known["max"]

    @property
    def per_day(self) -> dict[date, int]:
        """Rows to publish, per UTC day on which they were known, every day from first to last."""
        days = self.good[self.source.known_at].to_pandas().dt.tz_localize(None).dt.floor("D").value_counts()
        if days.empty:
            return {}
        filled = days.reindex(pd.date_range(days.index.min(), days.index.max()), fill_value=0)
        return {day.date(): int(count) for day, count in filled.items()}

    @property
    def by_rule(self) -> dict[str, int]:
        """Rows per broken rule, most first."""
        return dict(Counter(each.rule for each in self.broken).most_common())

    @property
    def summary(self) -> str:
        """One line for the log."""
        aside = f", {self.bad} to quarantine" if self.bad else ""
        twice = self.repeated + self.conflicting
        left = f", {twice} known better by another" if twice else ""
        ignored = f"; columns {', '.join(self.unknown)} are new and left out" if self.unknown else ""
        return f"{self.source.name}: {self.good.num_rows} rows of {len(self.files)} files{aside}{left}{ignored}"

    @property
    def problems(self) -> tuple[str, ...]:
        """Why nothing may be published, in words; empty: it may."""
        named = [f"{self.source.name}: {_failing(o)}" for o in self.outcomes if o.action == "block" and not o.held]
        if self.bad > self.source.max_bad_share * self.rows:
            rule, count = next(iter(self.by_rule.items()))
            first = next(each for each in self.broken if each.rule == rule)
            named.append(
                f"{self.source.name}: {self.bad} of {self.rows} rows break a rule and {self.source.max_bad_share:.0%} "
                f"may; most break {rule} ({count}), the first in {first.file.name} line {first.line}"
            )
        return tuple(named)


def judge(
    source: Source, files: Sequence[File], rows: Rows, outcomes: Sequence[Outcome], unknown: Sequence[str]
) -> Judged:
    """Set rows that break a rule apart, and of the others keep one per key and known-at time.

    Outcomes are those of the rows that could be read, in their order.
    """
    read = rows.read
    broken = {position: list(rules) for position, rules in rows.broken.items()}
    for outcome in outcomes:
        if outcome.action == "quarantine":
            for position in outcome.positions:
                broken.setdefault(int(read[position]), []).append(outcome.rule)
    whole = unbroken(len(rows.raw), broken)
    modified = pa.array([file.modified for file in files], pa.timestamp("us", "UTC")).take(pa.array(rows.file))
    table = rows.table.append_column(FILE_MODIFIED, modified)
    kept, repeated, outdated, conflicting = _versions(source, table, np.flatnonzero(whole))
    told = [
        Broken(files[rows.file[position]], rows.line[position], rule, rows.raw[position])
        for position in sorted(broken)
        for rule in broken[position]
    ]
    return Judged(
        source, tuple(files), tuple(outcomes), tuple(unknown), len(rows.raw), table.take(kept), tuple(told),
        len(broken), repeated, outdated, conflicting,
    )  # fmt: skip


def _versions(source: Source, table: pa.Table, good: Positions) -> tuple[Positions, int, int, int]:
    """Positions to keep, one per key and known-at time: the row of the newest file; in files of one age the greater.

    Also how many of the others were equal to the kept one, how many of the kept have a later version, and how many of
    the others differed from the kept one. All of it whatever the order of rows.
    """
    keys = list(source.key)
    twice = table.select(keys).take(good).to_pandas().duplicated(keep=False).to_numpy()
    if not twice.any():
        return good, 0, 0, 0
    version = [*dict.fromkeys([*keys, source.known_at])]
    values = [column.name for column in source.columns if column.name not in version]
    rivals = table.select([*version, *values, FILE_MODIFIED]).take(good[twice]).to_pandas(integer_object_nulls=True)
    rivals["_position"] = good[twice]
    rivals = rivals.sort_values([*version, FILE_MODIFIED, *values], na_position="first")
    last = ~rivals.duplicated(version, keep="last")
    content = rivals.groupby([*version, *values], dropna=False, sort=False).ngroup()
    same = content == content.groupby([rivals[name] for name in version]).transform("last")
    outdated = rivals[last].duplicated(keys, keep="last")
    kept = np.sort(np.concatenate([good[~twice], rivals.loc[last, "_position"].to_numpy()]))
    return kept, int((same & ~last).sum()), int(outdated.sum()), int((~same).sum())


def _failing(outcome: Outcome) -> str:
    if outcome.observed is None:
        return f"{outcome.failed} of {outcome.rows} rows break {outcome.words}"
    observed = f"{outcome.observed:.6g}" if isinstance(outcome.observed, float) else outcome.observed
    return f"it is {observed} over {outcome.rows} rows, against {outcome.words}"
