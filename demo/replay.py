"""Replays a use case's sample through the commands that a person would type, and prints each before it runs it.

`laptop demo` starts it, since laptop.yml names it. It keeps no state of its own: a second run reads tables, registry
and the table `decisions` to see which steps are done, and skips them.

The days come from `UseCase.replay` of the installed use case.
"""

from __future__ import annotations

import io
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import laptop.cli
import mlops_cli.cli
from demo.ingested import is_ingested
from laptop import class_archive
from laptop.home import LaptopError
from laptop.includes import find_root
from mlops.context import load_use_case
from mlops.contract import Replay, UseCase
from mlops.questions import question_of
from mlops.release.version_record import ShownTags, TrainingRun
from mlops_cli.bundle_cli import load_deployed
from mlops_cli.home_tables import read_rows

_DAY = timedelta(days=1)


@dataclass
class Demo:
    """Runs the commands for one home."""

    home: Path
    replay: Replay
    matures: timedelta
    """Whole days after which labels are expected."""
    approver: str
    console: Console
    use_case: UseCase
    window_seconds: list[float] = field(default_factory=list)
    """Seconds of each window so far."""

    def run(self, until: date) -> None:
        """Train and promote on the first days, then replay window by window to a day.

        Raises:
            LaptopError: a command failed; its message stands above.
        """
        start = time.monotonic()
        self._train_first_model(_as_of(self.replay.trained))
        windows = tuple(self.replay.list_windows(until))
        for number, (since, end) in enumerate(windows, 1):
            remaining = len(windows) - number + 1
            seconds = self.window_seconds
            left = f", about {_format_seconds(sum(seconds) / len(seconds) * remaining)} left" if seconds else ""
            self._print_title(f"{number} of {len(windows)}: {since:%-d %B} to {end:%-d %B}{left}")
            self._replay_window(since, end)
        self._print_summary(time.monotonic() - start, until)

    def _train_first_model(self, as_of: str) -> None:
        days = f"{self.replay.first_file:%-d %B %Y} to {self.replay.trained - _DAY:%-d %B %Y}"
        self._print_title(f"{days}: land, ingest, train, validate")
        versions = {
            row["target"]: row for row in self._read_status() if row["alias"] in {"champion", "challenger"}
        }  # fmt: skip
        if "prod" in versions and self._has_all_tables():
            self._print_note("skipped landing and ingestion: every table of prod is there")
        else:
            self._ingest(self.replay.first_file, self.replay.trained - _DAY, as_of)
        if not self._is_done("training", self._find_champion("dev")):
            self._run_job("training", "dev", as_of=as_of)
            if not self._find_champion("dev"):
                raise LaptopError(
                    "the demo stops here: the gate refused the version, and its rules stand above; change the model or "
                    "the limits of the policy, and run the demo again"
                )
        for target in ("staging", "prod"):
            self._print_title(f"Promote that very version to {target}")
            if not self._is_done("promotion", versions.get(target)):
                self._run_mlops("promote", "--target", target, "-p", f"as_of={as_of}")
        self._approve_challenger()

    def _replay_window(self, since: date, end: date) -> None:
        """Land, ingest, score, wait for the labels and monitor, unless an earlier run did."""
        as_of, start = _as_of(end + self.matures + _DAY), time.monotonic()
        decisions = self._read_rows("decisions", as_of)
        is_due = any(row["fired"] for row in decisions)
        if decisions and self._has_all_tables() and (not is_due or any(self._read_verdicts(as_of).values())):
            self._print_note(f"skipped: evaluated before, as of {as_of}")
            return
        self._ingest(since, end + self.matures, as_of)
        self._run_job("inference", "prod", as_of=as_of)
        self._run_job("monitoring", "prod", as_of=as_of)
        fired = [row["rule"] for row in self._read_rows("decisions", as_of) if row["fired"]]
        if fired:
            self._approve_challenger()
        self.window_seconds.append(time.monotonic() - start)
        self._print_outcome(as_of, fired)

    def _ingest(self, since: date, until: date, as_of: str) -> None:
        self._run_job("sample", "prod", since=str(since), until=str(until), as_of=as_of)
        landing = load_deployed("prod", self.home).parameter_default("ingestion", "landing")
        if is_ingested(self.home, self.use_case, _find_schema(self.home), landing, as_of):
            self._print_note(f"skipped ingestion: every landed file is in the tables, and features are as of {as_of}")
        else:
            self._run_job("ingestion", "prod", as_of=as_of)

    def _approve_challenger(self) -> None:
        """Approve what the gate accepted in prod: its approval task has failed, the command repairs the run."""
        for row in self._read_status("prod"):
            if row["alias"] == "challenger":
                self._print_title(f"prod requires an approval: {self.approver} approves version {row['version']}")
                self._run_mlops("approve", str(row["version"]), "--target", "prod", "--approver", self.approver)

    def _has_all_tables(self) -> bool:
        """Whether no table of prod is missing."""
        sources = {row["source"] for row in self._read_table("ledger")}
        names = (f"{self.use_case.table_prefix}{name}" for name in (*sources, "features", "predictions", "metrics"))
        folder = self.home.joinpath("warehouse", *_find_schema(self.home))
        return bool(sources) and all((folder / name / "_delta_log").is_dir() for name in names)

    def _read_verdicts(self, as_of: str) -> dict[int, str | None]:
        """The versions of prod that were trained as of a moment, and their verdicts; None: not validated."""
        from mlops.platform.registry import Registry

        registry, moment = Registry(self.home), datetime.fromisoformat(as_of)
        return {
            version.number: ShownTags.of(version).verdict or None
            for version in registry.list_versions(load_deployed("prod", self.home).model)
            if TrainingRun.parse(registry.read_run_tags(version.run_id)).trained_as_of == moment
        }

    def _is_done(self, step: str, version: dict[str, Any] | None) -> bool:
        if version:
            state = f"in {version['target']}, version {version['version']} is {version['alias']} already"
            self._print_note(f"skipped {step}: {state}")
        return version is not None

    def _run_job(self, job: str, target: str, **parameters: str) -> None:
        options = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        words = ["run", job, "--target", target, *options, "--home", str(self.home)]
        self._print_command("laptop", words)
        _check_exit_code(laptop.cli.run_args(words))

    def _run_mlops(self, verb: str, *arguments: str) -> None:
        words = [verb, *arguments, "--home", str(self.home)]
        self._print_command("mlops", words)
        _check_exit_code(mlops_cli.cli.run_args(words))

    def _read_status(self, *targets: str) -> list[dict[str, Any]]:
        """Rows of `mlops status`; none before the first job."""
        if not (self.home / "mlflow.db").exists():
            return []
        screen = io.StringIO()
        options = [word for target in targets for word in ("--target", target)]
        with redirect_stdout(screen), redirect_stderr(io.StringIO()):
            code = mlops_cli.cli.run_args(["status", "--output", "json", *options, "--home", str(self.home)])
        _check_exit_code(code)
        rows: list[dict[str, Any]] = json.loads(screen.getvalue())
        return rows

    def _find_champion(self, target: str) -> dict[str, Any] | None:
        return next((row for row in self._read_status(target) if row["alias"] == "champion"), None)

    def _read_table(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table of prod; none before the first job."""
        if not (self.home / "summary" / "prod.json").exists():
            return []
        return read_rows(self.home, *_find_schema(self.home), f"{self.use_case.table_prefix}{table}")

    def _read_rows(self, table: str, moment: str, column: str = "as_of") -> list[dict[str, Any]]:
        """Rows of a table of prod that were written as of a moment."""
        return [row for row in self._read_table(table) if row[column] == datetime.fromisoformat(moment)]

    def _print_outcome(self, as_of: str, fired: Sequence[str]) -> None:
        pages = [row for row in self._read_rows("alerts", as_of, "last_seen") if row["severity"] == "page"]
        subjects = ", ".join(f"{row['rule']} {row['subject']}".strip() for row in pages)
        retraining = (
            describe_retraining(fired, self._read_verdicts(as_of), self._read_status("prod"))
            if fired
            else "no retraining"
        )
        alerts = f"pages: {subjects}" if subjects else "no page"
        self.console.print(f"{self.window_seconds[-1]:.0f} s, {retraining}, {alerts}", style="cyan", highlight=False)

    def _print_note(self, text: str) -> None:
        self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def _print_title(self, text: str) -> None:
        self.console.rule(f"[bold]{text}", align="left")

    def _print_command(self, command: str, words: list[str]) -> None:
        text = f"$ {shlex.join([command, *words])}"
        self.console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)

    def _print_summary(self, seconds: float, until: date) -> None:
        self._print_title("Where things stand")
        print_champions(self.console, self._read_status())
        self.console.print(_make_quality_table(self._read_table("metrics")))
        reports = sorted(self.home.glob("artifacts/**/report.html"), key=lambda path: path.stat().st_mtime)
        lines = [
            f"{seconds:.0f} seconds. Look next at",
            f"  the model on one page:   {reports[-1] if reports else 'no report was written'}",
            f"  runs, models, verdicts:  uv run laptop ui --home {self.home}",
            f"  tables:                  {self.home}/warehouse",
            f"  every run of every job:  {self.home}/runs",
        ]
        if until < self.replay.last_day:
            home = "" if self.home == _default_home() else f" --home {self.home}"
            rest = f"uv run laptop demo --until {self.replay.last_day}{home}{self._estimate_rest(until)}"
            lines.append(f"  the days after it:       {rest}")
        self.console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        if note := class_archive.make_in_background():
            self._print_note(note)

    def _estimate_rest(self, until: date) -> str:
        """How long the windows after a day will take, in words; empty if no window was replayed."""
        done, whole = (len(tuple(self.replay.list_windows(day))) for day in (until, self.replay.last_day))
        seconds = self.window_seconds
        return f"  (about {_format_seconds(sum(seconds) / len(seconds) * (whole - done))})" if seconds else ""


def _find_schema(home: Path) -> tuple[str, str]:
    """Catalog and schema of prod, as the bundle of the newest run names them."""
    bundle = load_deployed("prod", home)
    return bundle.parameter_default("monitoring", "catalog"), bundle.parameter_default("monitoring", "schema")


def print_champions(console: Console, status: Sequence[Mapping[str, Any]]) -> None:
    """Print a line per champion: rows of `mlops status`. A table would cut long names where the screen is narrow."""
    for row in status:
        if row["alias"] == "champion":
            text = f"champion {row['model']} version {row['version']}, artifact digest {row['digest'][:12]}"
            console.print(f"{text}, run {row['run'][:8]}", markup=False, highlight=False, soft_wrap=True)


def _make_quality_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """The windows that monitoring has evaluated in prod."""
    names = question_of(load_use_case().label).names
    figures = (names.ranking_words, names.loss_words, names.gap_words)
    table = Table("window in prod", "version", "rows", *figures, "never retrained")
    evaluated = [row for row in metrics if row["slice"] == "" and row["state"] == "judged"]
    for row in sorted(evaluated, key=lambda row: row["window_start"]):
        window = f"{row['window_start']:%Y-%m-%d} - {row['window_end'] - _DAY:%m-%d}"
        values = (f"{row[names.ranking]:.4f}", f"{row[names.loss]:.4f}", f"{row[names.gap]:+.4f}")
        ranking, loss = (row[f"baseline_{figure}"] for figure in (names.ranking, names.loss))
        # Predictions of a single day are not compared.
        known = ranking is not None and loss is not None
        baseline = f"{names.ranking_words} {ranking:.4f}, {names.loss_words} {loss:.4f}" if known else "not compared"
        table.add_row(window, str(row["model_version"]), f"{row['rows']:,}", *values, baseline)
    return table


def describe_retraining(
    fired: Sequence[str], verdicts: Mapping[int, str | None], status: Sequence[Mapping[str, Any]]
) -> str:
    """Say what became of a retraining.

    Args:
        fired: rules that asked for it.
        verdicts: of the versions that it made; None: not validated.
        status: rows of `mlops status`.
    """
    champion = next((f"version {row['version']} serves" for row in status if row["alias"] == "champion"), "none serves")
    rules = ", ".join(fired)
    if not verdicts:
        return f"retraining is due ({rules}) and made no version, {champion}"
    number = max(verdicts)
    if champion == f"version {number} serves":
        return f"retrained ({rules}), {champion}"
    outcome = {"accepted": "accepted but not deployed", "refused": "refused"}.get(str(verdicts[number]), "not judged")
    return f"retrained ({rules}), version {number} was {outcome}, {champion}"


def _as_of(day: date) -> str:
    return f"{day}T00:00:00Z"


def _format_seconds(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def _check_exit_code(code: int) -> None:
    if code:
        raise LaptopError("the demo stops here: the command above failed; mend what it says and run the demo again")


def _default_home() -> Path:
    return (find_root(Path.cwd()) or Path.cwd()) / ".laptop"


@click.command(epilog="Example: laptop demo --home /tmp/loop --until 2013-06-30")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Last day to replay.  [default: `default_end` of the use case's replay]",
)
@click.option("--approver", default="release-manager", show_default=True, help="Who approves in prod.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder that holds all state.  [default: .laptop beside databricks.yml]",
)
def replay(until: datetime | None, approver: str, home: Path | None) -> None:
    """Train on the first days, then replay the days after them.

    It lands and ingests files, trains, promotes to prod, then scores, monitors and retrains window by window.
    """
    use_case = load_use_case()
    days = find_days(use_case)
    last = until.date() if until else days.default_end
    if not days.trained <= last <= days.last_day:
        raise LaptopError(
            f"--until is {last}; the use case {use_case.name!r} can be replayed from {days.trained} to {days.last_day}"
        )
    matures = -(-use_case.policy.maturity // _DAY) * _DAY  # whole days, rounded up
    Demo((home or _default_home()).resolve(), days, matures, approver, Console(), use_case).run(last)


def find_days(use_case: UseCase) -> Replay:
    """Days that the use case declares for its sample.

    Raises:
        LaptopError: it declares none.
    """
    if use_case.replay is None:
        raise LaptopError(
            f"the use case {use_case.name!r} declares no days to replay: write `replay=Replay(...)` in its UseCase, "
            "and a `sample` that makes the files of these days"
        )
    return use_case.replay


def main(arguments: Sequence[str]) -> int:
    """Run the demo for `laptop demo`; returns the exit code.

    Raises:
        click.ClickException: an argument is wrong, or a command failed.
    """
    return int(replay.main(list(arguments), prog_name="laptop demo", standalone_mode=False) or 0)
