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
from mlops.data.readers import ROW_RULES, File, Rows, valid_mask

FILE_MODIFIED = "file_modified"
"""Column that a source's table adds: of two rows with one key and known-at time, the one of the later file stays."""
Positions = np.ndarray[tuple[int], np.dtype[np.int64]]
_LONGEST = 10_000
"""Of a longer line that breaks a rule only so much is kept: a file that ends in a gigabyte of zeros has one line."""


@dataclass(frozen=True)
class BrokenRow:
    """One rule that one row breaks."""

    file: File
    line: int
    rule: str
    row: str
    """The line as it came, at most its first 10,000 characters."""

    @property
    def column(self) -> str:
        """The rule's column, `row` for the line as a whole."""
        return self.rule.partition(":")[0]


@dataclass(frozen=True)
class BatchResult:
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
    broken: tuple[BrokenRow, ...]
    bad: int
    """Rows that break at least one rule."""
    repeated: int
    """Good rows equal to another."""
    outdated: int
    """Rows to publish of which a version known later is there too: both are kept."""
    conflicting: int
    """Good rows known at the same moment as another of their key, with other content: the later file's stays."""

    contradicting: int
    """Good rows that say something else than an earlier row of the same file, with the same key and known-at time."""

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
        name, limit = self.source.name, self.source.max_bad_share
        named = [f"{name}: {_rows_to_reject(o)}" for o in self.outcomes if o.action == "block" and not o.held]
        if self.bad > limit * self.rows:
            rule, count = next(iter(self.by_rule.items()))
            first = next(each for each in self.broken if each.rule == rule)
            meaning = f": {ROW_RULES[rule]}" if rule in ROW_RULES else ""
            named.append(
                f"{name}: {self.bad} of {self.rows} rows break a rule and {limit:.0%} may; most break {rule} "
                f"({count}{meaning}), the first in {first.file.name} line {first.line}"
            )
        if self.contradicting > limit * self.rows:
            named.append(
                f"{name}: {self.contradicting} of {self.rows} rows contradict another row of the same file, with the "
                f"same key ({', '.join(self.source.key)}) and the same {self.source.known_at}, and {limit:.0%} may: "
                f"either the key does not name one thing, or a correction does not say since when it is known"
            )
        return tuple(named)


def split_valid_rows(
    source: Source, files: Sequence[File], rows: Rows, outcomes: Sequence[Outcome], unknown: Sequence[str]
) -> BatchResult:
    """Set rows that break a rule apart, and of the others keep one per key and known-at time.

    Outcomes are those of the rows that could be read, in their order.
    """
    read = rows.read
    broken = {position: list(rules) for position, rules in rows.broken.items()}
    for outcome in outcomes:
        if outcome.action == "quarantine":
            for position in outcome.positions:
                broken.setdefault(int(read[position]), []).append(outcome.rule)
    keyless, contradicting = _rows_without_key(source, rows, np.flatnonzero(valid_mask(len(rows.raw), broken)))
    broken |= {position: [f"{'+'.join(source.key)}:versions"] for position in keyless.tolist()}
    whole = valid_mask(len(rows.raw), broken)
    modified = pa.array([file.modified for file in files], pa.timestamp("us", "UTC")).take(pa.array(rows.file))
    table = rows.table.append_column(FILE_MODIFIED, modified)
    kept, repeated, outdated, conflicting = _count_versions(source, table, np.flatnonzero(whole))
    told = [
        BrokenRow(files[rows.file[position]], rows.line[position], rule, _shorten(rows.raw[position]))
        for position in sorted(broken)
        for rule in broken[position]
    ]
    return BatchResult(
        source, tuple(files), tuple(outcomes), tuple(unknown), len(rows.raw), table.take(kept), tuple(told),
        len(broken), repeated, outdated, conflicting, contradicting,
    )  # fmt: skip


def _rows_without_key(source: Source, rows: Rows, good: Positions) -> tuple[Positions, int]:
    """Positions of rows whose key stands for more things than it can have versions; of the others, how many contradict.

    Two rows contradict each other if one file has both, with one key and one known-at time. (In two files it is a
    correction: the later file's row stays.)
    """
    keys = list(source.key)
    twice = rows.table.select(keys).take(good).to_pandas().duplicated(keep=False).to_numpy()
    if not twice.any():
        return good[:0], 0
    rivals = rows.table.take(good[twice]).to_pandas(integer_object_nulls=True)
    contents = [name for name in rows.table.column_names if name != source.known_at or name in keys]
    different = (~rivals.duplicated(contents)).groupby([rivals[name] for name in keys]).transform("sum")
    many = (different > source.max_versions).to_numpy()
    rivals["_file"] = rows.file[good[twice]]
    there = rivals[~many].drop_duplicates()
    return np.compress(many, good[twice]), int(there.duplicated([*keys, source.known_at, "_file"]).sum())


def _shorten(row: str) -> str:
    return row if len(row) <= _LONGEST else f"{row[:_LONGEST]}… ({len(row):,} characters)"


def _count_versions(source: Source, table: pa.Table, good: Positions) -> tuple[Positions, int, int, int]:
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


def _rows_to_reject(outcome: Outcome) -> str:
    if outcome.observed is None:
        return f"{outcome.failed} of {outcome.rows} rows break {outcome.words}"
    observed = f"{outcome.observed:.6g}" if isinstance(outcome.observed, float) else outcome.observed
    return f"it is {observed} over {outcome.rows} rows, against {outcome.words}"
