"""`laptop demo`: the whole loop, out of the commands that a person would type, each printed before it runs.

Nothing is remembered between two demos: what is there already is seen in tables and registry, by the jobs themselves
for data, and in `mlops status` for versions.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from laptop.home import LaptopError

FIRST_END = date(2013, 4, 30)
"""Last day that is replayed by default."""
_FIRST_FILE = date(2012, 12, 31)
"""The schedule of 1 January is known the day before."""
_TRAINED = date(2013, 4, 1)
_MATURES = timedelta(days=2)
_STRETCH = timedelta(days=28)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Demo:
    """Types commands for one home."""

    home: Path
    approver: str
    console: Console
    laptop: Callable[[list[str]], int]
    """Runs one `laptop` command in this process."""

    def run(self, until: date) -> None:
        """Train and promote on January to March, then replay to a day.

        Raises:
            LaptopError: a command did not end well; what it said stands above.
        """
        start = time.monotonic()
        self._first_model(_as_of(_TRAINED))
        for since, end in _stretches(until):
            self._replay(since, end)
        self._end(time.monotonic() - start)

    def _first_model(self, as_of: str) -> None:
        self._title("January to March: land, ingest, train, judge")
        self._land(_FIRST_FILE, _TRAINED - _DAY, as_of)
        if not self._there("dev", "training"):
            self._job("training", "dev", as_of=as_of)
        for target in ("staging", "prod"):
            self._title(f"Promote that very version to {target}")
            if not self._there(target, "promotion"):
                self._mlops("promote", "--target", target, "-p", f"as_of={as_of}")
        self._approve()

    def _replay(self, since: date, end: date) -> None:
        as_of = _as_of(end + _MATURES + _DAY)
        self._title(f"{since:%-d %B} to {end:%-d %B}: land, ingest, score, wait for the labels, monitor")
        self._land(since, end + _MATURES, as_of)
        self._job("inference", "prod", as_of=as_of)
        self._job("monitoring", "prod", as_of=as_of)
        self._approve()

    def _land(self, since: date, until: date, as_of: str) -> None:
        self._job("sample", "prod", since=str(since), until=str(until), as_of=as_of)
        self._job("ingestion", "prod", as_of=as_of)

    def _approve(self) -> None:
        """What the gate accepted in prod waits for a person: the approval task has failed, its run is repaired."""
        for row in self._status("prod", "challenger"):
            self._title(f"prod requires an approval: {self.approver} approves version {row['version']}")
            self._mlops("approve", str(row["version"]), "--target", "prod", "--approver", self.approver)

    def _there(self, target: str, step: str) -> bool:
        found = [*self._status(target, "champion"), *self._status(target, "challenger")]
        for row in found[:1]:
            said = f"skipped {step}: in {target}, version {row['version']} is {row['alias']} already"
            self.console.print(said, style="dim", highlight=False, soft_wrap=True)
        return bool(found)

    def _job(self, job: str, target: str, **parameters: str) -> None:
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        arguments = ["run", job, "--target", target, *given, "--home", str(self.home)]
        self._type("laptop", arguments)
        self._must(self.laptop(arguments))

    def _mlops(self, verb: str, *arguments: str) -> None:
        words = [verb, *arguments, "--home", str(self.home)]
        self._type("mlops", words)
        self._must(_mlops(words))

    def _status(self, target: str, alias: str) -> list[dict[str, Any]]:
        if not (self.home / "mlflow.db").exists():
            return []
        said = io.StringIO()
        with redirect_stdout(said):
            code = _mlops(["status", "--output", "json", "--target", target, "--home", str(self.home)], quiet=True)
        self._must(code)
        return [row for row in json.loads(said.getvalue()) if row["alias"] == alias]

    def _must(self, code: int) -> None:
        if code:
            raise LaptopError("the demo stops here; what went wrong stands above, and the demo can be run again")

    def _title(self, text: str) -> None:
        self.console.rule(f"[bold]{text}", align="left")

    def _type(self, command: str, arguments: list[str]) -> None:
        text = f"$ {shlex.join([command, *arguments])}"
        self.console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)

    def _end(self, seconds: float) -> None:
        self._title("Where things stand")
        versions = Table("champion", "version", "artifact digest, from the files", "run")
        for target in ("dev", "staging", "prod"):
            for row in self._status(target, "champion"):
                versions.add_row(row["model"], str(row["version"]), row["digest"][:24], row["run"][:8])
        self.console.print(versions, _quality(self.home))
        self.console.print(
            f"{seconds:.0f} seconds. Look next at\n"
            f"  runs, models, verdicts:  uv run laptop ui --home {self.home}\n"
            f"  tables:                  {self.home}/warehouse\n"
            f"  every run of every job:  {self.home}/runs",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _quality(home: Path) -> Table:
    """The windows that monitoring has judged in prod."""
    from pyspark.sql import SparkSession

    table = Table("window in prod", "version", "rows", "AUC", "log-loss", "gap", "retrain")
    place = home / "warehouse" / "prod" / "flights" / "metrics"
    rows = SparkSession.builder.getOrCreate().read.format("delta").load(str(place)).orderBy("window_start").collect()
    for row in rows:
        window = f"{row.window_start:%Y-%m-%d} - {row.window_end - _DAY:%m-%d}"
        figures = (f"{row.auc:.4f}", f"{row.log_loss:.4f}", f"{row.calibration_gap:+.4f}", row.retraining_due)
        table.add_row(window, str(row.model_version), f"{row.rows:,}", *figures)
    return table


def _stretches(until: date) -> Iterator[tuple[date, date]]:
    """April first, then four weeks at a time; first and last day of each."""
    since, end = _TRAINED, min(until, FIRST_END)
    while since <= end:
        yield since, end
        since, end = end + _DAY, min(until, end + _STRETCH)


def _as_of(day: date) -> str:
    return f"{day}T00:00:00Z"


def _mlops(words: list[str], *, quiet: bool = False) -> int:
    """Run one `mlops` command in this process, as its entry point does."""
    command = next(iter(entry_points(group="console_scripts", name="mlops"))).load()
    keep, sys.stderr = sys.stderr, io.StringIO() if quiet else sys.stderr
    try:
        command(words)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stderr = keep
    return 0
