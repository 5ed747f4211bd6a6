"""Compute features on Spark in groups of bounded size, where blocks of 28 days hold too many rows for a worker.

A group is a shard of a family's keys in a block of time (`feature_families`). The families' columns meet at the end,
once on the entity's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from mlops.contract import UseCase
from mlops.data import feature_blocks, table_schemas
from mlops.data.feature_blocks import ENTITY, FAMILY, PREDICTION_TIME, Blocks
from mlops.data.feature_families import BLOCK, Cut, Family, SourceSize, choose_cut, find_families
from mlops.data.point_in_time import SUPERSEDED
from mlops.platform.tables import Schema, rows_of

_GROUP = [FAMILY, "_block", "_shard"]
_MOST_TASKS = 2000


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
            memory = feature_blocks.memory_of(use_case, name, blocks)
            is_whole = bool(family.keys) and name not in family.shards
            sizes.append(SourceSize(rows[name], memory, reach or timedelta(0), is_whole))
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
    """As `feature_blocks.make_features`, in the groups of `choose_cuts`.

    All families are computed in one stage: each source is read and sorted once, and its rows are sent to the groups of
    every family that reads it. A stage per family would read and sort each source as often as there are families.
    """
    versions = {
        name: _read_versions(data, use_case, name, blocks)
        for name in {use_case.entity.source, *feature_blocks.columns_needed(use_case)}
    }
    # Blocks of all versions, also of those that are not valid: the join that leaves these out would run once more.
    shorter = {cut.block for _, cut in cuts} - {BLOCK}
    blocks_by_length = {BLOCK: blocks}
    blocks_by_length |= {length: feature_blocks.blocks_of(use_case, entities, length) for length in shorter}
    valid = _keep_valid(entities, use_case, versions[use_case.entity.source])
    families, frames = [family for family, _ in cuts], {ENTITY: _send_rows(valid, _place_entities(use_case, cuts))}
    for name in sorted({name for family in families for name in family.columns}):
        frames[name] = _send_rows(versions[name], _place_source(use_case, name, cuts, blocks_by_length))
    columns = [_columns_to_send(use_case, family, versions) for family in families]
    tasks = min(_MOST_TASKS, sum(len(blocks_by_length[cut.block]) * cut.shards for _, cut in cuts))
    features = [family.features for family in families]
    made = feature_blocks.compute_groups(use_case, features, frames, columns, _GROUP, tasks=tasks)
    key = [column.name for column in table_schemas.entity_columns(use_case)]
    # Each column has a value in the rows of one family alone, so its maximum is this value.
    return made.groupBy(*key).agg(*[F.max(feature.name).alias(feature.name) for feature in use_case.features])


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


Place = tuple[int, Column, Column]
"""Number of a family, and the blocks and shards of it that need a row, each of them an array."""


def _place_entities(use_case: UseCase, cuts: Sequence[tuple[Family, Cut]]) -> list[Place]:
    """Each entity lies in one group per family."""
    return [
        (
            number,
            F.array(feature_blocks.block_number(F.col(PREDICTION_TIME), cut.block)),
            F.array(_shard_number(family.keys, cut.shards, use_case, use_case.entity.source)),
        )
        for number, (family, cut) in enumerate(cuts)
    ]


def _place_source(
    use_case: UseCase, name: str, cuts: Sequence[tuple[Family, Cut]], blocks: Mapping[timedelta, Blocks]
) -> list[Place]:
    """A row of a source lies in the groups that can see it, of all families that read the source."""
    known_at = use_case.source(name).known_at
    return [
        (
            number,
            feature_blocks.blocks_that_see(known_at, family.reach[name], blocks[cut.block], cut.block),
            _shards_that_need(use_case, name, family, cut),
        )
        for number, (family, cut) in enumerate(cuts)
        if name in family.columns
    ]


def _send_rows(rows: DataFrame, places: Sequence[Place]) -> DataFrame:
    """Repeat each row once per group that needs it."""
    families = [
        F.struct(F.lit(number).alias(FAMILY), blocks.alias("blocks"), shards.alias("shards"))
        for number, blocks, shards in places
    ]
    sent = rows.withColumn("_place", F.explode(F.array(*families)))
    sent = sent.withColumn("_block", F.explode("_place.blocks")).withColumn("_shard", F.explode("_place.shards"))
    return sent.withColumn(FAMILY, F.col(f"_place.{FAMILY}")).drop("_place")


def _shards_that_need(use_case: UseCase, name: str, family: Family, cut: Cut) -> Column:
    """The shards of a family that need a row of a source: those of its ways to ask, or all."""
    ways = family.shards.get(name)
    shards = (
        [F.lit(number) for number in range(cut.shards)]
        if ways is None
        else [_shard_number(way, cut.shards, use_case, name) for way in ways]
    )
    return F.array_distinct(F.array(*shards))


def _columns_to_send(use_case: UseCase, family: Family, versions: Mapping[str, DataFrame]) -> dict[str, list[str]]:
    """The columns that a family needs, of the entities and of each source."""
    source = use_case.source(use_case.entity.source)
    columns = {ENTITY: [column.name for column in source.columns]}
    for name, read in family.columns.items():
        own = [*use_case.entity.key, source.known_at] if name == source.name else []
        columns[name] = sorted({*read, *own, *({SUPERSEDED} & {*versions[name].columns})})
    return columns


def _shard_number(columns: Sequence[str], shards: int, use_case: UseCase, source: str) -> Column:
    """Number of the shard of the columns' values: one for values that are equal in Python, whatever their type."""
    if not columns or shards == 1:
        return F.lit(0)
    types = {column.name: column.type for column in use_case.source(source).columns}
    numbers = {"long", "double", "boolean"}
    # + 0.0 turns -0.0 into 0.0.
    values = [F.col(name).cast("double") + 0.0 if types[name] in numbers else F.col(name) for name in columns]
    return F.pmod(F.xxhash64(*values), F.lit(shards)).cast("int")
