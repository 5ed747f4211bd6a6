"""Shows running jobs as a live tree on a terminal, else as lines. All other output goes to the run's log."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from laptop import runtime
from laptop.home import disk_errors
from laptop.run_store import Run, TaskRun
from laptop.text import printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text
    from rich.tree import Tree

_STYLES = {
    "SUCCESS": "green", "RUNNING": "cyan", "WAITING": "yellow", "FAILED": "red", "TIMEDOUT": "red", "CANCELED": "red",
}  # fmt: skip


class Console:
    """Reports runs to a stream; the tree is live if the stream is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live: Live | None = None
        self._runs: dict[str, Run] = {}
        self._logs: list[Path] = []
        self._last: dict[str, str] = {}

    @contextmanager
    def capture_output(self) -> Iterator[None]:
        """Send what tasks print and log to the log of the run; their own `mlops` lines are shown as well."""
        root, streams = logging.getLogger(), (sys.stdout, sys.stderr)
        handler, level = _Handler(self), root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        stream = _Stream(self)
        sys.stdout = sys.stderr = stream
        try:
            yield
        finally:
            stream.log = None
            sys.stdout, sys.stderr = streams
            root.setLevel(level)
            root.removeHandler(handler)

    def print_line(self, text: str) -> None:
        """Print one line, above the tree if there is one."""
        text = printable(text)
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._out, flush=True)

    def append_log(self, text: str) -> None:
        """Append to the log of the run that started last."""
        if self._logs:
            with disk_errors(self._logs[-1]), self._logs[-1].open("a") as file:
                file.write(text)

    def show_task_line(self, text: str) -> None:
        """Show a log line of the task that runs in this thread."""
        current = runtime.current.get()
        if current and self._live:
            self._last[current.task.run_id] = text
        else:
            self.print_line(f"    {text}")

    def start_run(self, run: Run, log: Path) -> None:
        """Show that a run or a repair has started."""
        self._runs[run.run_id] = run
        self._logs.append(log)
        if self._out.isatty() and not self._live:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._out)
            render = lambda: self._render_tree(run)  # noqa: E731
            self._live = Live(console=console, get_renderable=render, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        elif not self._live:
            self.print_line(_run_title(run))

    def update_task(self, run: Run, task: TaskRun) -> None:
        """Show the new state of a task."""
        if not self._live:
            self.print_line(f"  {_task_line(run, task)}")

    def end_run(self, run: Run) -> None:
        """Show that a run has ended."""
        self._logs.pop()
        if self._live and len(self._logs) == 0:
            self._live.stop()
            self._live = None
        if not self._live:
            self.print_line(f"{_run_title(run)}: {run.display_state()} in {run.duration:.1f} s")

    def _render_tree(self, run: Run) -> Tree:
        from rich.tree import Tree

        tree = Tree(_run_title(run))
        for task in run.tasks.values():
            branch = tree.add(self._render_task(run, task))
            for iteration in task.iterations:
                branch.add(self._render_task(run, iteration))
            if task.child in self._runs:
                branch.add(self._render_tree(self._runs[task.child]))
        return tree

    def _render_task(self, run: Run, task: TaskRun) -> Text:
        from rich.text import Text

        last = self._last.get(task.run_id, "") if task.state == "RUNNING" else ""
        words = printable(_task_line(run, task))
        return Text.assemble((words, _STYLES.get(run.display_state(task), "dim")), "  ", (printable(last), "dim"))


class _Handler(logging.Handler):
    def __init__(self, show: Console) -> None:
        super().__init__()
        self._show = show
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._show.append_log(self.format(record) + "\n")
        if record.name.partition(".")[0] == "mlops":
            self._show.show_task_line(record.getMessage())


class _Stream(io.TextIOBase):
    """Replaces stdout and stderr. A library may keep it, so afterwards it writes to the real stderr."""

    def __init__(self, show: Console) -> None:
        self.log: Console | None = show

    def write(self, text: str) -> int:
        if self.log:
            self.log.append_log(text)
        elif sys.__stderr__:
            sys.__stderr__.write(text)
        return len(text)


def _run_title(run: Run) -> str:
    repair = f", repair {run.repair_count}" if run.repair_count else ""
    return f"{run.job} in {run.target}, run {run.run_id}{repair}"


def _task_line(run: Run, task: TaskRun) -> str:
    seconds = task.duration
    if task.state == "RUNNING":
        seconds += (datetime.now(UTC) - datetime.fromisoformat(task.start)).total_seconds()
    words = [f"{task.key:16} {run.display_state(task):15}", f"{seconds:6.1f} s" if seconds > 0.05 else ""]
    words += [task.outcome] if task.outcome else []
    words += [f"attempt {task.attempts}"] if task.attempts > 1 else []
    if task.error:
        words += [task.error["message"] if task.is_waiting else f"{task.error['type']}: {task.error['message']}"]
    return " ".join(words).rstrip()
