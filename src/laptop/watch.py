"""The command `laptop watch`, which starts a job when a file arrives in the folder of its trigger.

On the platform, `trigger.file_arrival` of a job does so. A laptop sees a volume as a folder of the home.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from laptop.completion import complete_target
from laptop.home import LaptopError

if TYPE_CHECKING:
    from laptop.bundle import Bundle

_SECOND = 1.0


@dataclass
class FileTrigger:
    """A job's trigger on the files of one folder."""

    job: str
    folder: Path
    wait: float = 0
    """Time without a new file after which the job starts, seconds."""
    pause: float = 0
    """Shortest time between two starts, seconds."""
    known: set[str] = field(default_factory=set)
    """The files at the last check."""
    _pending: bool = False
    _changed: float = 0
    _fired: float = float("-inf")

    def is_due(self, files: set[str], now: float) -> bool:
        """Record the current files; returns True if the job must start now, and records the start."""
        if files - self.known:
            self._pending, self._changed = True, now
        self.known = files
        due = self._pending and now - self._changed >= self.wait and now - self._fired >= self.pause
        if due:
            self._pending, self._fired = False, now
        return due

    def list_files(self) -> set[str]:
        """List the files in the folder and below it; hidden ones are still being written."""
        if not self.folder.is_dir():
            return set()
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return {str(path) for path in paths if not any(part.startswith(".") for part in path.parts)}


def find_file_triggers(bundle: Bundle, home: Path) -> list[FileTrigger]:
    """Find the jobs that a file starts, paused or not, with the files that are there already.

    Raises:
        LaptopError: there is no such job, or its trigger looks at a place that a laptop does not have.
    """
    triggers = []
    for job, body in bundle.jobs.items():
        if arrival := body.get("trigger", {}).get("file_arrival"):
            place = PurePosixPath(arrival["url"].removeprefix("dbfs:"))
            if place.parts[:2] != ("/", "Volumes") or len(place.parts) < 5 or ".." in place.parts:
                raise LaptopError(
                    f"the trigger of job {job!r} looks at {arrival['url']!r}, which a laptop does not have: "
                    "let it look at a volume, /Volumes/CATALOG/SCHEMA/VOLUME/"
                )
            folder = home / "Volumes" / place.relative_to("/Volumes")
            wait = float(arrival.get("wait_after_last_change_seconds", 0))
            pause = float(arrival.get("min_time_between_triggers_seconds", 0))
            trigger = FileTrigger(job, folder, wait, pause)
            trigger.known = trigger.list_files()
            triggers.append(trigger)
    if not triggers:
        raise LaptopError(
            f"no job of target {bundle.target!r} starts when a file arrives: give one trigger.file_arrival.url"
        )
    return triggers


def wait_for_files(
    triggers: Sequence[FileTrigger], clock: Callable[[], float], sleep: Callable[[float], bool]
) -> Iterator[str]:
    """Yield the job of each trigger that is due, in the order of the triggers, until `sleep` returns True.

    A file that arrives while a job runs is new at the next check.
    """
    while True:
        for trigger in triggers:
            if trigger.is_due(trigger.list_files(), clock()):
                yield trigger.job
        if sleep(_SECOND):
            return


@click.command(
    epilog="""\b
Example: laptop watch -t prod

\b
Exit codes: 2 unknown target, no such job, or a broken bundle;
130, 143 ended (Ctrl-C, SIGTERM)."""
)
@click.option("-t", "--target", required=True, shell_complete=complete_target, help="Target of the bundle.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder that holds all state.  [default: .laptop beside databricks.yml]")  # fmt: skip
def watch(target: str, home: Path | None) -> int:
    """Start a job when a file arrives where it looks.

    Watches the volumes that trigger.file_arrival of the target's jobs names, paused triggers too, until Ctrl-C. What a
    run's tasks ask for runs after it. Triggers on tables start nothing here.
    """
    from laptop import cli, runtime, spark
    from laptop.console import Console
    from laptop.runner import Runner
    from laptop.signals import handle_signals

    runtime.install_runtime()
    with cli.bundle_errors():
        show = Console(sys.stdout)
        runner = Runner(cli.load_checked(target), cli.open_home(home), show, spark=spark)
        with runner.home.hold(show.print_line):  # creates the home, into which tasks of other commands write
            cli.write_summaries(runner.home)
        triggers = find_file_triggers(runner.bundle, runner.home.path)
        for trigger in triggers:
            runner.check_request(trigger.job, {})
            show.print_line(f"job {trigger.job} starts when a file arrives in {trigger.folder}; Ctrl-C ends this")
        with handle_signals(runner.cancelled) as received:
            for job in wait_for_files(triggers, time.monotonic, runner.cancelled.wait):
                # Locked only during the run, so that other commands can use the home between runs.
                with runner.home.hold(show.print_line), show.capture_output():
                    runner.run_job(job, {})
                    list(runner.work_off_queue())
    return 128 + received[0]
