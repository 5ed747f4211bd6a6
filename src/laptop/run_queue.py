"""Requests of tasks for job runs: one file each in `queue/` of a home, until the run has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from laptop import task_states
from laptop.bundle import Bundle, all_job_ids
from laptop.home import disk_errors


@dataclass(frozen=True)
class Request:
    """One request for a run."""

    path: Path
    job_id: str
    """Id of the job; empty if the file is no request."""
    parameters: dict[str, str]

    @property
    def name(self) -> str:
        """The file's name. A run records it, so that a request whose run was killed does not start a second run."""
        return self.path.name

    def finish(self) -> None:
        """Remove the request from the queue."""
        with disk_errors(self.path):
            self.path.unlink()

    def refuse(self) -> Path:
        """Rename the request so that nothing runs it, and return its path."""
        with disk_errors(self.path):
            return self.path.rename(self.path.with_suffix(".refused"))


def next_request(home: Path, bundle: Bundle, say: Callable[[str], None], left: set[str]) -> Request | None:
    """Return the oldest request for a job of the bundle's target; None if there is none.

    A request for a job of another target stays; it is reported once and added to `left`. One that no target can run is
    set aside.
    """
    for request in _read_requests(home):
        if task_states.job_of(bundle, request.job_id):
            return request
        if request.name in left:
            continue
        left.add(request.name)
        if known := all_job_ids(bundle.root).get(request.job_id):
            job, target = known
            say(
                f"job {job!r} of target {target!r} was asked for, and this command runs target {bundle.target!r}: the "
                f"next command with -t {target} runs it ({request.path})"
            )
        else:
            wish = f"asks for job {request.job_id}, which no target has" if request.job_id else "cannot be read"
            say(f"{request.path} {wish}; it is set aside as {request.refuse()}")
    return None


def _read_requests(home: Path) -> Iterator[Request]:
    for path in sorted(home.glob("queue/*.json")):
        try:
            document = json.loads(path.read_text())
            yield Request(path, str(document["job_id"]), dict(document["job_parameters"]))
        except (ValueError, KeyError, TypeError):
            yield Request(path, "", {})
