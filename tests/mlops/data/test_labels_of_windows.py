"""Labels of a window of the future and of several sources, on Spark against plain loops over every version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from toy import TOY

from mlops.contract import Column, ConfigError, Entity, Label, Model, Source, UseCase
from mlops.data import labels, table_schemas
from mlops.platform.tables import open_schema

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WITHIN, MATURITY = 12 * HOUR, 24 * HOUR
SALES = Source(
    name="sales",
    comment="What a shop sold in an hour",
    columns=(
        Column(name="shop", type="long", comment="Shop"),
        Column(name="hour", type="timestamp", comment="Hour of the sale"),
        Column(name="sold", type="double", comment="Pieces", required=False),
        Column(name="article", type="long", comment="Article"),
        Column(name="known", type="timestamp", comment="When it was reported"),
    ),
    key=("shop", "hour"),
    known_at="known",
)
PRICES = Source(
    name="prices",
    comment="What an article costs",
    columns=(
        Column(name="article", type="long", comment="Article"),
        Column(name="price", type="double", comment="Price"),
        Column(name="since", type="timestamp", comment="When it was set"),
    ),
    key=("article",),
    known_at="since",
)
WINDOW = Label(
    name="earned",
    source="sales",
    joined=("prices",),
    value="COALESCE(SUM(sold * prices.price), 0)",
    matured="COUNT(sold) <> 1",
    within=WITHIN,
    on="hour",
    by=("shop",),
    kind="number",
)
ONE_HOUR = Label(
    name="earned",
    source="sales",
    joined=("prices",),
    value="sold * prices.price",
    matured="sold IS NOT NULL",
    kind="number",
)


def use_case(label: Label) -> UseCase:
    model = Model(build=lambda _: LinearRegression(), space={})
    entity = Entity(source="sales", key=("shop", "hour"), event_time="hour", lead=HOUR)
    policy = replace(TOY.policy, maturity=MATURITY)
    return replace(TOY, sources=(SALES, PRICES), entity=entity, label=label, model=model, policy=policy)


def draw_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reports of three shops with corrections, gaps and missing values, and prices that are set more than once."""
    random = np.random.default_rng(0)
    sales = [
        (shop, START + hour * HOUR, float(random.integers(1, 9)) if random.random() < 0.8 else None,
         int(random.integers(4)), START + (hour + 1 + int(late)) * HOUR)
        for shop in range(3) for hour in range(72) if random.random() < 0.3
        for late in random.choice(40, size=int(random.integers(1, 4)), replace=False)
    ]  # fmt: skip
    prices = [(article, float(random.integers(1, 9)), START + int(hour) * HOUR)
              for article in range(3) for hour in random.choice(72, size=3, replace=False)]  # fmt: skip
    return (
        pd.DataFrame(sales, columns=["shop", "hour", "sold", "article", "known"]),
        pd.DataFrame(prices, columns=["article", "price", "since"]),
    )


def newest(rows: pd.DataFrame, key: list[str], known: str, as_of: datetime) -> pd.DataFrame:
    return rows[rows[known] <= as_of].sort_values(known).drop_duplicates(key, keep="last")


def expect_labels(tables: tuple[pd.DataFrame, pd.DataFrame], rows: pd.DataFrame, as_of: datetime, *, window: bool):
    sales = newest(tables[0], ["shop", "hour"], "known", as_of)
    price = newest(tables[1], ["article"], "since", as_of).set_index("article")["price"]
    sales = sales.assign(earned=sales["sold"] * sales["article"].map(price))
    expected = {}
    for shop, event in rows[["shop", "event_time"]].itertuples(index=False):
        own = sales[sales["shop"] == shop]
        if window:
            own = own[(own["hour"] >= event) & (own["hour"] < event + WITHIN)]
            if event + MATURITY <= as_of and own["sold"].count() != 1:
                expected[shop, event] = own["earned"].sum()
        else:
            own = own[(own["hour"] == event) & own["earned"].notna()]
            expected |= dict(zip(own[["shop", "hour"]].itertuples(index=False, name=None), own["earned"], strict=True))
    return expected


def test_a_window_of_several_sources_is_computed_from_what_was_known(spark, home):
    tables = draw_tables()
    schema = open_schema("prod", "shops")
    for source, frame in zip((SALES, PRICES), tables, strict=True):
        table_schemas.create_source(schema, source, {})
        plain = [None if pd.isna(value) else value for row in frame.itertuples(index=False) for value in row]
        width = len(frame.columns)
        ddl = table_schemas.spark_schema((column.name, column.type) for column in source.columns)
        schema.append_rows(
            source.name,
            spark.createDataFrame([tuple(plain[n : n + width]) for n in range(0, len(plain), width)], ddl)
            .selectExpr("*", "timestamp'2024-01-01' AS file_modified"),
        )  # fmt: skip
    hours = [START + hour * HOUR for hour in range(72)]
    for label, window in ((WINDOW, True), (ONE_HOUR, False)):
        rows = pd.DataFrame([(shop, hour, hour, hour - HOUR) for shop in range(3) for hour in hours],
                            columns=["shop", "hour", "event_time", "prediction_time"])  # fmt: skip
        frame = spark.createDataFrame(
            [tuple(row) for row in rows.itertuples(index=False)],
            "shop BIGINT, hour TIMESTAMP, event_time TIMESTAMP, prediction_time TIMESTAMP",
        )
        case = use_case(label)
        for as_of in (START + 50 * HOUR, START + 200 * HOUR):
            found = labels.join_labels(frame, schema, case, as_of)
            got = {
                (row.shop, row.event_time.tz_localize("UTC")): row.label for row in found.itertuples(index=False)
            }  # fmt: skip
            assert got == pytest.approx(expect_labels(tables, rows, as_of, window=window)), (label.within, as_of)
            assert len(got) == len(found) > 5


def test_a_window_needs_its_column_and_a_maturity_that_waits_for_its_end():
    with pytest.raises(ConfigError, match="needs a length above zero and the column"):
        replace(WINDOW, on="")
    with pytest.raises(ConfigError, match="needs a length above zero and the column"):
        replace(WINDOW, within=timedelta(0))
    late = replace(WINDOW, within=TOY.policy.maturity + HOUR, kind="binary")
    with pytest.raises(ConfigError, match=r"its window of 1 day, 1:00:00 ends after the policy's maturity of 1 day"):
        replace(TOY, label=late)


def test_keys_give_each_entity_one_row_and_one_outcome():
    """Another key would give every question the newest answer of all of them."""
    with pytest.raises(ConfigError, match=r"the entity has the key \('id', 'due'\), and its source 'orders' the key"):
        replace(TOY, entity=replace(TOY.entity, key=("id", "due")))
    results = replace(TOY.source("results"), key=("id", "judged"))
    with pytest.raises(ConfigError, match=r"'results' depends on judged, which is not in the"):
        replace(TOY, sources=(TOY.source("orders"), results))
    with pytest.raises(ConfigError, match="take them out of `by`"):
        replace(TOY, label=replace(TOY.label, within=HOUR, on="judged", by=("failed",)))
