"""Compute features on Spark in blocks of prediction times; a worker gets one block and its visible history.

Rows of all sources are sent in one frame with the column `_kind`, since Spark can group at most two frames together;
columns of equal name and type share one column. Whole numbers are filled with 0 where they are missing and in the rows
of other sources, and optional ones have a column that says which are missing: with gaps, pandas would turn them into
floats, which are not exact above 2^53, so that two ids were one. Only columns that features read are sent. A group
holds one block and its history, so its size does not grow with the age of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.contract import Feature, Source, UseCase
from mlops.data import point_in_time, table_schemas
from mlops.data.feature_families import BLOCK
from mlops.data.readers import ARROW_TYPES
from mlops.platform.tables import SQL_TYPES, Schema, rows_of

PREDICTION_TIME = "_asked"
"""Column of an entity frame that holds its prediction time."""
ENTITY = "_entity"
_OPTIONAL_LONG, _MISSING = "__long?", "_missing"
_EXACT = 2**53
"""Largest whole number up to which floats are exact."""
FAMILY = "_family"
"""Column of a group that says which of several lists of features it computes."""


Blocks = list[dict[str, Any]]
"""One row per block with entities: its number `_block`, its number of `rows`, its `first` and `last` prediction time,
the longest `wait` in seconds from an entity's known-at time to its prediction time, and how many versions are known
`late`, after their own prediction time."""


def blocks_of(use_case: UseCase, entities: DataFrame, length: timedelta = BLOCK) -> Blocks:
    """Find the blocks of entities; `entities` as for `make_features`."""
    known = F.col(use_case.source(use_case.entity.source).known_at)
    wait = F.unix_timestamp(PREDICTION_TIME) - F.unix_timestamp(known)
    return rows_of(
        entities.groupBy(block_number(F.col(PREDICTION_TIME), length).alias("_block")).agg(
            F.count("*").alias("rows"),
            F.min(PREDICTION_TIME).alias("first"),
            F.max(PREDICTION_TIME).alias("last"),
            F.max(wait).alias("wait"),
            F.count_if(known > F.col(PREDICTION_TIME)).alias("late"),
        )
    )


def make_features(
    data: Schema, use_case: UseCase, entities: DataFrame, blocks: Blocks | None = None
) -> DataFrame | None:
    """Compute the features of entities.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: rows of the entity's source, with the column PREDICTION_TIME.
        blocks: the blocks of the entities, if the caller has them already.

    Returns:
        Key, event_time, prediction_time and one column per feature; None if there is no entity.
    """
    blocks = blocks_of(use_case, entities) if blocks is None else blocks
    if not blocks:
        return None
    placed = entities.withColumn("_block", block_number(F.col(PREDICTION_TIME)))
    columns = _columns_at_once(use_case)
    sources = {name: read_visible(data, use_case, name, blocks) for name in columns if name != ENTITY}
    frames = {ENTITY: placed} | {
        name: send_to_blocks(rows, use_case.source(name).known_at, memory_of(use_case, name, blocks), blocks)
        for name, rows in sources.items()
    }
    return compute_groups(use_case, [use_case.features], frames, [columns], ["_block"])


def compute_here(data: Schema, use_case: UseCase, entities: DataFrame, limit: int) -> tuple[pa.Table, Blocks] | None:
    """Compute the features in this process, from a read of the entities and one of each source that they need.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: as for `make_features`.
        limit: largest number of rows, of entities and sources together. It is part of each read, so rows need not be
            counted before.

    Returns:
        The columns of `make_features`, times in UTC, and the entities as one block, none if there is no entity. None:
        there are more rows.
    """
    columns = _columns_at_once(use_case)
    types, own = _types_of(use_case), {ENTITY: columns.pop(ENTITY)}
    (packed,) = _pack_frames(use_case, {ENTITY: entities}, [own], [PREDICTION_TIME])
    few = packed.limit(limit + 1).toPandas()
    if len(few) > limit:
        return None
    asked = _unpack_rows(few, ENTITY, own[ENTITY], types[ENTITY])
    blocks = _describe_block(use_case, asked, few[PREDICTION_TIME])
    made = _columns_made(use_case, use_case.features)
    empty = pa.schema([(name, ARROW_TYPES[type_]) for name, type_ in made]).empty_table()
    if not blocks:
        return empty, blocks

    def read_source(name: str) -> pd.DataFrame:
        visible = {name: read_visible(data, use_case, name, blocks)}
        (frame,) = _pack_frames(use_case, visible, [{name: columns[name]}], ())
        rows: pd.DataFrame = frame.limit(limit - len(asked) + 1).toPandas()
        return rows

    # Side by side, as each read waits for Delta to read its table's log. (Rejected: one read of all, whose rows have
    # the columns of all sources: twice the time.)
    with ThreadPoolExecutor() as pool:
        rows = dict(zip(columns, pool.map(read_source, columns), strict=True))
    if sum(map(len, rows.values())) + len(asked) > limit:
        return None
    frames = {name: _unpack_rows(rows[name], name, needed, types[name]) for name, needed in columns.items()}
    table = point_in_time.compute_features(use_case.entity, use_case.features, use_case.sources, asked, frames)
    for name in ("event_time", "prediction_time"):
        table[name] = table[name].dt.tz_localize("UTC")
    return pa.Table.from_pandas(table, empty.schema, preserve_index=False), blocks


def _describe_block(use_case: UseCase, entities: pd.DataFrame, asked: pd.Series[Any]) -> Blocks:
    """As `blocks_of`, of entities that are here and in one block, with their prediction times."""
    if entities.empty:
        return []
    known = entities[use_case.source(use_case.entity.source).known_at]
    first, last = (moment.tz_localize("UTC").to_pydatetime() for moment in (asked.min(), asked.max()))
    wait, late = (asked - known).max().total_seconds(), int((known > asked).sum())
    return [{"_block": 0, "rows": len(entities), "first": first, "last": last, "wait": wait, "late": late}]


def compute_groups(
    use_case: UseCase,
    families: Sequence[Sequence[Feature]],
    frames: Mapping[str, DataFrame],
    columns: Sequence[Mapping[str, Sequence[str]]],
    group: Sequence[str],
    *,
    tasks: int | None = None,
) -> DataFrame:
    """Compute features in groups of rows that have equal values in the columns `group` of all frames.

    Args:
        use_case: whose features.
        families: lists of its features. If there are several, `group` has FAMILY, the number of the list that a group
            computes; the other features are null in its rows.
        frames: the entities as ENTITY, and each source by its name.
        columns: per list of features the columns to send, by frame.
        group: the columns that make groups.
        tasks: number of tasks that compute groups; None: Spark chooses.
    """
    packed, types = _pack_frames(use_case, frames, columns, group), _types_of(use_case)
    columns_made = _columns_made(use_case, [feature for features in families for feature in features])
    names = [name for name, _ in columns_made]

    def compute(rows: pd.DataFrame) -> pd.DataFrame:
        number = int(rows[FAMILY].iloc[0]) if FAMILY in rows else 0
        unpacked = {kind: _unpack_rows(rows, kind, sent, types[kind]) for kind, sent in columns[number].items()}
        block = unpacked.pop(ENTITY)
        table = point_in_time.compute_features(use_case.entity, families[number], use_case.sources, block, unpacked)
        return table.assign(**{name: None for name in names if name not in table})[names]

    together = reduce(DataFrame.union, packed)
    together = together if tasks is None else together.repartition(tasks, *group)
    return together.groupBy(*group).applyInPandas(compute, table_schemas.spark_schema(columns_made))


def _pack_frames(
    use_case: UseCase,
    frames: Mapping[str, DataFrame],
    columns: Sequence[Mapping[str, Sequence[str]]],
    group: Sequence[str],
) -> list[DataFrame]:
    """Give the rows of all frames the same columns, so that they can be one frame; arguments as `compute_groups`."""
    types = _types_of(use_case)
    named = {types[kind][name] for sent in columns for kind, names in sent.items() for name in names}
    shared = sorted(part for name in named for part in _parts_of(name))
    return [
        _pack_rows(frame, kind, [sent.get(kind, ()) for sent in columns], types[kind], [group, shared])
        for kind, frame in frames.items()
    ]


def _columns_made(use_case: UseCase, features: Iterable[Feature]) -> list[tuple[str, str]]:
    """Names and types of the columns of a frame of features."""
    key = [(column.name, column.type) for column in table_schemas.entity_columns(use_case)]
    return [*key, *((feature.name, feature.dtype) for feature in features)]


def _columns_at_once(use_case: UseCase) -> dict[str, Sequence[str]]:
    """The columns that all features need, of the entities and of each source."""
    source = use_case.source(use_case.entity.source)
    return {ENTITY: [column.name for column in source.columns], **columns_needed(use_case)}


def columns_needed(use_case: UseCase) -> dict[str, list[str]]:
    """List the columns of each source that the features read, and those that identify versions of the entity."""
    source = use_case.source(use_case.entity.source)
    read = point_in_time.columns_read(use_case.entity, use_case.features, use_case.sources)
    return {**read, source.name: sorted({*read.get(source.name, ()), *use_case.entity.key, source.known_at})}


def to_interval(length: timedelta) -> Column:
    """Convert a length of whole seconds to a Spark interval, to add to a timestamp."""
    return F.expr(f"INTERVAL {length.total_seconds():.0f} SECONDS")


def block_number(moment: Column, length: timedelta = BLOCK) -> Column:
    """Number of the block that a moment lies in."""
    return F.floor(F.unix_timestamp(moment) / length.total_seconds()).cast("bigint")


def read_visible(data: Schema, use_case: UseCase, name: str, blocks: Blocks) -> DataFrame:
    """Read the rows of a source that some block can see; the bounds let Delta skip other files."""
    known, memory = F.col(use_case.source(name).known_at), memory_of(use_case, name, blocks)
    rows = data.read_table(name).where(known <= F.lit(max(block["last"] for block in blocks)))
    return rows if memory is None else rows.where(known >= F.lit(min(block["first"] for block in blocks) - memory))


def send_to_blocks(rows: DataFrame, known_at: str, memory: timedelta | None, blocks: Blocks) -> DataFrame:
    """Repeat the rows of a source once per block that can see them, with the block's number; see `blocks_that_see`."""
    return rows.withColumn("_block", F.explode(blocks_that_see(known_at, memory, blocks)))


