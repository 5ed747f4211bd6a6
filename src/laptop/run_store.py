"""Job runs of a home with parameters and results: one JSON file and one log per run, in `runs/`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args

from laptop.home import LaptopError, disk_errors, write_atomically

State = Literal[
    "PENDING", "RUNNING",
    "SUCCESS", "EXCLUDED", "SUCCESS_WITH_FAILURES",
    "FAILED", "TIMEDOUT", "CANCELED", "UPSTREAM_FAILED", "UPSTREAM_CANCELED",
]  # fmt: skip
"""Two states before the end, and the platform's result states. Only a job can be SUCCESS_WITH_FAILURES."""
GOOD: tuple[State, ...] = get_args(State)[2:5]
_WAITING = "ApprovalPending"
"""Class of the error of a task that a person has to let through. The platform calls such a task failed, and so does its
record here, which references and repairs read; a person reads that it waits."""
_writing = Lock()


def format_time(time: datetime) -> str:
    """Format a time, UTC, as in 2026-11-24T08:30:00.000Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current_time() -> str:
    """Return the current time as text, see `format_time`."""
    return format_time(datetime.now(UTC))


@dataclass
class TaskRun:
    """One task of one job run, or one iteration of a for_each_task."""

    key: str
    run_id: str
    state: State = "PENDING"
    start: str = ""
    """Start of the last attempt, UTC; "" before it starts."""
    duration: float = 0.0
    """Duration of all attempts, seconds."""
    attempts: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    """Task values."""
    outcome: str = ""
    """Outcome of a condition_task: "true" or "false"."""
    error: dict[str, str] | None = None
    """Error of the last attempt: `type` and `message`."""
    output: str = ""
    """Argument of the notebook's `dbutils.notebook.exit`."""
    child: str = ""
    """Id of the job run that a run_job_task started."""
    iterations: list[TaskRun] = field(default_factory=list)

    @property
    def is_waiting(self) -> bool:
        """Whether it failed because a person has to decide first."""
        return self.state == "FAILED" and self.error is not None and self.error["type"] == _WAITING


@dataclass
class Run:
    """One run of a job, with its repairs."""

    run_id: str
    job: str
    """Key of the job in the bundle."""
    name: str
    job_id: str
    target: str
    trigger: Literal["onetime", "run_job_task"]
    identity: str
    start: str
    """UTC."""
    parameters: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, TaskRun] = field(default_factory=dict)
    state: State = "RUNNING"
    duration: float = 0.0
    """Duration of the run or of its last repair, seconds."""
    repair_count: int = 0
    pid: int = field(default_factory=os.getpid)
    """Process id that runs it, or ran it last."""
    request: str = ""
    """Name of the queue's file that requested it; the file stays until the run has ended."""

    def display_state(self, task: TaskRun | None = None) -> str:
        """The state of the run, or of one of its tasks, in the word that a person reads.

        WAITING: nothing went wrong, a person has to decide first. Of the tasks after it, UPSTREAM_WAITING.
        """
        state = task.state if task else self.state
        if task and task.is_waiting:
            return "WAITING"
        stopped = [other for other in self.tasks.values() if other.state in {"FAILED", "TIMEDOUT", "CANCELED"}]
        if state not in {"FAILED", "UPSTREAM_FAILED"} or not stopped or not all(other.is_waiting for other in stopped):
            return state
        return state.replace("FAILED", "WAITING")


@dataclass(frozen=True)
class RunStore:
    """The runs of one home."""

    folder: Path
    active: set[str] = field(default_factory=set)
    """Ids of the runs that this process runs now."""

    def next_id(self) -> str:
        """Reserve a run id: digits, higher than every other of this home."""
        with _writing, disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            number = max((int(log.stem) for log in self.folder.glob("*.log")), default=0) + 1
            self.log_path(str(number)).touch(exist_ok=False)
        return str(number)

    def log_path(self, run_id: str) -> Path:
        """Return the file for the logs and prints of a run's tasks."""
        return self.folder / f"{run_id}.log"

    def save_run(self, run: Run) -> None:
        """Write the run's file atomically; called at every change of state."""
        with _writing:
            write_atomically(self.folder / f"{run.run_id}.json", json.dumps(asdict(run), indent=2))

    def list_runs(self) -> Iterator[Run]:
        """Yield every run, newest first. A run whose process was killed is saved as canceled."""
        for path in sorted(self.folder.glob("*.json"), key=lambda path: -int(path.stem)):
            run = _read(path)
            gone = run.run_id not in self.active if run.pid == os.getpid() else not _is_alive(run.pid)
            if run.state == "RUNNING" and gone:
                _cancel_run(run)
                self.save_run(run)
            yield run

    def latest_run(self, job: str, target: str, given: Mapping[str, str]) -> Run | None:
        """Find the newest run of a job in a target that had the given parameters; None if there is none."""
        of_job = (run for run in self.list_runs() if (run.job, run.target) == (job, target))
        return next((run for run in of_job if given.items() <= run.parameters.items()), None)

    def of_request(self, request: str) -> Run | None:
        """Find the run that was started for a request of the queue; None if there is none."""
        return next((run for run in self.list_runs() if run.request == request), None)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _cancel_run(run: Run) -> None:
    """Mark a run whose process has ended as canceled."""
    run.state = "CANCELED"
    for task in run.tasks.values():
        if task.state == "RUNNING":
            task.state, task.error = "CANCELED", {"type": "Killed", "message": f"process {run.pid} is gone"}
        elif task.state == "PENDING":
            task.state = "UPSTREAM_CANCELED"


def _read(path: Path) -> Run:
    try:
        document = json.loads(path.read_text())
        return Run(**{**document, "tasks": {key: _to_task(task) for key, task in document["tasks"].items()}})
    except (ValueError, TypeError, KeyError) as error:
        raise LaptopError(f"{path} is no run of this version of laptop ({error}); remove it") from None


def _to_task(document: Mapping[str, Any]) -> TaskRun:
    return TaskRun(**{**document, "iterations": [_to_task(iteration) for iteration in document["iterations"]]})
