"""A use case small enough to read: the machinery's tests run on it, so they stay green when a fork edits `usecase`.

Orders are announced a day before they are due, and judged half a day after; big ones of kind "x" fail more often.
"""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from pyspark import cloudpickle
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops.contract import Column, Entity, Expectation, Label, Model, Policy, Source, UseCase, feature

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file

PER_DAY = 60
FIRST = date(2024, 1, 1)


def rule(kind, column, **arguments):
    """A Great Expectations object, made when it is asked for."""
    import great_expectations.expectations as gxe

    return getattr(gxe, kind)(**({"column": column} if column else {}), **arguments)


def orders_of(day):
    """Orders due on a day: id, due, announced, kind, size, failed, judged."""
    generator = np.random.default_rng(day.toordinal())
    for number in range(PER_DAY):
        due = datetime.combine(day, time(6), UTC) + timedelta(minutes=10 * number)
        kind, size = "xy"[int(generator.integers(2))], float(generator.normal())
        chance = 1 / (1 + np.exp(-(1.5 * size + (0.8 if kind == "x" else -0.8))))
        failed = int(generator.random() < chance)
        yield SimpleNamespace(
            id=day.toordinal() * 1000 + number, due=due, announced=due - timedelta(days=1), kind=kind, size=size,
            failed=failed, judged=due + timedelta(hours=12),
        )  # fmt: skip


def stamp(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def text_of(header, rows):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def sample(since, until):
    """One file a day and feed, holding what became known on that day."""
    for offset in range((until - since).days + 1):
        day = since + timedelta(days=offset)
        near = [order for d in (-1, 0, 1) for order in orders_of(day + timedelta(days=d))]
        announced = [o for o in near if o.announced.date() == day]
        judged = [o for o in near if o.judged.date() == day]
        yield (
            f"orders/{day}.csv",
            text_of(
                ["id", "due", "announced", "kind", "size"],
                [(o.id, stamp(o.due), stamp(o.announced), o.kind, f"{o.size:.6f}") for o in announced],
            ),
        )
        yield (
            f"results/{day}.csv",
            text_of(["id", "judged", "failed"], [(o.id, stamp(o.judged), o.failed) for o in judged]),
        )


ORDERS = Source(
    name="orders",
    comment="Orders that are due tomorrow",
    columns=(
        Column(name="id", type="long", comment="Order"),
        Column(name="due", type="timestamp", comment="When it is due, UTC"),
        Column(name="announced", type="timestamp", comment="When it was announced, UTC"),
        Column(name="kind", type="string", comment="x or y"),
        Column(name="size", type="double", comment="Size", unit="kg", required=False),
    ),
    key=("id",),
    known_at="announced",
    history=timedelta(days=2),
    expectations=lambda: (
        Expectation(rule("ExpectColumnValuesToBeInSet", "kind", value_set=["x", "y"]), "quarantine"),
        Expectation(rule("ExpectColumnValuesToBeBetween", "size", min_value=-50, max_value=50), "quarantine"),
        Expectation(rule("ExpectColumnValuesToNotBeNull", "kind"), "block"),
    ),
)
RESULTS = Source(
    name="results",
    comment="How orders ended",
    columns=(
        Column(name="id", type="long", comment="Order"),
        Column(name="judged", type="timestamp", comment="When it was judged, UTC"),
        Column(name="failed", type="long", comment="1: it failed"),
    ),
    key=("id",),
    known_at="judged",
    history=timedelta(days=2),
)


@feature(unit="kg", known_from="the announcement")
def size(known):
    """Size of the order."""
    return known.rows["size"].to_numpy()


@feature(unit="", known_from="the announcement", dtype="string")
def kind(known):
    """Kind of the order."""
    return known.rows["kind"].to_numpy()


@feature(unit="orders", known_from="the announcements")
def due_around(known):
    """Orders of the same kind announced in the last day."""
    return known.window("orders", by=["kind"], since=timedelta(days=1)).count()


def build(parameters):
    """A logistic regression."""
    codes = OneHotEncoder(handle_unknown="ignore")
    inputs = ColumnTransformer([("kind", codes, ["kind"])], remainder=SimpleImputer(strategy="median"))
    return Pipeline([("inputs", inputs), ("model", LogisticRegression(**parameters))])


POLICY = Policy(
    holdout=timedelta(days=7),
    maturity=timedelta(days=1),
    min_ranking=0.6,
    min_skill=0.05,
    max_ranking=0.98,
    margin_ranking=0.02,
    margin_loss=0.02,
    max_gap=0.15,
    slices=("kind",),
    slice_min_rows=100,
    slice_min_positives=20,
    window=timedelta(days=7),
    drift_reference=timedelta(days=7),
    paging=("kind",),
    drift_min_rows=100,
    slice_gap=0.3,
    retrain_gap=0.2,
    replicates=200,
)
TOY = UseCase(
    name="toy",
    question="Will this order fail?",
    sample=sample,
    sources=(ORDERS, RESULTS),
    entity=Entity(source="orders", key=("id",), event_time="due", lead=timedelta(hours=2)),
    features=(size, kind, due_around),
    label=Label(name="failed", source="results", value="failed", matured="failed IS NOT NULL"),
    model=Model(build=build, space={"C": [0.01, 0.1, 1.0, 10.0]}),
    policy=POLICY,
)


def frame_of(schema, table):
    """A table as pandas, in a fixed order, for comparing; read as the commands of people read it, without Spark."""
    folder = schema.warehouse.joinpath(*schema.full_name(table).split("."))
    reader = QueryBuilder().register("stored", DeltaTable(folder)).execute("SELECT * FROM stored")
    rows = pa.table(reader.read_all()).to_pandas()
    for name in rows.select_dtypes("datetimetz"):
        rows[name] = rows[name].dt.tz_localize(None).astype("datetime64[ns]")
    rows = rows.sort_values(list(rows.columns), ignore_index=True)
    return rows.astype(object).where(pd.notna(rows), None)
