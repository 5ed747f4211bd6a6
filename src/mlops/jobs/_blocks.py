"""Features on Spark, block by block: a worker gets a stretch of prediction times and the history that reaches into it.

Rows of all sources travel in one frame, told apart by `_kind`, since Spark groups two frames at most together; columns
of one name and type share one. Only what features look at travels. A group never holds more than a block and its
history, whatever the age of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from mlops.adapters.tables import Schema
from mlops.contract import Source, UseCase
from mlops.jobs import _layout
from mlops.lifecycle import pointintime

ASKED = "_asked"
"""Of an entity frame: its prediction time."""
_BLOCK = timedelta(days=28)
"""Each row of a source is sent once per block that remembers it: twice, where history is as long as a block."""
_ENTITY = "_entity"


def features(data: Schema, use_case: UseCase, entities: DataFrame) -> DataFrame | None:
    """Features of entities: key, event_time, prediction_time and one column per feature; None if there is no entity.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: rows of the entity's source, with their prediction time as ASKED.
    """
    placed = entities.withColumn("_block", _block(F.col(ASKED)))
    blocks = placed.groupBy("_block").agg(F.min(ASKED).alias("first"), F.max(ASKED).alias("last")).collect()
    if not blocks:
        return None
    asked_of = use_case.source(use_case.entity.source)
    kinds = {_ENTITY: [column.name for column in asked_of.columns], **sent(use_case)}
    frames = [placed, *(_reaching(data.read(name), use_case.source(name), blocks) for name in kinds if name != _ENTITY)]
    types = {_ENTITY: _types(asked_of), **{source.name: _types(source) for source in use_case.sources}}
    packed = [_packed(frame, kind, kinds[kind], types[kind]) for frame, kind in zip(frames, kinds, strict=True)]
    together = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), packed)
    key = [(column.name, column.type) for column in _layout.entity_columns(use_case)]
    schema = _layout.ddl([*key, *((feature.name, feature.dtype) for feature in use_case.features)])

    def compute(group: pd.DataFrame) -> pd.DataFrame:
        unpacked = {kind: _unpacked(group, kind, columns, types[kind]) for kind, columns in kinds.items()}
        mine = unpacked.pop(_ENTITY)
        return pointintime.compute_features(use_case.entity, use_case.features, use_case.sources, mine, unpacked)

    return together.groupBy("_block").applyInPandas(compute, schema)


def sent(use_case: UseCase) -> dict[str, list[str]]:
    """Columns of each source that the use case's features look at, and the moment from which its rows are known."""
    return pointintime.columns_read(use_case.entity, use_case.features, use_case.sources)


def interval(length: timedelta) -> Column:
    """A length of time, to add to a moment; whole seconds."""
    return F.expr(f"INTERVAL {length.total_seconds():.0f} SECONDS")


def _block(moment: Column) -> Column:
    return F.floor(F.unix_timestamp(moment) / _BLOCK.total_seconds()).cast("bigint")


def _reaching(rows: DataFrame, source: Source, blocks: Sequence[Row]) -> DataFrame:
    """Rows once for each block that can see them, read from the files that hold such rows only."""
    numbers, known = F.array(*[F.lit(row[0]) for row in blocks]), F.col(source.known_at)
    rows = rows.where(known <= F.lit(max(row.last for row in blocks)))
    if source.history is None:
        return rows.withColumn("_block", F.explode(numbers))
    history = interval(source.history)
    rows = rows.where(known >= F.lit(min(row.first for row in blocks)) - history)
    seen_by = F.sequence(_block(known), _block(known + history))
    return rows.withColumn("_block", F.explode(F.array_intersect(seen_by, numbers)))


def _types(source: Source) -> dict[str, str]:
    """Name of a column in the common frame, by its name in the source."""
    return {column.name: f"{column.name}__{column.type}" for column in source.columns}


def _packed(rows: DataFrame, kind: str, columns: Iterable[str], names: dict[str, str]) -> DataFrame:
    renamed = [F.col(column).alias(names[column]) for column in columns]
    return rows.select("_block", F.lit(kind).alias("_kind"), *renamed)


def _unpacked(group: pd.DataFrame, kind: str, columns: Sequence[str], names: dict[str, str]) -> pd.DataFrame:
    there = (group["_kind"] == kind).to_numpy()
    return pd.DataFrame({column: group[names[column]].to_numpy()[there] for column in columns})