def blocks_that_see(known_at: str, memory: timedelta | None, blocks: Blocks, length: timedelta = BLOCK) -> Column:
    """Numbers of the blocks that can see a row of a source, as an array.

    Args:
        known_at: column of the moment since when the row is known.
        memory: how long it can be seen after that; None: for ever.
        blocks: the blocks.
        length: length of a block.
    """
    numbers, known = F.array(*[F.lit(block["_block"]) for block in blocks]), F.col(known_at)
    if memory is None:
        return numbers
    seen_by = F.sequence(block_number(known, length), block_number(known + to_interval(memory), length))
    return F.array_intersect(seen_by, numbers)


def memory_of(use_case: UseCase, name: str, blocks: Blocks) -> timedelta | None:
    """How long a row can be seen after it is known; None: for ever. Rows of the entity: until its prediction time."""
    history = use_case.source(name).history
    if history is None or name != use_case.entity.source:
        return history
    return max(history, timedelta(seconds=1 + max(block["wait"] for block in blocks)))


def _types_of(use_case: UseCase) -> dict[str, dict[str, str]]:
    """Names of columns in the common frame, by source, and of the entities."""
    types = {source.name: _frame_types(source) for source in use_case.sources}
    return {**types, ENTITY: types[use_case.entity.source]}


