"""A feed that corrects, repeats, moves and comes late, and an oracle that keeps every version of every row.

`feeds` draws rows, their packing into files and the runs that take the files in. `Oracle` says in plain Python, row by
row, which features, labels and questions there have to be: nothing here knows how the jobs do it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from pyspark import cloudpickle
from toy import TOY, stamp, text_of

from mlops.contract import Column, Entity, Label, Source, feature

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY, LEAD = timedelta(hours=1), timedelta(days=1), timedelta(hours=2)


def _source(name, key, known_at, history, **columns):
    made = tuple(
        Column(name=column, type=kind, comment=column, required=column in {*key, known_at, "due"})
        for column, kind in columns.items()
    )
    # A key is drawn with dozens of versions: most rows of a file, which blocks it wherever that is the mark of a fault.
    return Source(name=name, comment=name, columns=made, key=key, known_at=known_at, history=history, max_versions=1000)


SOURCES = (
    _source(
        "orders", ("id",), "announced", DAY,
        id="long", due="timestamp", announced="timestamp", kind="string", size="double",
    ),
    _source(
        "visits", ("visit",), "seen", 2 * DAY,
        visit="long", seen="timestamp", happened="timestamp", kind="string", value="double",
    ),
    _source("prices", ("kind", "quoted"), "quoted", DAY, kind="string", quoted="timestamp", price="double"),
    _source("kinds", ("kind",), "published", None, kind="string", published="timestamp", weight="double"),
    _source("results", ("id",), "judged", 2 * DAY, id="long", judged="timestamp", failed="long"),
    # A reference table that features read by a column which is not its key, and in which a row can move.
    _source("planes", ("plane",), "listed", None, plane="long", listed="timestamp", kind="string", seats="double"),
)  # fmt: skip
BY_NAME = {source.name: source for source in SOURCES}


@feature(unit="", known_from="the order")
def size(known):
    """Size."""
    return known.rows["size"].to_numpy("float64")


@feature(unit="", known_from="the order", dtype="string")
def kind(known):
    """Kind."""
    return known.rows["kind"].to_numpy()


@feature(unit="", known_from="the visits")
def visits(known):
    """Visits of the kind in the last day."""
    return known.window("visits", by=["kind"], since=DAY).count()


@feature(unit="", known_from="the visits")
def mean_value(known):
    """Mean value of the visits that happen around the question."""
    return known.window("visits", by=[], since=12 * HOUR, until=6 * HOUR, on="happened").mean("value")


@feature(unit="", known_from="the orders")
def due_soon(known):
    """Orders of the kind that are due in a day."""
    return known.window("orders", by=["kind"], since=timedelta(0), until=DAY, on="due").count()


@feature(unit="", known_from="the visits")
def last_value(known):
    """Newest value of the kind, a day old at most."""
    return known.latest("visits", "value", by=["kind"], within=DAY).astype("float64")


@feature(unit="", known_from="the prices")
def price(known):
    """Newest price of the kind, twelve hours old at most."""
    return known.latest("prices", "price", by=["kind"], within=12 * HOUR).astype("float64")


@feature(unit="", known_from="the reference")
def weight(known):
    """Weight of the kind."""
    return known.lookup("kinds", "weight", on="kind").astype("float64")


@feature(unit="", known_from="the reference")
def planes(known):
    """Planes of the kind that were listed in the last two days."""
    return known.window("planes", by=["kind"], since=2 * DAY).count()


@feature(unit="", known_from="the reference")
def seats(known):
    """Seats of the kind's newest plane, four days old at most."""
    return known.latest("planes", "seats", by=["kind"], within=4 * DAY).astype("float64")


FEATURES = (size, kind, visits, mean_value, due_soon, last_value, price, weight, planes, seats)
SHOP = replace(
    TOY,
    name="shop",
    sources=SOURCES,
    entity=Entity(source="orders", key=("id",), event_time="due", lead=LEAD),
    features=FEATURES,
    label=Label(name="failed", source="results", value="failed", matured="failed IS NOT NULL"),
)


