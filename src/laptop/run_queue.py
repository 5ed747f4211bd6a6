"""The requests of tasks for job runs: one file each in `queue/` of a home, until the run has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laptop.home import disk_errors


@dataclass(frozen=True)
class Request:
    """One request for a run."""

    path: Path
    job_id: str
    parameters: dict[str, str]

    @property
    def name(self) -> str:
        """The file's name; a run keeps it, so that a request whose run was killed is not run a second time."""
        return self.path.name

    def finish(self) -> None:
        """Remove the request from the queue."""
        with disk_errors(self.path):
            self.path.unlink()

    def refuse(self) -> Path:
        """Rename the request so that nothing runs it, and return its path."""
        with disk_errors(self.path):
            return self.path.rename(self.path.with_suffix(".refused"))


def read_requests(home: Path) -> Iterator[Request]:
    """The requests that wait, oldest first."""
    for path in sorted(home.glob("queue/*.json")):
        document = json.loads(path.read_text())
        yield Request(path, str(document["job_id"]), dict(document["job_parameters"]))
