"""Split a batch into rows to publish and rows for quarantine, and decide whether the whole batch is blocked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.contract import Outcome, Source
from mlops.contract.data import FILE_MODIFIED
from mlops.contract.text import printable
from mlops.data.file_formats import ROW_RULES, File
from mlops.data.readers import Rows, valid_mask

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]
_CONTRADICTION = (
    "another row of the same file has the same key and the same {}: either the key does not name one thing, or a "
    "correction does not say since when it is known"
)
_NAMED = 3
_KEY = 40
"""Largest number of keys that a message names, and of characters of each key."""
_LONGEST = 10_000
"""Largest number of characters of a bad line that are kept: a gigabyte of zeros at a file's end is one line."""


@dataclass(frozen=True)
class BrokenRow:
    """A rule that one row breaks."""

    file: File
    line: int
    rule: str
    row: str
    """The line as it was landed, at most its first 10,000 characters."""

    @property
    def column(self) -> str:
        """The column of the rule; `row` if the rule is about the whole line."""
        return self.rule.partition(":")[0]


@dataclass(frozen=True)
class Figures:
    """What is known of some rows of one source without the rows themselves. Those of parts add up: `add_figures`."""

    rows: int
    """All rows of the files."""
    published: int
    """Rows to publish, one per key and known-at time."""
    bad: int
    """Rows that break at least one rule."""
    repeated: int
    """Good rows that are equal to another good row."""
    outdated: int
    """Rows to publish of which the batch also has a version that is known later; both are kept."""
    conflicting: int
    """Good rows with the key and known-at time of another good row and other values; the later file's row stays."""
    crowded: int
    """Rows to publish whose key has more than `max_versions` different contents in one file."""
    crowded_keys: tuple[tuple[str, int], ...]
    """The keys of most of these rows, and the number of rows of each."""
    span: tuple[datetime | None, datetime | None]
    """Earliest and latest known-at time of the rows to publish, UTC; None: there are no such rows."""
    per_day: Mapping[date, int]
    """Number of rows to publish per UTC day of their known-at time, for every day from the first to the last."""
    by_rule: Mapping[str, int]
    """Number of rows per broken rule, largest first."""


@dataclass(frozen=True)
class BatchResult(Figures):
    """The result of one source's rows in one batch."""

    source: Source
    files: tuple[File, ...]
    outcomes: tuple[Outcome, ...]
    unknown: tuple[str, ...]
    """Columns of the files that the source does not declare; they are left out."""
    broken: tuple[BrokenRow, ...]
    """Rows in quarantine, one entry per rule, in the order of files and lines; of a batch that workers judged the
    first ones of each rule."""

    @property
    def summary(self) -> str:
        """One line for the log."""
        aside = f", {self.bad} to quarantine" if self.bad else ""
        twice = self.repeated + self.conflicting
        left = f", {twice} known better by another" if twice else ""
        many = f"; {self._describe_crowded()}" if self.crowded else ""
        ignored = f"; columns {', '.join(self.unknown)} are new and left out" if self.unknown else ""
        warned = "".join(f"; WARNING: {_rows_to_reject(o)}" for o in self.outcomes if o.action == "warn" and not o.held)
        rows = f"{self.source.name}: {self.published} rows of {len(self.files)} files"
        return f"{rows}{aside}{left}{many}{ignored}{warned}"

    @property
    def problems(self) -> tuple[str, ...]:
        """The reasons why the batch is blocked, in words; empty: it may be published."""
        name, limit = self.source.name, self.source.max_bad_share
        named = [f"{name}: {_rows_to_reject(o)}" for o in self.outcomes if o.action == "block" and not o.held]
        if self.bad > limit * self.rows:
            rule, count = next(iter(self.by_rule.items()))
            first = next(row for row in self.broken if row.rule == rule)
            words = {**ROW_RULES, contradiction_rule(self.source): _CONTRADICTION.format(self.source.known_at)}
            meaning = f": {words[rule]}" if rule in words else ""
            named.append(
                f"{name}: {self.bad} of {self.rows} rows break a rule and {limit:.0%} may; most break {rule} "
                f"({count}{meaning}), the first in {first.file.name} line {first.line}"
            )
        if self.crowded > limit * self.rows:
            named.append(
                f"{name}: {self._describe_crowded()}, of {self.rows} rows, and {limit:.0%} may: a key stands for one "
                f"thing; mend the keys, land the versions in more files, or raise max_versions of {name} in the "
                "use case"
            )
        return tuple(named)

    def _describe_crowded(self) -> str:
        named = ", ".join(f"{key} ({count})" for key, count in self.crowded_keys[:_NAMED])
        more = ", …" if len(self.crowded_keys) > _NAMED else ""
        return (
            f"{self.crowded} rows have a key ({', '.join(self.source.key)}) that stands for more than "
            f"{self.source.max_versions} things in one file: {named}{more}"
        )