def _frame_types(source: Source) -> dict[str, str]:
    """Map each column of a source to its name in the common frame, which holds type and "?" for "may be missing"."""
    names = {column.name: f"{column.name}__{column.type}{'' if column.required else '?'}" for column in source.columns}
    return {**names, point_in_time.SUPERSEDED: f"{point_in_time.SUPERSEDED}__timestamp?"}


def _pack_rows(
    rows: DataFrame,
    kind: str,
    columns: Sequence[Iterable[str]],
    names: dict[str, str],
    frame: Sequence[Sequence[str]],
) -> DataFrame:
    """Give the rows the columns of the common frame: those of the groups, then the shared ones.

    A column that some family does not read is empty in the rows of this family, which makes them shorter.
    """
    group, shared = frame
    given = {}
    for column in {name for sent in columns for name in sent}:
        readers = [number for number, sent in enumerate(columns) if column in sent]
        for name in _parts_of(names[column]):
            value = F.col(column)
            if name.endswith(_MISSING):
                value = value.isNull()
            elif name.endswith(_OPTIONAL_LONG):
                value = F.coalesce(value, F.lit(0))
            if len(readers) < len(columns):
                value = F.when(F.col(FAMILY).isin(readers), value).otherwise(_fill_rows(name))
            given[name] = value
    filled = [given.get(name, _fill_rows(name)).alias(name) for name in shared]
    return rows.select(*group, F.lit(kind).alias("_kind"), *filled)


def _parts_of(name: str) -> tuple[str, ...]:
    """Columns of the common frame that hold a column: of optional whole numbers also which are missing."""
    return (name, f"{name}{_MISSING}") if name.endswith(_OPTIONAL_LONG) else (name,)


def _fill_rows(name: str) -> Column:
    if name.endswith(_MISSING):
        return F.lit(False)
    type_ = name.rpartition("__")[2].removesuffix("?")
    return F.lit(0 if type_ == "long" else None).cast(SQL_TYPES[type_])


def _unpack_rows(group: pd.DataFrame, kind: str, columns: Sequence[str], names: dict[str, str]) -> pd.DataFrame:
    of_kind = (group["_kind"] == kind).to_numpy()
    return pd.DataFrame({column: _unpack_column(group, names[column], of_kind) for column in columns})


def _unpack_column(group: pd.DataFrame, name: str, of_kind: Any) -> Any:
    values = group[name].to_numpy()[of_kind]
    if not name.endswith(_OPTIONAL_LONG):
        return values
    missing = group[f"{name}{_MISSING}"].to_numpy()[of_kind]
    if not missing.any():
        return values
    if ((values >= -_EXACT) & (values <= _EXACT)).all():
        return np.where(missing, np.nan, values)
    return pd.arrays.IntegerArray(values.copy(), missing)
