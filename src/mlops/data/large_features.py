"""Compute features on Spark in groups of bounded size, where blocks of 28 days hold too many rows for a worker.

A group is a shard of a family's keys in a block of time (`feature_families`). The families' columns meet at the end,
once on the entity's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import UseCase
from mlops.data import feature_blocks, table_schemas
from mlops.data.feature_blocks import ENTITY, PREDICTION_TIME, Blocks
from mlops.data.feature_families import BLOCK, Cut, Family, SourceSize, choose_cut, find_families
from mlops.data.point_in_time import SUPERSEDED
from mlops.platform.tables import SQL_TYPES, Schema, rows_of

_GROUP = ["_block", "_shard"]
_MOST_TASKS = 2000


def may_be_large(use_case: UseCase, blocks: Blocks) -> bool:
    """Whether a block may hold more rows than `policy.max_group_rows`, if a source has as many rows as entities."""
    seen = sum(1 if source.history is None else 1 + source.history / BLOCK for source in use_case.sources)
    return bool(max(block["rows"] for block in blocks) * (1 + seen) > use_case.policy.max_group_rows)


def choose_cuts(data: Schema, use_case: UseCase, entities: DataFrame, blocks: Blocks) -> list[tuple[Family, Cut]]:
    """Choose how each family is cut, from counts of rows; empty: blocks of 28 days are small enough.

    Args:
        data: where the sources' tables are.
        use_case: whose features.
        entities: as for `feature_blocks.make_features`.
        blocks: their blocks of 28 days.
    """
    limit = use_case.policy.max_group_rows
    rows = {name: _count_largest(data, use_case, name, blocks) for name in feature_blocks.columns_needed(use_case)}
    rows[ENTITY] = max(block["rows"] for block in blocks)
    if sum(rows.values()) <= limit:
        return []
    cuts = []
    for family in find_families(use_case):
        sizes = [SourceSize(rows[ENTITY], timedelta(0), timedelta(0))]
        for name, reach in family.reach.items():
            sizes.append(
                SourceSize(rows[name], feature_blocks.memory_of(use_case, name, blocks), reach or timedelta(0))
            )
        share = _largest_share(entities, family) if family.keys else 1.0
        cuts.append((family, choose_cut(sizes, share, limit, has_keys=bool(family.keys))))
    return cuts


def _count_largest(data: Schema, use_case: UseCase, name: str, blocks: Blocks) -> int:
    """Count the rows of a source that the block sees which sees most of them."""
    known_at, memory = use_case.source(name).known_at, feature_blocks.memory_of(use_case, name, blocks)
    rows = feature_blocks.read_visible(data, use_case, name, blocks).select(known_at)
    rows = feature_blocks.send_to_blocks(rows, known_at, memory, blocks)
    return max((row["count"] for row in rows_of(rows.groupBy("_block").count())), default=0)


def _largest_share(entities: DataFrame, family: Family) -> float:
    """Largest share that one value of the keys has of a block's entities."""
    block = feature_blocks.block_number(F.col(PREDICTION_TIME)).alias("_block")
    counted = entities.groupBy(block, *family.keys).count().groupBy("_block")
    shares = counted.agg((F.max("count") / F.sum("count")).alias("share")).agg(F.max("share").alias("share"))
    return float(rows_of(shares)[0]["share"])


def make_features(
    data: Schema, use_case: UseCase, entities: DataFrame, blocks: Blocks, cuts: Sequence[tuple[Family, Cut]]
) -> DataFrame:
    """As `feature_blocks.make_features`, in the groups of `choose_cuts`."""
    versions = {
        name: _read_versions(data, use_case, name, blocks)
        for name in {use_case.entity.source, *feature_blocks.columns_needed(use_case)}
    }
    # Blocks of all versions, also of those that are not valid: the join that leaves these out would run once more.
    shorter = {cut.block for _, cut in cuts} - {BLOCK}
    blocks_by_length = {BLOCK: blocks}
    blocks_by_length |= {length: feature_blocks.blocks_of(use_case, entities, length) for length in shorter}
    valid = _keep_valid(entities, use_case, versions[use_case.entity.source])
    parts = [
        _compute_family(use_case, valid, versions, family, cut, blocks=blocks_by_length[cut.block])
        for family, cut in cuts
    ]
    key = [column.name for column in table_schemas.entity_columns(use_case)]
    columns = [F.max(feature.name).alias(feature.name) for feature in use_case.features]
    # Each column has a value in the rows of one family alone, so its maximum is this value.
    return reduce(DataFrame.unionByName, parts).groupBy(*key).agg(*columns)