@dataclass(frozen=True)
class BatchRows(BatchResult):
    """The result of a batch that is judged in this process, with its rows."""

    good: pa.Table
    """Rows to publish, with the column FILE_MODIFIED."""


def add_figures(parts: Sequence[Figures]) -> Figures:
    """Add up the figures of parts of a batch. All rows of one key have to be in one part."""
    counts = ("rows", "published", "bad", "repeated", "outdated", "conflicting", "crowded")
    keys = sum((Counter(dict(part.crowded_keys)) for part in parts), Counter[str]())
    rules = sum((Counter(part.by_rule) for part in parts), Counter[str]())
    days = sum((Counter(part.per_day) for part in parts), Counter[date]())
    starts, ends = ([moment for part in parts if (moment := part.span[side])] for side in (0, 1))
    return Figures(
        **{name: sum(getattr(part, name) for part in parts) for name in counts},
        crowded_keys=tuple(keys.most_common(_NAMED + 1)),
        span=(min(starts, default=None), max(ends, default=None)),
        per_day=_fill_days(days),
        by_rule=dict(rules.most_common()),
    )


def _fill_days(counts: Mapping[date, int]) -> dict[date, int]:
    """Add the days between the first and the last that have no row."""
    if not counts:
        return {}
    days = [day.date() for day in pd.date_range(min(counts), max(counts))]
    return {day: counts.get(day, 0) for day in days}


def contradiction_rule(source: Source) -> str:
    """Rule of a row that another row of its file, of the same key and known-at time, contradicts."""
    return f"{'+'.join(source.key)}:contradiction"


def split_valid_rows(
    source: Source, files: Sequence[File], rows: Rows, outcomes: Sequence[Outcome], unknown: Sequence[str]
) -> BatchRows:
    """Split rows into good and broken rows, and keep one good row per key and known-at time.

    Args:
        source: the source of the rows.
        files: its new files, in the order of `rows.file`.
        rows: the rows of all files.
        outcomes: results of the expectations on the readable rows; their positions count these rows (`rows.read`).
        unknown: columns of the files that the source does not declare.
    """
    broken = collect_broken(rows, outcomes)
    for position in _find_contradicted_rows(source, rows, np.flatnonzero(valid_mask(len(rows.raw), broken))).tolist():
        broken[position] = [contradiction_rule(source)]
    whole = np.flatnonzero(valid_mask(len(rows.raw), broken))
    modified = pa.array([file.modified for file in files], pa.timestamp("us", "UTC")).take(pa.array(rows.file))
    table = rows.table.append_column(FILE_MODIFIED, modified)
    kept, repeated, outdated, conflicting = _count_versions(source, table, whole)
    broken_rows = [
        BrokenRow(files[rows.file[position]], rows.line[position], rule, _shorten(rows.raw[position]))
        for position in sorted(broken)
        for rule in broken[position]
    ]
    good, crowded = table.take(kept), Counter(_find_crowded_keys(source, rows, whole))
    known = pc.min_max(good[source.known_at]).as_py()
    days = good[source.known_at].to_pandas().dt.tz_localize(None).dt.floor("D").value_counts()
    return BatchRows(
        len(rows.raw), good.num_rows, len(broken), repeated, outdated, conflicting, crowded.total(),
        tuple(crowded.most_common(_NAMED + 1)), (known["min"], known["max"]),
        _fill_days({day.date(): int(count) for day, count in days.items()}),
        dict(Counter(row.rule for row in broken_rows).most_common()),
        source, tuple(files), tuple(outcomes), tuple(unknown), tuple(broken_rows), good,
    )  # fmt: skip


