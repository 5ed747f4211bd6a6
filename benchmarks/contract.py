"""What the contract costs: ingestion of a million rows with 25 expectations, beside the same job without any."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import report
from laptop import spark as server
from mlops import config
from mlops.context import Context
from mlops.contract import Column, Expectation, Source, UseCase
from mlops.jobs import ingestion
from usecase import USE_CASE

_ROWS = 1_000_000
_VALUES = 8
_START = datetime(2024, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print seconds of both, rows per second and their ratio; each is the second of two runs, on tables of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAPTOP_HOME"] = folder
        server.start_server(Path(folder), print)
        server.get_session()
        landing = Path(folder) / "Volumes/main/feeds/landing/readings"
        landing.mkdir(parents=True)
        (landing / "warm.csv").write_text(_feed(10_000, 1).to_csv(index=False))
        plain = Source(
            name="readings", comment="Readings", columns=_columns(), key=("id",), known_at="seen_at", max_bad_share=1
        )
        seconds = {}
        uses = {"without": plain, "with": replace(plain, expectations=_expectations)}
        for name, source in uses.items():
            _ingest(name, source)
        (landing / "large.csv").write_text(_feed(_ROWS, 2).to_csv(index=False))
        for name, source in uses.items():
            start = time.perf_counter()
            _ingest(name, source)
            seconds[name] = time.perf_counter() - start
            report("contract", f"ingestion_{name}_contract", seconds[name], "s", better="lower")
        report("contract", "rows_per_second", _ROWS / seconds["with"], "1/s", better="higher")
        report("contract", "ratio", seconds["with"] / seconds["without"], "ratio", better="lower", target=1.5)
        server.stop_server()


def _ingest(catalog: str, source: Source) -> None:
    given = {
        "job": "ingestion", "run_id": "1", "as_of": "2025-01-01", "catalog": catalog, "schema": "feeds",
        "landing": "/Volumes/main/feeds/landing", "experiment": f"/{catalog}",
    }  # fmt: skip
    # Ingestion looks at the sources only; the rest has to name this one.
    use_case: UseCase = replace(
        USE_CASE,
        sources=(source,),
        entity=replace(USE_CASE.entity, source=source.name, key=source.key, event_time=source.known_at),
        features=(),
        label=replace(USE_CASE.label, source=source.name),
        policy=replace(USE_CASE.policy, slices=(), paging=()),
    )
    ingestion.run(Context(config.IngestionConfig.model_validate(given), use_case))


def _columns() -> tuple[Column, ...]:
    values = [Column(name=f"value_{n}", type="double", comment="Value", required=False) for n in range(_VALUES)]
    return (
        Column(name="id", type="long", comment="Number"),
        Column(name="seen_at", type="timestamp", comment="When it was seen, UTC"),
        Column(name="place", type="string", comment="Place"),
        *values,
    )


def _expectations() -> tuple[Expectation, ...]:
    """25 of five kinds; about one row in a thousand breaks one."""
    import great_expectations.expectations as gxe

    names = [f"value_{n}" for n in range(_VALUES)]
    between = [gxe.ExpectColumnValuesToBeBetween(column=name, min_value=-4, max_value=4) for name in names]
    pairs = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="id", column_B=name, or_equal=True, ignore_row_if="either_value_is_missing"
        )
        for name in names[:4]
    ]
    quarantined = [*between, *pairs, gxe.ExpectColumnValuesToBeInSet(column="place", value_set=["a", "b", "c"])]
    means = [gxe.ExpectColumnMeanToBeBetween(column=name, min_value=-1, max_value=1) for name in names]
    there = [gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=0.5) for name in names[:4]]
    return (
        *(Expectation(rule, "quarantine") for rule in quarantined),
        *(Expectation(rule, "block") for rule in (*means, *there)),
    )


def _feed(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    ids = np.arange(rows) + seed * 10_000_000
    moments = pd.Series(pd.Timestamp(_START) + pd.to_timedelta(np.arange(rows) % 86_400, "s"))
    values = {f"value_{n}": generator.normal(size=rows).round(4) for n in range(_VALUES)}
    places = generator.choice(["a", "b", "c"], rows)
    return pd.DataFrame({"id": ids, "seen_at": moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "place": places, **values})
