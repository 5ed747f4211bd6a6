"""Versions of rows, against an oracle that reads the definition row by row: any packing, any blocks."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DAY, FEATURES, HOUR, SHOP, SOURCES, START, Oracle, feeds

from mlops.data.point_in_time import compute_features
from mlops.data.row_versions import newest_known

ENTITY = SHOP.entity
EVER = START + 1000 * DAY


def taken(runs):
    oracle = Oracle()
    for run in runs:
        for file in run.files:
            oracle.take(file.source, file.rows, file.modified)
    return oracle


def made_of(frames, entities):
    rows = compute_features(ENTITY, FEATURES, SOURCES, entities, frames)
    return {
        (int(row["id"]), row["prediction_time"].tz_localize("UTC").to_pydatetime()): {
            feature.name: None if pd.isna(row[feature.name]) else row[feature.name] for feature in FEATURES
        }
        for row in rows.to_dict("records")
    }


def same(left, right):
    assert left.keys() == right.keys()
    for key, values in right.items():
        assert left[key] == pytest.approx(values, abs=1e-6), key


@settings(max_examples=40, deadline=None)
@given(feeds())
def test_features_of_versions_are_what_the_oracle_says(runs):
    oracle = taken(runs)
    frames = {source.name: oracle.frame(source.name) for source in SOURCES}
    same(made_of(frames, frames["orders"]), oracle.features(EVER))


@settings(max_examples=20, deadline=None)
@given(feeds(), st.randoms(use_true_random=False))
def test_order_of_rows_and_blocks_change_nothing(runs, random):
    oracle = taken(runs)
    frames = {source.name: oracle.frame(source.name) for source in SOURCES}
    border = pd.Timestamp(START.replace(tzinfo=None)) + random.randrange(120) * HOUR
    shuffled = {name: rows.sample(frac=1, random_state=random.randrange(1000)) for name, rows in frames.items()}
    orders, asked = shuffled["orders"], shuffled["orders"]["due"] - ENTITY.lead
    parts = {}
    for mine in (orders[asked < border], orders[asked >= border]):
        if len(mine):
            since = min((mine["due"] - ENTITY.lead).min() - 2 * DAY, mine["announced"].min())
            until = (mine["due"] - ENTITY.lead).max()
            block = {
                source.name: rows[rows[source.known_at].between(since, until) | (source.history is None)]
                for source in SOURCES
                for rows in [shuffled[source.name]]
            }
            parts |= made_of(block, mine)
    assert parts == made_of(frames, frames["orders"])


@settings(max_examples=40, deadline=None)
@given(feeds(), st.integers(0, 150))
def test_the_newest_known_version_is_what_the_oracle_says(runs, hours):
    oracle, moment = taken(runs), START + hours * HOUR
    for source in SOURCES:
        rows = oracle.frame(source.name)
        found = newest_known(rows, source.key, source.known_at, moment)
        wanted = Oracle(
            {**Oracle().versions, source.name: {n: (0, r) for n, r in enumerate(oracle.known(source.name, moment))}}
        )
        columns = list(rows.columns)
        left, right = (f.sort_values(columns, ignore_index=True) for f in (found, wanted.frame(source.name)))
        pd.testing.assert_frame_equal(left, right)


# --- the kinds that were wrong, one by one ---------------------------------------------------------------------------


def order(known, due, **values):
    return {"id": 1, "due": START + due * HOUR, "announced": START + known * HOUR, "kind": "x", "size": 1.0, **values}


def questions(*orders):
    oracle = Oracle()
    oracle.take("orders", orders, START)
    frames = {source.name: oracle.frame(source.name) for source in SOURCES}
    found = made_of(frames, frames["orders"])
    same(found, oracle.features(EVER))
    return {int((asked - START) / HOUR): values["size"] for (_, asked), values in found.items()}


def test_a_correction_after_the_question_changes_nothing():
    assert questions(order(0, 10), order(9, 10, size=2.0)) == {8: 1.0}


def test_a_correction_at_the_moment_of_the_question_is_known_then():
    assert questions(order(0, 10), order(8, 10, size=2.0)) == {8: 2.0}


def test_an_entity_that_is_moved_before_it_is_asked_about_is_asked_about_once():
    assert questions(order(0, 10), order(7, 16, size=2.0)) == {14: 2.0}


def test_an_entity_that_is_moved_after_it_was_asked_about_is_asked_about_again():
    assert questions(order(0, 10), order(9, 16, size=2.0)) == {8: 1.0, 14: 2.0}


def test_an_entity_that_is_moved_to_before_it_is_known_is_not_asked_about():
    assert questions(order(0, 16), order(9, 10, size=2.0)) == {}


def test_versions_of_an_entity_are_told_apart_by_its_own_key_whatever_the_key_of_its_source():
    frame = pd.DataFrame([order(0, 10), order(7, 16, size=2.0), order(9, 16, size=3.0)])
    frame = frame.assign(**{name: frame[name].dt.tz_localize(None) for name in ("due", "announced")})
    orders = replace(SOURCES[0], key=("id", "announced"))
    made = compute_features(ENTITY, FEATURES[:1], (orders, *SOURCES[1:]), frame, {"orders": frame})
    assert made["size"].tolist() == [3.0]


def test_a_correction_that_is_corrected_before_its_own_question_never_counts():
    assert questions(order(0, 10), order(7, 16), order(12, 10)) == {}
    assert questions(order(0, 10), order(3, 16, size=2.0), order(6, 10, size=3.0)) == {8: 3.0}


def test_the_newest_version_decides_even_where_its_value_is_missing():
    oracle = Oracle()
    oracle.take("orders", [order(0, 10)], START)
    oracle.take(
        "kinds", [{"kind": "x", "published": START + n * HOUR, "weight": w} for n, w in ((1, 5.0), (2, None))], START
    )
    for hour, value in ((1, 3.0), (2, 4.0)):
        visit = {"visit": hour, "seen": START + hour * HOUR, "happened": START, "kind": "x", "value": value}
        oracle.take("visits", [visit], START)
    gone = {"visit": 2, "seen": START + 4 * HOUR, "happened": START, "kind": "y", "value": 9.0}
    oracle.take("visits", [gone], START)
    frames = {source.name: oracle.frame(source.name) for source in SOURCES}
    found = made_of(frames, frames["orders"])
    same(found, oracle.features(EVER))
    (values,) = found.values()
    assert (values["weight"], values["last_value"], values["visits"]) == (None, 3.0, 1)
