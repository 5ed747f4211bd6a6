"""A feature added in production: back-filled as it was known then, while the old champion goes on scoring."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import test_jobs_loop as loop
from test_jobs_loop import LATER, laptop_in
from toy import TOY

from mlops.contract import feature
from mlops.data.point_in_time import compute_features
from mlops.release import aliases


@feature(unit="share", known_from="the judgements", limits=(0, 1))
def failed_lately(known):
    """Share of orders of the same kind that failed, of those judged in the last two days."""
    from datetime import timedelta

    return known.window("results", by=[], since=timedelta(days=2)).mean("failed")


WIDER = dataclasses.replace(TOY, features=(*TOY.features, failed_lately))


@pytest.mark.nightly
def test_a_feature_is_added_in_production(spark, tmp_path, monkeypatch):
    laptop = laptop_in(tmp_path, monkeypatch)
    laptop.land("2023-12-31", "2024-03-01")
    laptop.ingest()
    _, old = laptop.train("prod")
    assert laptop.deploy("prod", old)[1] == "accepted"

    monkeypatch.setattr(loop, "TOY", WIDER)
    laptop.land("2024-03-02", "2024-03-11")
    own = laptop.ingest(LATER)
    table = own.read_table("features").toPandas()
    frames = {source.name: own.read_table(source.name).toPandas() for source in WIDER.sources}
    rows = frames["orders"][frames["orders"]["id"].isin(table["id"])]
    then = compute_features(WIDER.entity, WIDER.features, WIDER.sources, rows, frames).set_index("id")
    there = table.set_index("id")["failed_lately"]
    pd.testing.assert_series_equal(there.sort_index(), then["failed_lately"].sort_index(), check_index_type=False)
    assert there.notna().mean() > 0.9

    laptop.infer()
    scored = own.read_table("predictions").toPandas()
    assert set(scored["model_version"]) == {old}
    context, new = laptop.train("prod", LATER)
    assert context.registry.find_alias_holder("prod.toy.failing", "champion").number == old
    assert laptop.deploy("prod", new, as_of=LATER)[1] == "accepted"
    champion = aliases.load_serving(context)
    assert champion.number == new
    assert "failed_lately" in context.registry.load_model(champion, WIDER.model).feature_names_in_
