"""`laptop demo`: a year of the loop, out of the commands that a person would type, each printed before it runs.

Nothing is remembered between two demos: what is there already is seen in tables and registry, by the jobs themselves
for data, in `mlops status` for versions, and in the table `decisions` for windows that have been judged.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from laptop.home import LaptopError

YEAR_END = date(2013, 12, 31)
"""Last day that is replayed by default."""
_FIRST_FILE = date(2012, 12, 31)
"""The schedule of 1 January is known the day before."""
_TRAINED = date(2013, 4, 1)
_APRIL = date(2013, 4, 30)
_MATURES = timedelta(days=2)
_STRETCH = timedelta(days=28)
_DAY = timedelta(days=1)


@dataclass
class Demo:
    """Types commands for one home."""

    home: Path
    approver: str
    console: Console
    laptop: Callable[[list[str]], int]
    """Runs one `laptop` command in this process."""
    took: list[float] = field(default_factory=list)
    """Seconds of each stretch so far."""

    def run(self, until: date) -> None:
        """Train and promote on January to March, then replay to a day, four weeks at a time.

        Raises:
            LaptopError: a command did not end well; what it said stands above.
        """
        start = time.monotonic()
        self._first_model(_as_of(_TRAINED))
        parts = tuple(stretches(until))
        for number, (since, end) in enumerate(parts, 1):
            left = f", about {_clock(sum(self.took) / len(self.took) * (len(parts) - number + 1))} left" \
                if self.took else ""  # fmt: skip
            self._title(f"{number} of {len(parts)}: {since:%-d %B} to {end:%-d %B}{left}")
            self._replay(since, end)
        self._end(time.monotonic() - start)

    def _first_model(self, as_of: str) -> None:
        self._title("January to March: land, ingest, train, judge")
        there = {row["target"]: row for row in self._status() if row["alias"] in {"champion", "challenger"}}
        if "prod" in there and self._whole():
            self._say("skipped landing and ingestion: every table of prod is there")
        else:
            self._land(_FIRST_FILE, _TRAINED - _DAY, as_of)
        if not self._there("training", there.get("dev")):
            self._job("training", "dev", as_of=as_of)
        for target in ("staging", "prod"):
            self._title(f"Promote that very version to {target}")
            if not self._there("promotion", there.get(target)):
                self._mlops("promote", "--target", target, "-p", f"as_of={as_of}")
        self._approve(self._status("prod"))

    def _replay(self, since: date, end: date) -> None:
        """Land, ingest, score, wait for the labels, monitor: unless that has been done."""
        as_of, begin = _as_of(end + _MATURES + _DAY), time.monotonic()
        decided = self._rows("decisions", as_of)
        due = any(row["fired"] for row in decided)
        if decided and self._whole() and (not due or self._retrained(as_of)):
            self._say(f"skipped: judged before, as of {as_of}")
            return
        self._land(since, end + _MATURES, as_of)
        self._job("inference", "prod", as_of=as_of)
        self._job("monitoring", "prod", as_of=as_of)
        fired = [row["rule"] for row in self._rows("decisions", as_of) if row["fired"]]
        if fired:
            self._approve(self._status("prod"))
        self.took.append(time.monotonic() - begin)
        self._happened(as_of, fired)

    def _whole(self) -> bool:
        """Whether no table of prod is missing."""
        feeds = {row["source"] for row in _table(self.home, "ledger")}
        return bool(feeds) and all(_folder(self.home, name) for name in (*feeds, "features", "predictions", "metrics"))

    def _retrained(self, as_of: str) -> bool:
        """Whether the registry holds a version of prod that was trained at a moment and judged."""
        return any(verdict is not None for verdict in self._trained(as_of).values())

    def _trained(self, as_of: str) -> dict[int, str | None]:
        """The versions of prod that were trained at a moment, and their verdicts."""
        from mlflow import MlflowClient

        registry = MlflowClient(f"sqlite:///{self.home / 'mlflow.db'}")
        names = {row["model"] for row in self._status("prod")}
        found = [version for name in names for version in registry.search_model_versions(f"name = '{name}'")]
        moment = datetime.fromisoformat(as_of)
        return {
            int(version.version): version.tags.get("verdict")
            for version in found
            if datetime.fromisoformat(version.tags["trained_as_of"]) == moment
        }

    def _happened(self, as_of: str, fired: Sequence[str]) -> None:
        pages = [row for row in self._rows("alerts", as_of, "last_seen") if row["severity"] == "page"]
        said = [f"{row['rule']} {row['subject']}".strip() for row in pages]
        retrained = describe_retraining(fired, self._trained(as_of), self._status("prod")) if fired else "no retraining"
        alerts = f"pages: {', '.join(said)}" if said else "no page"
        self.console.print(f"{self.took[-1]:.0f} s, {retrained}, {alerts}", style="cyan", highlight=False)

    def _land(self, since: date, until: date, as_of: str) -> None:
        self._job("sample", "prod", since=str(since), until=str(until), as_of=as_of)
        self._job("ingestion", "prod", as_of=as_of)

    def _approve(self, status: Sequence[dict[str, Any]]) -> None:
        """What the gate accepted in prod waits for a person: the approval task has failed, its run is repaired."""
        for row in status:
            if row["alias"] == "challenger":
                self._title(f"prod requires an approval: {self.approver} approves version {row['version']}")
                self._mlops("approve", str(row["version"]), "--target", "prod", "--approver", self.approver)

    def _there(self, step: str, row: dict[str, Any] | None) -> bool:
        if row:
            self._say(f"skipped {step}: in {row['target']}, version {row['version']} is {row['alias']} already")
        return row is not None

    def _say(self, text: str) -> None:
        self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def _job(self, job: str, target: str, **parameters: str) -> None:
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        arguments = ["run", job, "--target", target, *given, "--home", str(self.home)]
        self._type("laptop", arguments)
        self._must(self.laptop(arguments))

    def _mlops(self, verb: str, *arguments: str) -> None:
        words = [verb, *arguments, "--home", str(self.home)]
        self._type("mlops", words)
        self._must(_mlops(words))

    def _status(self, *targets: str) -> list[dict[str, Any]]:
        if not (self.home / "mlflow.db").exists():
            return []
        said = io.StringIO()
        chosen = [word for target in targets for word in ("--target", target)]
        with redirect_stdout(said):
            code = _mlops(["status", "--output", "json", *chosen, "--home", str(self.home)], quiet=True)
        self._must(code)
        rows: list[dict[str, Any]] = json.loads(said.getvalue())
        return rows

    def _rows(self, table: str, moment: str, column: str = "as_of") -> list[dict[str, Any]]:
        """Rows of a table of prod that were written as of a moment; read without Spark."""
        return [row for row in _table(self.home, table) if row[column] == datetime.fromisoformat(moment)]

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
        for row in self._status():
            if row["alias"] == "champion":
                versions.add_row(row["model"], str(row["version"]), row["digest"][:24], row["run"][:8])
        self.console.print(versions, _quality(self.home))
        reports = sorted(self.home.glob("artifacts/**/report.html"), key=lambda path: path.stat().st_mtime)
        self.console.print(
            f"{seconds:.0f} seconds. Look next at\n"
            f"  the year on one page:    {reports[-1] if reports else 'no report was written'}\n"
            f"  runs, models, verdicts:  uv run laptop ui --home {self.home}\n"
            f"  tables:                  {self.home}/warehouse\n"
            f"  every run of every job:  {self.home}/runs",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _quality(home: Path) -> Table:
    """The windows that monitoring has judged in prod."""
    table = Table("window in prod", "version", "rows", "AUC", "log-loss", "gap", "never retrained")
    judged = [row for row in _table(home, "metrics") if row["slice"] == "" and row["state"] == "judged"]
    for row in sorted(judged, key=lambda row: row["window_start"]):
        window = f"{row['window_start']:%Y-%m-%d} - {row['window_end'] - _DAY:%m-%d}"
        figures = (f"{row['auc']:.4f}", f"{row['log_loss']:.4f}", f"{row['calibration_gap']:+.4f}")
        never = f"AUC {row['first_auc']:.4f}, log-loss {row['first_log_loss']:.4f}"
        table.add_row(window, str(row["model_version"]), f"{row['rows']:,}", *figures, never)
    return table


def _folder(home: Path, name: str) -> Path | None:
    """Where a table of prod lies, as the bundle of the newest run names its schema; None if there is none."""
    summary = home / "summary" / "prod.json"
    if not summary.exists():
        return None
    monitoring = json.loads(summary.read_text(encoding="utf-8"))["resources"]["jobs"]["monitoring"]
    given = {parameter["name"]: parameter["default"] for parameter in monitoring["parameters"]}
    folder = home / "warehouse" / given["catalog"] / given["schema"] / name
    return folder if (folder / "_delta_log").is_dir() else None


def _table(home: Path, name: str) -> list[dict[str, Any]]:
    folder = _folder(home, name)
    if folder is None:
        return []
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    # Not to_pyarrow_table, whose threads may abort the process at its end: as `mlops.platform.tables.stored`, which the
    # laptop may not import.
    reader = QueryBuilder().register("stored", DeltaTable(str(folder))).execute("SELECT * FROM stored")
    rows: list[dict[str, Any]] = pa.table(reader.read_all()).to_pylist()
    return rows


def stretches(until: date) -> Iterator[tuple[date, date]]:
    """April first, then four weeks at a time; first and last day of each."""
    since, end = _TRAINED, min(until, _APRIL)
    while since <= end:
        yield since, end
        since, end = end + _DAY, min(until, end + _STRETCH)


def month_end(months: int) -> date:
    """Last day of so many months of the year."""
    return date(2013 + months // 12, months % 12 + 1, 1) - _DAY


def describe_retraining(
    fired: Sequence[str], trained: Mapping[int, str | None], status: Sequence[Mapping[str, Any]]
) -> str:
    """What became of a retraining, in words.

    Args:
        fired: rules that asked for it.
        trained: versions that it made, and their verdicts.
        status: rows of `mlops status`.
    """
    serves = next((f"version {row['version']} serves" for row in status if row["alias"] == "champion"), "none serves")
    why = ", ".join(fired)
    if not trained:
        return f"retraining is due ({why}) and made no version, {serves}"
    number = max(trained)
    if serves == f"version {number} serves":
        return f"retrained ({why}), {serves}"
    became = {"accepted": "accepted but not deployed", "refused": "refused"}.get(str(trained[number]), "not judged")
    return f"retrained ({why}), version {number} was {became}, {serves}"


def _as_of(day: date) -> str:
    return f"{day}T00:00:00Z"


def _clock(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


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
