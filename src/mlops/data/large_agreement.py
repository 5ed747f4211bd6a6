"""Compare columns of a large batch with another source on Spark, as `agreement` does for a small one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.contract import Source
from mlops.data import agreement


def find_disagreements(source: Source, rows: DataFrame, other: str, versions: Sequence[DataFrame]) -> list[str]:
    """As `agreement.find_disagreements`, for frames of Spark."""
    key, columns = list(source.key), source.agrees_with[other]
    if not versions:
        return []
    version = list(dict.fromkeys([*key, source.known_at]))
    mine = rows.select(*version, *[F.col(name).alias(f"_mine_{name}") for name in columns])
    named = [
        F.col(name).alias(f"_{side}_{name}") for side, names in (("key", key), ("other", columns)) for name in names
    ]
    theirs = reduce(DataFrame.union, [part.select(*named) for part in versions]).distinct()
    # Two missing keys are equal, as in pandas.
    pairs = mine.join(theirs, [F.col(name).eqNullSafe(F.col(f"_key_{name}")) for name in key])
    # Null where no pair has both values: such a row is not compared.
    agrees = [F.max(F.col(f"_mine_{name}") == F.col(f"_other_{name}")).alias(f"_agrees_{name}") for name in columns]
    values = [F.min(f"_{side}_{name}").alias(f"_{side}_{name}") for name in columns for side in ("mine", "other")]
    compared = pairs.groupBy(*version).agg(*agrees, *values)
    figures = [
        figure
        for name in columns
        for figure in (
            F.count(f"_agrees_{name}"),
            F.count_if(~F.col(f"_agrees_{name}")),
            F.min(F.when(~F.col(f"_agrees_{name}"), F.struct(*key, f"_mine_{name}", f"_other_{name}"))),
        )
    ]
    answer = list(compared.agg(*figures).collect()[0])
    problems = []
    for column, count, different, first in zip(columns, answer[::3], answer[1::3], answer[2::3], strict=True):
        if agreement.is_too_much(source, count, different):
            problems.append(agreement.describe_disagreement(source, other, column, (different, count), first))
    return problems