def _read_versions(data: Schema, use_case: UseCase, name: str, blocks: Blocks) -> DataFrame:
    """Read the rows of a source that the blocks can see; those with history with the moment that supersedes them."""
    source, rows = use_case.source(name), feature_blocks.read_visible(data, use_case, name, blocks)
    if source.history is None and name != use_case.entity.source:
        return rows
    has_key = reduce(Column.__and__, [F.col(column).isNotNull() for column in source.key])
    following = F.lead(source.known_at).over(Window.partitionBy(*source.key).orderBy(source.known_at))
    return rows.withColumn(SUPERSEDED, F.when(has_key, following))


def _keep_valid(entities: DataFrame, use_case: UseCase, versions: DataFrame) -> DataFrame:
    """Keep the versions of entities that were valid at their own prediction time, see `row_versions.valid_at`."""
    source = use_case.source(use_case.entity.source)
    version = [*dict.fromkeys([*use_case.entity.key, source.known_at])]
    asked, superseded = F.col(PREDICTION_TIME), F.col(SUPERSEDED)
    rows = entities.join(versions.select(*version, SUPERSEDED), version)
    is_valid = (F.col(source.known_at) <= asked) & (superseded.isNull() | (superseded > asked))
    return rows.where(is_valid).drop(SUPERSEDED)


def _compute_family(
    use_case: UseCase,
    entities: DataFrame,
    versions: Mapping[str, DataFrame],
    family: Family,
    cut: Cut,
    *,
    blocks: Blocks,
) -> DataFrame:
    """Compute the features of a family; the columns of all others are null."""
    source = use_case.source(use_case.entity.source)
    columns: dict[str, list[str]] = {ENTITY: [column.name for column in source.columns]}
    placed = entities.withColumn("_block", feature_blocks.block_number(F.col(PREDICTION_TIME), cut.block))
    frames = {ENTITY: placed.withColumn("_shard", _shard_number(family.keys, cut.shards, use_case, source.name))}
    for name, read in family.columns.items():
        has_history = SUPERSEDED in versions[name].columns
        own = [*use_case.entity.key, source.known_at] if name == source.name else []
        columns[name] = sorted({*read, *own, *([SUPERSEDED] if has_history else [])})
        known_at = use_case.source(name).known_at
        rows = feature_blocks.send_to_blocks(versions[name], known_at, family.reach[name], blocks, cut.block)
        ways = family.shards.get(name)
        shards = (
            [F.lit(number) for number in range(cut.shards)]
            if ways is None
            else [_shard_number(way, cut.shards, use_case, name) for way in ways]
        )
        frames[name] = rows.withColumn("_shard", F.explode(F.array_distinct(F.array(*shards))))
    tasks = min(_MOST_TASKS, len(blocks) * cut.shards)
    made = feature_blocks.compute_groups(use_case, family.features, frames, columns, _GROUP, tasks=tasks)
    others = [feature for feature in use_case.features if feature not in family.features]
    nothing: dict[str, Any] = {other.name: F.lit(None).cast(SQL_TYPES[other.dtype]) for other in others}
    return made.withColumns(nothing) if nothing else made


def _shard_number(columns: Sequence[str], shards: int, use_case: UseCase, source: str) -> Column:
    """Number of the shard of the columns' values: one for values that are equal in Python, whatever their type."""
    if not columns or shards == 1:
        return F.lit(0)
    types = {column.name: column.type for column in use_case.source(source).columns}
    numbers = {"long", "double", "boolean"}
    # + 0.0 turns -0.0 into 0.0.
    values = [F.col(name).cast("double") + 0.0 if types[name] in numbers else F.col(name) for name in columns]
    return F.pmod(F.xxhash64(*values), F.lit(shards)).cast("int")