@dataclass
class Oracle:
    """Every version of every row: by source, then by key and known-at time."""

    versions: dict[str, dict[tuple, tuple]] = field(default_factory=lambda: {source.name: {} for source in SOURCES})

    def take(self, source, rows, modified):
        """Rows of a file; of two with one key and known-at time the one of the later file stays."""
        for row in rows:
            version = (*(row[name] for name in BY_NAME[source].key), row[BY_NAME[source].known_at])
            held = self.versions[source].get(version)
            if held is None or held[0] < modified:
                self.versions[source][version] = (modified, row)

    def known(self, source, moment):
        """The valid version of each key: the newest one that is known at a moment."""
        contract, newest = BY_NAME[source], {}
        for _, row in self.versions[source].values():
            key = tuple(row[name] for name in contract.key)
            if row[contract.known_at] <= moment and (
                key not in newest or newest[key][contract.known_at] < row[contract.known_at]
            ):
                newest[key] = row
        return list(newest.values())

    def remembered(self, source, moment):
        """Of these, what the source has not forgotten."""
        contract = BY_NAME[source]
        return [
            row
            for row in self.known(source, moment)
            if contract.history is None or moment - row[contract.known_at] <= contract.history
        ]

    def features(self, until):
        """By entity and prediction time: the features of every question that was asked by a moment."""
        made = {}
        for _, order in self.versions["orders"].values():
            asked = order["due"] - LEAD
            if asked <= until and order in self.known("orders", asked):
                made[order["id"], asked] = self._of(order, asked)
        return made

    def _of(self, order, asked):
        mine = order["kind"]
        seen = self.remembered("visits", asked)
        near = [v["value"] for v in seen if asked - 12 * HOUR < v["happened"] <= asked + 6 * HOUR]
        near = [value for value in near if value is not None]
        return {
            "size": order["size"],
            "kind": mine,
            "visits": sum(v["kind"] == mine is not None and v["seen"] > asked - DAY for v in seen),
            "mean_value": sum(near) / len(near) if near else None,
            "due_soon": sum(
                o["kind"] == mine is not None and asked < o["due"] <= asked + DAY
                for o in self.remembered("orders", asked)
            ),
            "last_value": self._newest("visits", "value", mine, asked, DAY),
            "price": self._newest("prices", "price", mine, asked, 12 * HOUR),
            "weight": self._newest("kinds", "weight", mine, asked, None),
            "planes": sum(
                p["kind"] == mine is not None and p["listed"] > asked - 2 * DAY
                for p in self.remembered("planes", asked)
            ),
            "seats": self._newest("planes", "seats", mine, asked, 4 * DAY),
        }

    def _newest(self, source, column, mine, asked, within):
        contract = BY_NAME[source]
        found = [
            (row[contract.known_at], [row[name] for name in contract.key], row[column])
            for row in self.remembered(source, asked)
            if row["kind"] == mine is not None
            and row[column] is not None
            and (within is None or asked - row[contract.known_at] <= within)
        ]
        return max(found)[2] if found else None

    def label(self, entity, as_of):
        """The outcome that was known by a moment, if it is matured."""
        return next((row["failed"] for row in self.known("results", as_of) if row["id"] == entity), None)

    def frame(self, source):
        """All versions as a frame, times UTC without zone."""
        contract = BY_NAME[source]
        types = {"long": "float64", "double": "float64", "string": "object", "timestamp": "datetime64[us]"}
        rows = [row for _, row in self.versions[source].values()]
        return pd.DataFrame({
            c.name: pd.Series(
                [r[c.name].replace(tzinfo=None) if c.type == "timestamp" else r[c.name] for r in rows],
                dtype="int64" if c.name in contract.key and c.type == "long" else types[c.type],
            )
            for c in contract.columns
        })  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of a feed; of two files the one with the greater `modified` was written later."""

    source: str
    name: str
    rows: list
    modified: datetime

    def text(self):
        columns = [column.name for column in BY_NAME[self.source].columns]
        cells = [
            ["" if v is None else stamp(v) if isinstance(v, datetime) else v for v in r.values()] for r in self.rows
        ]
        return text_of(columns, cells)


@dataclass(frozen=True)
class Run:
    """Files that land before it, and the moment as of which it runs."""

    files: list
    as_of: datetime


class Runs(list):
    """Runs over one world; shown as the call that makes them again."""

    def __init__(self, seed, corrected, files, count):
        random = np.random.default_rng(seed)
        packed = _packed(random, _rows(random, corrected), files)
        moments = [START + int(hours) * HOUR for hours in random.integers(0, 6 * 24, count)]
        moments[-1] = max(moments)  # the last run is as of the latest moment of all
        of_run = random.integers(0, count, len(packed))
        super().__init__(
            Run([file for file, n in zip(packed, of_run, strict=True) if n == number], moments[number])
            for number in range(count)
        )
        self._shown = f"Runs({seed}, {corrected}, {files}, {count})"

    def __repr__(self):
        return self._shown


def feeds(most_runs=3):
    """Any seed, share of rows that are corrected, files per source, and runs."""
    shares = st.sampled_from([0.0, 0.4, 0.9])
    return st.builds(Runs, st.integers(0, 2**32 - 1), shares, st.integers(1, 4), st.integers(1, most_runs))


def _rows(random, corrected):
    """Rows of all sources: with a chance a row has later versions, or another version known at the same moment."""

    def moment(after=START, hours=96):
        return after + int(random.integers(hours)) * HOUR

    def maybe(value):
        return None if random.random() < 0.15 else value

    def number():
        return maybe(float(random.choice([-1.5, 0.0, 0.25, 3.0])))

    def of_kind():
        return maybe(str(random.choice(["x", "y"])))

    def order(number_of, announced):
        due = announced + int(random.integers(-3, 40)) * HOUR
        return {"id": number_of, "due": due, "announced": announced, "kind": of_kind(), "size": number()}

    def visit(number_of, seen):
        happened = seen + int(random.integers(-20, 10)) * HOUR
        return {"visit": number_of, "seen": seen, "happened": happened, "kind": of_kind(), "value": number()}

    makers = {
        "orders": ([2**53 + n for n in range(12)], order),  # more than a float holds
        "visits": (range(-20, 0), visit),
        "prices": (["x", "y"] * 6, lambda of, at: {"kind": of, "quoted": at, "price": number()}),
        "kinds": (["x", "y"], lambda of, at: {"kind": of, "published": at, "weight": number()}),
        "results": (
            [2**53 + n for n in range(12)],
            lambda of, at: {"id": of, "judged": at, "failed": maybe(int(random.integers(2)))},
        ),
        "planes": (range(6), lambda of, at: {"plane": of, "listed": at, "kind": of_kind(), "seats": number()}),
    }
    rows = []
    for source, (keys, make) in makers.items():
        for key in keys:
            at = moment()
            rows.append((source, make(key, at)))
            for _ in range(int(min(random.geometric(1 - corrected), 7)) - 1):
                at = at if random.random() < 0.2 else moment(at, 30)
                rows.append((source, make(key, at)))
    return rows


def _packed(random, rows, most):
    """Files, in the order in which they were written: each row in one, some in two; some sources have empty ones."""
    files = []
    for source in BY_NAME:
        mine = [row for name, row in rows if name == source]
        count = int(random.integers(1, most + 1))
        content = [[] for _ in range(count + 1)]  # the last one may stay empty
        for row in mine:
            for place in {int(random.integers(count)), *random.integers(0, count, random.integers(2))}:
                content[place].append(row)
        files += [(source, _one_per_version(source, part)) for part in content]
    random.shuffle(files)
    return [
        File(source, f"{random.integers(10**6):06}-{n}.csv", part, datetime(2025, 1, 1, tzinfo=UTC) + n * HOUR)
        for n, (source, part) in enumerate(files)
    ]


def _one_per_version(source, rows):
    """Within a file no row contradicts another: there, the order of content decides, which is a test of its own."""
    names = [*BY_NAME[source].key, BY_NAME[source].known_at]
    return list({tuple(row[name] for name in names): row for row in rows}.values())