def collect_broken(rows: Rows, outcomes: Sequence[Outcome]) -> dict[int, list[str]]:
    """List the rules that each row breaks, by its position, with those of expectations that set rows aside."""
    read = rows.read
    broken = {position: list(rules) for position, rules in rows.broken.items()}
    for outcome in outcomes:
        if outcome.action == "quarantine":
            for position in outcome.positions:
                broken.setdefault(int(read[position]), []).append(outcome.rule)
    return broken


def _find_contradicted_rows(source: Source, rows: Rows, good: Positions) -> Positions:
    """Positions of rows that a greater one of their file contradicts: with the same key, known at the same moment.

    Nobody can tell which of them is right, so all of them go to quarantine. In two files the later row is a correction.
    """
    rivals = _rows_of_repeated_keys(source, rows, good)
    version = [*dict.fromkeys([*source.key, source.known_at]), "_file"]
    values = [column.name for column in source.columns if column.name not in version]
    content = rivals.groupby([*version, *values], dropna=False, sort=False).ngroup()
    ordered = rivals.assign(_content=content).sort_values([*version, *values], na_position="first")
    greatest = ordered.groupby(version, sort=False)["_content"].transform("last")
    return np.sort(ordered.loc[ordered["_content"] != greatest, "_position"].to_numpy())


def _find_crowded_keys(source: Source, rows: Rows, good: Positions) -> tuple[str, ...]:
    """The key of each row whose key stands for more than `max_versions` different things in one file.

    It removes no row, and it counts per file. So the published rows do not depend on how rows were packed into files
    and batches, and several corrections of a row may land at once.
    """
    rivals, keys = _rows_of_repeated_keys(source, rows, good), list(source.key)
    contents = [column.name for column in source.columns if column.name != source.known_at or column.name in keys]
    different = (~rivals.duplicated([*contents, "_file"])).groupby([rivals[name] for name in [*keys, "_file"]])
    many = rivals.loc[(different.transform("sum") > source.max_versions).to_numpy(), keys]
    return tuple(" ".join(printable(f"{value}")[:_KEY] for value in key) for key in many.itertuples(index=False))


def _rows_of_repeated_keys(source: Source, rows: Rows, good: Positions) -> pd.DataFrame:
    """Select the good rows that share their key with other rows, with their `_position` and file number `_file`."""
    twice = rows.table.select(list(source.key)).take(good).to_pandas().duplicated(keep=False).to_numpy()
    rivals: pd.DataFrame = rows.table.take(good[twice]).to_pandas(integer_object_nulls=True)
    return rivals.assign(_position=good[twice], _file=rows.file[good[twice]])


def _shorten(row: str) -> str:
    return row if len(row) <= _LONGEST else f"{row[:_LONGEST]}… ({len(row):,} characters)"


def _count_versions(source: Source, table: pa.Table, good: Positions) -> tuple[Positions, int, int, int]:
    """Choose one row per key and known-at time: that of the newest file, among files of one age the greatest row.

    The result does not depend on the order of rows.

    Returns:
        Positions of the rows to keep; the number of other rows equal to a kept one; of kept rows with a later version;
        and of other rows that differ from the kept one.
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
