"""Features of families, blocks and shards, against the same features computed at once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracle import SHOP, Oracle, feeds

from mlops.data.feature_families import BLOCK, Cut, SourceSize, choose_cut, find_families
from mlops.data.point_in_time import SUPERSEDED, compute_features, find_superseding_times, moments_of
from usecase import USE_CASE

DAY = timedelta(days=1)


def test_features_lie_in_families_of_the_columns_that_all_their_reads_share():
    families = {family.keys: family for family in find_families(SHOP)}
    assert {keys: [f.name for f in family.features] for keys, family in families.items()} == {
        ("kind",): ["size", "kind", "visits", "due_soon", "last_value", "price", "weight", "planes", "seats"],
        (): ["mean_value"],
    }
    # Versions of a plane can have several kinds, and would lie in several shards: each shard gets all planes.
    assert families["kind",].shards == dict.fromkeys(("orders", "prices", "visits", "kinds"), (("kind",),))
    assert families[()].shards == {"visits": ((),)}
    assert set(families[()].columns) == {"visits"}


def test_every_feature_of_the_use_case_lies_in_one_family():
    families = find_families(USE_CASE)
    assert sorted(f.name for family in families for f in family.features) == sorted(f.name for f in USE_CASE.features)
    assert len({family.keys for family in families}) == len(families)
    for family in families:
        for source, ways in family.shards.items():
            assert all(len(way) == len(family.keys) for way in ways)
            assert {column for way in ways for column in way} <= {c.name for c in USE_CASE.source(source).columns}


def shard_of(rows, columns, shards):
    """A shard per row, equal for equal values."""
    if not columns or shards == 1:
        return np.zeros(len(rows), "int64")
    return rows[list(columns)].astype(str).agg("|".join, axis=1).map(lambda text: sum(map(ord, text)) % shards)


def superseded(source, frame):
    return frame.assign(**{SUPERSEDED: find_superseding_times(frame[list(source.key)], frame[source.known_at])})


def computed_in_parts(use_case, frames, shards, block):
    """As `large_features` does it, on plain frames."""
    entity, by_name = use_case.entity, {source.name: source for source in use_case.sources}
    sent = {
        name: frame if by_name[name].history is None and name != entity.source else superseded(by_name[name], frame)
        for name, frame in frames.items()
    }
    rows = sent[entity.source]
    asked, known = moments_of(rows[entity.event_time] - entity.lead), moments_of(rows[by_name[entity.source].known_at])
    entities = rows[(known <= asked) & ~(moments_of(rows[SUPERSEDED]) <= asked)].drop(columns=SUPERSEDED)
    number = (entities[entity.event_time] - entity.lead).astype("int64") // (block // timedelta(microseconds=1))
    made = []
    for family in find_families(use_case):
        parts = []
        for (_, shard), group in entities.groupby([number, shard_of(entities, family.keys, shards)]):
            seen = {}
            for name in family.columns:
                frame = sent[name]
                if name in family.shards:
                    ways = [shard_of(frame, way, shards) == shard for way in family.shards[name]]
                    frame = frame[np.logical_or.reduce([np.asarray(way) for way in ways])]
                known, asked = moments_of(frame[by_name[name].known_at]), group[entity.event_time] - entity.lead
                inside = known <= np.datetime64(asked.max())
                if family.reach[name] is not None:
                    inside &= known >= np.datetime64(asked.min() - family.reach[name])
                seen[name] = frame[inside]
            parts.append(compute_features(entity, family.features, use_case.sources, group, seen))
        made.append(pd.concat(parts).set_index([*entity.key, "event_time", "prediction_time"]))
    return pd.concat(made, axis=1)


@given(feeds(), st.integers(1, 3), st.sampled_from([3 * DAY, DAY / 2]))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_features_computed_in_parts_are_those_computed_at_once(runs, shards, block):
    oracle = Oracle()
    for file in (file for run in runs for file in run.files):
        oracle.take(file.source, file.rows, file.modified)
    frames = {source.name: oracle.frame(source.name) for source in SHOP.sources}
    whole = compute_features(SHOP.entity, SHOP.features, SHOP.sources, frames["orders"], frames)
    if whole.empty:
        return
    expected = whole.set_index(["id", "event_time", "prediction_time"]).sort_index()
    found = computed_in_parts(SHOP, frames, shards, block).sort_index()
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=True, check_index_type=False)


LENGTHS = st.integers(0, 40).map(lambda days: timedelta(days=days))
SIZES = st.lists(
    st.builds(SourceSize, st.integers(1, 10**9), st.one_of(st.none(), LENGTHS), LENGTHS, st.booleans()), min_size=1
)


@pytest.mark.parametrize("has_keys", [True, False])
@given(sizes=SIZES, share=st.floats(0, 1), limit=st.integers(1000, 10**7))
def test_a_cut_bounds_the_largest_group_where_time_can(has_keys, sizes, share, limit):
    cut = choose_cut(sizes, share, limit, has_keys=has_keys)
    longest = max(size.reach for size in sizes)
    whole = sum(size.count(cut.block) for size in sizes if size.is_whole)
    is_as_short_as_may_be = cut.block / 2 < max(longest / 3, BLOCK / 2**9)
    assert cut.rows <= limit or is_as_short_as_may_be or whole > 0.9 * limit
    assert (cut.block, cut.shards) == (BLOCK, 1) or sum(size.count(BLOCK) for size in sizes) > limit
    assert has_keys or cut.shards == 1
    assert cut.block.total_seconds() == int(cut.block.total_seconds())
    assert cut.block >= longest / 3 or cut.block == BLOCK


@given(
    cut=st.integers(1, 10**8), whole=st.integers(0, 10**6), limit=st.integers(1000, 10**6), share=st.floats(0, 0.001)
)
@example(cut=26796295, whole=748, limit=1501, share=0.0007513213646320831)  # blocks as short as a third of a day
def test_a_group_is_estimated_with_the_sources_that_each_shard_gets_whole(cut, whole, limit, share):
    sizes = [SourceSize(cut, DAY, DAY), SourceSize(whole, None, DAY, is_whole=True)]
    chosen = choose_cut(sizes, share, limit, has_keys=True)
    at_once = sizes[0].count(chosen.block)
    assert chosen.rows >= whole + at_once * max(share, 1 / chosen.shards) - 1
    # The smallest group that can be: whole sources alone, with blocks as short as may be.
    if whole <= limit / 2:
        assert chosen.rows <= limit or chosen.block / 2 < max(DAY / 3, BLOCK / 2**9)


def test_a_family_sees_rows_as_long_as_its_features_read_them():
    families = {family.keys: family for family in find_families(SHOP)}
    assert families["kind",].reach == {
        "orders": DAY,
        "visits": DAY,
        "prices": DAY / 2,
        "kinds": None,
        "planes": 4 * DAY,
    }
    assert families[()].reach == {"visits": 2 * DAY}  # by another time than that since when a row is known


def test_a_family_without_keys_is_cut_by_time_as_far_as_its_reach_allows():
    size = SourceSize(50_000_000, timedelta(days=28), timedelta(hours=3))
    assert choose_cut([size], 1.0, 1_000_000, has_keys=False) == Cut(BLOCK / 2**5, 1, 892_858)
    far = SourceSize(50_000_000, timedelta(days=28), timedelta(days=28))
    assert choose_cut([far], 1.0, 1_000_000, has_keys=False) == Cut(BLOCK / 2, 1, 37_500_000)
