"""Features on Spark, block by block: a worker gets a stretch of prediction times and the history that reaches into it.

Rows of all sources travel in one frame, told apart by `_kind`, since Spark groups two frames at most together. A group
never holds more than a block and its history, whatever the age of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.adapters.tables import Schema
from mlops.contract import Source, UseCase
from mlops.jobs import _layout
from mlops.lifecycle.pointintime import compute_features

ASKED = "_asked"
"""Of an entity frame: its prediction time."""
_BLOCK = timedelta(days=7)
_ENTITY = "_entity"


def features(data: Schema, use_case: UseCase, entities: DataFrame) -> DataFrame | None:
    """Features of entities: key, event_time, prediction_time and one column per feature; None if there is no entity.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: rows of the entity's source, with their prediction time as ASKED.
    """
    placed = entities.withColumn("_block", _block(F.col(ASKED)))
    blocks = sorted(row[0] for row in placed.select("_block").distinct().collect())
    if not blocks:
        return None
    mine = _packed(placed, use_case.source(use_case.entity.source), _ENTITY)
    known = [_packed(_spread(data.read(s.name), s, blocks), s, s.name) for s in use_case.sources]
    together = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), known, mine)
    key = [(column.name, column.type) for column in _layout.entity_columns(use_case)]
    schema = _layout.ddl([*key, *((feature.name, feature.dtype) for feature in use_case.features)])

    def compute(group: pd.DataFrame) -> pd.DataFrame:
        frames = dict(_unpacked(group, use_case.sources))
        mine = _columns(group[group["_kind"] == _ENTITY], use_case.source(use_case.entity.source))
        return compute_features(use_case.entity, use_case.features, use_case.sources, mine, frames)

    return together.groupBy("_block").applyInPandas(compute, schema)


def _block(moment: Column) -> Column:
    return F.floor(F.unix_timestamp(moment) / _BLOCK.total_seconds()).cast("bigint")


def _spread(rows: DataFrame, source: Source, blocks: Sequence[int]) -> DataFrame:
    """Rows once for each block that can see them."""
    if source.history is None:
        return rows.withColumn("_block", F.explode(F.array(*[F.lit(block).cast("bigint") for block in blocks])))
    known = F.col(source.known_at)
    forgotten = known + F.expr(f"INTERVAL {source.history.total_seconds():.0f} SECONDS")
    return rows.withColumn("_block", F.explode(F.sequence(_block(known), _block(forgotten)))).where(
        F.col("_block").isin(list(blocks))
    )


def _packed(rows: DataFrame, source: Source, kind: str) -> DataFrame:
    renamed = [F.col(column.name).alias(f"{source.name}__{column.name}") for column in source.columns]
    return rows.select("_block", F.lit(kind).alias("_kind"), *renamed)


def _unpacked(group: pd.DataFrame, sources: Sequence[Source]) -> Iterator[tuple[str, pd.DataFrame]]:
    for source in sources:
        yield source.name, _columns(group[group["_kind"] == source.name], source)


def _columns(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    names = {f"{source.name}__{column.name}": column.name for column in source.columns}
    return rows[list(names)].rename(columns=names).reset_index(drop=True)
