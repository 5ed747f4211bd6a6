"""Compare columns of a batch with the same columns of another source, row by row of their key.

A column that is shifted by a row, or in another time zone, often breaks no rule of its own source.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from mlops.contract import Source
from mlops.contract.text import printable
from mlops.data import readers

_MIN_ROWS = 20
"""Smallest number of common rows on which a share is judged: one difference in five rows is no fault."""


def find_disagreements(source: Source, rows: pa.Table, other: str, versions: Sequence[pa.Table]) -> list[str]:
    """Describe each column that differs from another source in too large a share of the rows that both have.

    A value agrees if any version of its key in the other source has it. The function does not decide which source is
    right. Rows that the other source lacks, and missing values, are not compared.

    Args:
        source: the source of the rows; `agrees_with` names the columns, `max_bad_share` is the limit.
        rows: the rows of a batch.
        other: name of the other source.
        versions: rows of the other source with the key and the named columns.
    """
    key, columns = list(source.key), source.agrees_with[other]
    wanted = list(dict.fromkeys([*key, *columns]))
    mine = readers.to_pandas(rows.select(wanted)).assign(_row=range(rows.num_rows))
    theirs = pd.concat([readers.to_pandas(part.select(wanted)) for part in versions]) if versions else mine[:0]
    return [text for column in columns if (text := _compare(source, mine, other, theirs, column))]


def _compare(source: Source, mine: pd.DataFrame, other: str, theirs: pd.DataFrame, column: str) -> str:
    key = list(source.key)
    given = mine.loc[mine[column].notna(), [*key, column, "_row"]]
    known = theirs.loc[theirs[column].notna(), [*key, column]].drop_duplicates()
    pairs = given.merge(known, on=key, suffixes=("", "_other"))
    agrees = (pairs[column] == pairs[f"{column}_other"]).groupby(pairs["_row"]).any()
    different = int((~agrees).sum())
    if not is_too_much(source, len(agrees), different):
        return ""
    first = pairs.loc[pairs["_row"] == agrees.index[~agrees.to_numpy()][0]].iloc[0]
    example = [first[name] for name in [*key, column, f"{column}_other"]]
    return describe_disagreement(source, other, column, (different, len(agrees)), example)


def is_too_much(source: Source, compared: int, different: int) -> bool:
    """Whether so many of the rows that were compared differ that the batch is blocked."""
    return compared >= _MIN_ROWS and different > source.max_bad_share * compared


def describe_disagreement(
    source: Source, other: str, column: str, counts: tuple[int, int], example: Sequence[object]
) -> str:
    """Say how many rows of those that were compared differ (`counts`), and of one its key and both values."""
    *key, mine, theirs = example
    return (
        f"{source.name}: {column} differs from that of {other} in {counts[0]} of {counts[1]} rows with the same "
        f"{', '.join(source.key)}, and {source.max_bad_share:.0%} may; of {printable(' '.join(map(str, key)))} it is "
        f"{printable(str(mine))} and there {printable(str(theirs))}: land the rows of the wrong source again, corrected"
    )
