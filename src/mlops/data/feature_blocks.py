"""Features on Spark, block by block: a worker gets a stretch of prediction times and the history that reaches into it.

Rows of all sources travel in one frame, told apart by `_kind`, since Spark groups two frames at most together; columns
of one name and type share one. Whole numbers that are never missing are filled with 0 in the rows of other sources: a
gap would make pandas turn them to floats, which hold no number above 2^53 exactly. Only what features look at travels.
A group never holds more than a block and its history, whatever the age of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import reduce
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.contract import Source, UseCase
from mlops.data import point_in_time, table_schemas
from mlops.platform.tables import SQL_TYPES, Schema, rows_of

PREDICTION_TIME = "_asked"
"""Of an entity frame: its prediction time."""
_BLOCK = timedelta(days=28)
"""Each row of a source is sent once per block that remembers it: twice, where history is as long as a block."""
_ENTITY = "_entity"


Blocks = list[dict[str, Any]]
"""One row per block that has entities: its number `_block`, prediction times `first` and `last`, the longest `wait` of
an entity from being known to being asked about, and how many versions are known too `late` for their own question."""


def blocks_of(use_case: UseCase, entities: DataFrame) -> Blocks:
    """Find the blocks of entities; `entities` as for `features`."""
    known = F.col(use_case.source(use_case.entity.source).known_at)
    wait = F.unix_timestamp(PREDICTION_TIME) - F.unix_timestamp(known)
    return rows_of(
        entities.groupBy(_block_number(F.col(PREDICTION_TIME)).alias("_block")).agg(
            F.min(PREDICTION_TIME).alias("first"),
            F.max(PREDICTION_TIME).alias("last"),
            F.max(wait).alias("wait"),
            F.count_if(known > F.col(PREDICTION_TIME)).alias("late"),
        )
    )


def make_features(
    data: Schema, use_case: UseCase, entities: DataFrame, blocks: Blocks | None = None
) -> DataFrame | None:
    """Features of entities: key, event_time, prediction_time and one column per feature; None if there is no entity.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: rows of the entity's source, with their prediction time as ASKED.
        blocks: those of the entities, if they are known already.
    """
    blocks = blocks_of(use_case, entities) if blocks is None else blocks
    if not blocks:
        return None
    asked_of = use_case.source(use_case.entity.source)
    placed = entities.withColumn("_block", _block_number(F.col(PREDICTION_TIME)))
    kinds = {_ENTITY: [column.name for column in asked_of.columns], **columns_needed(use_case)}
    frames = [placed, *(_rows_visible_to(data, use_case, name, blocks) for name in kinds if name != _ENTITY)]
    types = {_ENTITY: _frame_types(asked_of), **{source.name: _frame_types(source) for source in use_case.sources}}
    shared = sorted({types[kind][column] for kind, columns in kinds.items() for column in columns})
    packed = [
        _pack_rows(frame, kind, kinds[kind], types[kind], shared) for frame, kind in zip(frames, kinds, strict=True)
    ]
    together = reduce(DataFrame.union, packed)
    key = [(column.name, column.type) for column in table_schemas.entity_columns(use_case)]
    schema = table_schemas.spark_schema([*key, *((feature.name, feature.dtype) for feature in use_case.features)])

    def compute(group: pd.DataFrame) -> pd.DataFrame:
        unpacked = {kind: _unpack_rows(group, kind, columns, types[kind]) for kind, columns in kinds.items()}
        mine = unpacked.pop(_ENTITY)
        return point_in_time.compute_features(use_case.entity, use_case.features, use_case.sources, mine, unpacked)

    return together.groupBy("_block").applyInPandas(compute, schema)


def columns_needed(use_case: UseCase) -> dict[str, list[str]]:
    """Columns of each source that the use case's features look at, and those that tell the entity's versions apart."""
    source = use_case.source(use_case.entity.source)
    read = point_in_time.columns_read(use_case.entity, use_case.features, use_case.sources)
    return {**read, source.name: sorted({*read.get(source.name, ()), *use_case.entity.key, source.known_at})}


def to_interval(length: timedelta) -> Column:
    """A length of time, to add to a moment; whole seconds."""
    return F.expr(f"INTERVAL {length.total_seconds():.0f} SECONDS")


def _block_number(moment: Column) -> Column:
    return F.floor(F.unix_timestamp(moment) / _BLOCK.total_seconds()).cast("bigint")


def _rows_visible_to(data: Schema, use_case: UseCase, name: str, blocks: Blocks) -> DataFrame:
    """Rows of a source, once for each block that can see them, read from the files that hold such rows only."""
    source, memory = use_case.source(name), _memory_of(use_case, name, blocks)
    numbers, known = F.array(*[F.lit(block["_block"]) for block in blocks]), F.col(source.known_at)
    rows = data.read_table(name).where(known <= F.lit(max(block["last"] for block in blocks)))
    if memory is None:
        return rows.withColumn("_block", F.explode(numbers))
    rows = rows.where(known >= F.lit(min(block["first"] for block in blocks) - memory))
    seen_by = F.sequence(_block_number(known), _block_number(known + to_interval(memory)))
    return rows.withColumn("_block", F.explode(F.array_intersect(seen_by, numbers)))


def _memory_of(use_case: UseCase, name: str, blocks: Blocks) -> timedelta | None:
    """How long a row of a source can matter to a block; of the entity's source, until its entity is asked about."""
    history = use_case.source(name).history
    if history is None or name != use_case.entity.source:
        return history
    return max(history, timedelta(seconds=1 + max(block["wait"] for block in blocks)))


def _frame_types(source: Source) -> dict[str, str]:
    """Name of a column in the common frame, by its name in the source: with its type, and whether it may be missing."""
    return {column.name: f"{column.name}__{column.type}{'' if column.required else '?'}" for column in source.columns}


def _pack_rows(
    rows: DataFrame, kind: str, columns: Iterable[str], names: dict[str, str], shared: Sequence[str]
) -> DataFrame:
    given = {names[column]: F.col(column) for column in columns}
    filled = [given.get(name, _fill_rows(name)).alias(name) for name in shared]
    return rows.select("_block", F.lit(kind).alias("_kind"), *filled)


def _fill_rows(name: str) -> Column:
    type_ = name.rpartition("__")[2]
    return F.lit(0 if type_ == "long" else None).cast(SQL_TYPES[type_.removesuffix("?")])


def _unpack_rows(group: pd.DataFrame, kind: str, columns: Sequence[str], names: dict[str, str]) -> pd.DataFrame:
    there = (group["_kind"] == kind).to_numpy()
    return pd.DataFrame({column: group[names[column]].to_numpy()[there] for column in columns})
