"""The demo's first half, each job in its own process and each job on Spark: do the tables hold the same?

A small policy limit forces a job to Spark. Sums must be equal but for the last bits, which follow the order of adding.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import report
from mlops_cli.home_tables import read_rows

_UNTIL = "2013-06-25"
_ON_SPARK = {"max_read_bytes": 1, "max_collected_rows": 2_000, "max_group_rows": 60_000}
_OF_A_RUN = {"run_id", "move_id", "validation_run", "at", "modified", "file_modified", "expires"}
"""Columns that differ between two runs of one way: ids, and moments of the clock."""
_OF_FILES = {"source", "artifact_digest", "verdict_digest", "verdict_case", "reason", "as_of"}
"""Columns of `audit` that do so, too: a version's files and verdict name its run. Digests of models are compared."""
_OF_RANKS = {"average_precision"}
"""Columns that Spark sums up from rows of similar rank."""
_NOISE = 1e-12


def main() -> None:
    """Replay until June both ways, then print for each table how many rows and how far its numbers differ."""
    with tempfile.TemporaryDirectory() as folder:
        homes = {way: Path(folder, way) for way in ("process", "spark")}
        for way, home in homes.items():
            code = "import sys; from benchmarks.ways import replay; replay(*sys.argv[1:])"
            with Path(folder, f"{way}.log").open("w+") as log:
                done = subprocess.run([sys.executable, "-c", code, way, str(home)], stdout=log, stderr=log, check=False)
                log.seek(0)
                if done.returncode:
                    raise SystemExit(f"the demo failed: {log.read()[-4000:]}")
        tables = sorted(
            path.parent.relative_to(homes["spark"]) for path in homes["spark"].glob("warehouse/*/*/*/_delta_log")
        )
        for table in tables:
            _, *names = table.parts  # catalog, schema and table
            _compare("/".join(names), *(pd.DataFrame(read_rows(home, *names)) for home in homes.values()))
        one, other = (_list_model_digests(home) for home in homes.values())
        report("ways", "models", len(one), "models", better="higher")
        report("ways", "models that differ", len({*one} ^ {*other}), "models", better="lower", target=0)


def replay(way: str, home: str) -> None:
    """Run the demo in this process, with the limits of one way."""
    import usecase
    from laptop import cli

    if way == "spark":
        usecase.USE_CASE = replace(usecase.USE_CASE, policy=replace(usecase.USE_CASE.policy, **_ON_SPARK))
    sys.exit(cli.run_args(["demo", "--until", _UNTIL, "--home", home]))


def _compare(name: str, one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Print the rows without an equal one, and the largest difference of numbers between rows of one key."""
    left_out = _OF_A_RUN | (_OF_FILES if name.endswith("/audit") else set())
    named = [column for column in one.columns if column not in left_out]
    numbers = [column for column in named if one[column].dtype.kind == "f"]
    texts = [column for column in named if column not in numbers]
    ordered = [
        frame[named].sort_values(texts, key=lambda of: of.astype(str)).reset_index(drop=True) for frame in (one, other)
    ]
    report("ways", f"{name}, rows", len(one), "rows", better="higher")
    if len(one) != len(other):
        report("ways", f"{name}, rows more on Spark", len(other) - len(one), "rows", better="lower", target=0)
        return
    differs = [~_equal(*(frame[column] for frame in ordered)) for column in named]
    exact = [where for column, where in zip(named, differs, strict=True) if column not in _OF_RANKS]
    rows = int(np.any(exact, axis=0).sum()) if exact else 0
    report("ways", f"{name}, rows that differ", rows, "rows", better="lower", target=0)
    for column, where in zip(named, differs, strict=True):
        if column in numbers and where.any():
            left, right = (frame[column].to_numpy("float64")[where] for frame in ordered)
            figure = f"{name}, {column}, largest difference"
            largest = float(np.abs(left - right).max()) * 1e6
            report("ways", figure, largest, "millionths", better="lower", target=100)
        elif where.any():
            report("ways", f"{name}, {column}, rows that differ", int(where.sum()), "rows", better="lower", target=0)


def _list_model_digests(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        return [value for (value,) in database.execute("SELECT value FROM tags WHERE key = 'model_digest'")]


def _equal(one: pd.Series, other: pd.Series) -> np.ndarray:
    if one.dtype.kind == "f":
        left, right = one.to_numpy("float64"), other.to_numpy("float64")
        return np.isclose(left, right, rtol=0, atol=_NOISE, equal_nan=True)
    return (one.astype(str) == other.astype(str)).to_numpy()
