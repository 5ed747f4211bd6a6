"""The command `laptop`, which checks the bundle and runs its jobs on this machine.

Exit codes: 0 success; 1 a task failed; 2 the arguments or the bundle are invalid; 130 and 143 interrupted by Ctrl-C and
by SIGTERM.
"""

from __future__ import annotations

import errno
import importlib
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from laptop import warm_up
from laptop.completion import complete_job, complete_target
from laptop.engine import Engine
from laptop.home import Home, LaptopError, set_environment
from laptop.watch import watch

if TYPE_CHECKING:
    from laptop.bundle import Bundle
    from laptop.settings import LaptopSettings


def _epilog(example: str) -> str:
    return f"""\b
Example: {example}

\b
Exit codes: 0 all went well; 1 a task failed; 2 unknown target, job or
parameter, or a broken bundle; 130, 143 interrupted (Ctrl-C, SIGTERM)."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Errors of a full or read-only disk."""
_home = click.option("--home", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                     help="Folder that holds all state.  [default: .laptop beside databricks.yml]")  # fmt: skip


class _Group(click.Group):
    """Commands return their exit code, which click itself would drop."""

    def invoke(self, ctx: click.Context) -> None:
        try:
            code = super().invoke(ctx)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise LaptopError(f"{error.filename or 'a file'} cannot be written: {error.strerror}; make room") from None
        ctx.exit(code or 0)


@click.group(cls=_Group, epilog=_epilog("laptop run training -t dev"))
@click.version_option(metadata.version("laptop"), prog_name="laptop")
def main() -> None:
    """Check the bundle and run its jobs on this machine.

    Tasks run on real Spark, Delta Lake and MLflow.
    """


def run_args(args: Sequence[str]) -> int:
    """Run one command in this process and return its exit code; all commands share the one Spark of the process."""
    try:
        return int(main.main(list(args), prog_name="laptop", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code


@main.command(epilog=_epilog("laptop validate -t prod"))
@click.option(
    "-t", "--target", "targets", multiple=True, shell_complete=complete_target, help="Only this target; may repeat."
)
@click.option(
    "--schema",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="What `databricks bundle schema` printed; checks the bundle against it, too.",
)
@click.option("--write-plans", is_flag=True, help="Write each target's resolved plan into tests/bundle/golden/.")
@click.option("--output", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True)
def validate(targets: tuple[str, ...], schema: Path | None, *, write_plans: bool, output: str) -> int:
    """List every problem of the bundle, with file and line."""
    from laptop.code_check import start_check
    from laptop.golden_plans import write_golden_plans
    from laptop.lint import lint_bundle
    from laptop.lint.sarif import to_sarif

    with bundle_errors(), start_check(_find_root()) as check:  # runs in parallel with the linter
        problems = lint_bundle(_find_root(), targets or None, schema)
        problems += tuple(check.find_problems()) if check else ()
        if write_plans and not problems:
            write_golden_plans(_find_root())
    if output == "sarif":
        click.echo(json.dumps(to_sarif(problems), indent=2))
    elif output == "json":
        click.echo(json.dumps([asdict(problem) for problem in problems], default=str, indent=2))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}" if problems else "no problems")
    return 2 if problems else 0


@main.command(epilog=_epilog("laptop run training -t dev -p as_of=2013-04-01"))
@click.argument("job", shell_complete=complete_job)
@click.option("-t", "--target", required=True, shell_complete=complete_target, help="Target of the bundle.")
@click.option("-p", "--param", "params", multiple=True, metavar="KEY=VALUE", help="Job parameter; may be repeated.")
@click.option(
    "--repair",
    is_flag=True,
    help="Run again what failed in the newest run that had these -p.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_home
def run(job: str, target: str, params: tuple[str, ...], *, repair: bool, output: str, home: Path | None) -> int:
    """Run JOB, then the jobs that its tasks asked for.

    The later jobs are reported and do not change the exit code, since no run waits for them on the platform.
    """
    from laptop import runtime, spark
    from laptop.console import Console
    from laptop.run_store import GOOD
    from laptop.runner import Runner
    from laptop.signals import handle_signals

    parameters = dict(_parse_pair(text) for text in params)
    runtime.install_runtime()
    with bundle_errors():
        show = Console(sys.stderr if output == "json" else sys.stdout)
        runner = Runner(load_checked(target), open_home(home), show, spark=spark)
        runner.check_request(job, parameters)
        with runner.home.hold(show.print_line), handle_signals(runner.cancelled) as received, show.capture_output():
            write_summaries(runner.home)
            first = (runner.repair_job if repair else runner.run_job)(job, parameters)
            queued = list(runner.work_off_queue())
    if output == "json":
        click.echo(json.dumps({"run": asdict(first), "queued": [asdict(later) for later in queued]}, indent=2))
    return 128 + received[0] if received else 0 if first.state in GOOD else 1


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Run the demo that laptop.yml names.

    It takes the arguments that `laptop demo --help` lists.
    """
    return _run_module("demo", arguments)


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> int:
    """Run the scoring server that laptop.yml names.

    It takes the arguments that `laptop serve --help` lists.
    """
    return _run_module("serve", arguments)


def _run_module(key: str, arguments: Sequence[str]) -> int:
    """Call main(arguments) of the module that a key of laptop.yml names; returns its exit code."""
    root = _find_root()
    name = _read_settings(root).module(key)
    if not name:
        raise LaptopError(
            f"laptop.yml names no {key}; write `{key}: package.module`, a module with main(arguments) -> int"
        )
    sys.path.insert(0, str(root))  # the module belongs to the bundle's checkout and is not installed
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise LaptopError(f"laptop.yml names the {key} {name}, and {error} in {root}; correct `{key}:`") from None
    return int(module.main(arguments))


@main.command(epilog=_epilog("laptop notebook notebooks/monitor.py -t prod"))
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-t", "--target", required=True, shell_complete=complete_target,
    help="Target of the bundle, whose tables and models it reads.",
)  # fmt: skip
@click.option("-p", "--param", "params", multiple=True, metavar="KEY=VALUE", help="Widget's value; may be repeated.")
@_home
def notebook(file: Path, target: str, params: tuple[str, ...], home: Path | None) -> None:
    """Run the notebook FILE from top to bottom.

    Its widgets get the values of the target's job parameters.
    """
    from laptop import notebook, spark

    place = open_home(home)
    with bundle_errors():
        jobs = load_checked(target).jobs.values()
    known = {p["name"]: p["default"] for job in jobs for p in job.get("parameters", ()) if "{{" not in p["default"]}
    with place.hold(click.echo), set_environment(MPLBACKEND="Agg"):
        spark.start_server(place.path, click.echo)
        widgets = notebook.Widgets({**known, **dict(map(_parse_pair, params))}, person=True)
        session = spark.get_session()
        notebook.run_notebook(file, widgets, place.path / "notebooks", session=session, skip_pip=True)


@main.command(epilog=_epilog("laptop ui --port 5001"))
@click.option("--port", default=5000, show_default=True)
@_home
def ui(port: int, home: Path | None) -> int:
    """Serve the home's runs, reports and MLflow until Ctrl-C.

    Only this machine can reach them. On a terminal a browser opens the index page.
    """
    from laptop.web import serve_home

    return serve_home(open_home(home), port)


@main.command(epilog=_epilog("laptop docs --port 8001"))
@click.option("--port", default=8000, show_default=True)
def docs(port: int) -> int:
    """Serve the documentation that laptop.yml names until Ctrl-C.

    Only this machine can reach it.
    """
    from laptop.web import serve_docs

    root = _find_root()
    return serve_docs(root, _read_settings(root).docs, port)


@main.command(epilog=_epilog("laptop up --idle 120"))
@click.option("--idle", type=click.FloatRange(min=0, min_open=True), default=60, show_default=True, metavar="MINUTES",
              help="End it after so long without a command.")  # fmt: skip
@_home
def up(idle: float, home: Path | None) -> None:
    """Start Spark and keep it for the next commands."""
    place = open_home(home)
    with place.hold(click.echo):
        state, is_new = Engine(place.path).start(60 * idle)
    if is_new:
        warm_up.start_in_background(place.path, state.address)
    click.echo(f"{'started' if is_new else 'running already'}: {state.describe()}")


@main.command(epilog=_epilog("laptop status"))
@_home
def status(home: Path | None) -> None:
    """Say whether Spark is kept for the next commands."""
    place = open_home(home)
    state = Engine(place.path).read_state()
    cure = shlex.join(["laptop", "up", "--home", str(place.path)])
    click.echo(state.describe() if state else f"no engine: each command starts Spark for itself; to keep it: {cure}")


@main.command(epilog=_epilog("laptop down"))
@_home
def down(home: Path | None) -> None:
    """End the Spark that `laptop up` keeps."""
    place = open_home(home)
    if not Engine(place.path).is_kept():
        click.echo(f"there is no engine in {place.path}")
        return
    with place.hold(click.echo):  # a command that uses it ends first
        Engine(place.path).stop()
    click.echo(f"ended the engine of {place.path}")


@main.command(epilog=_epilog("laptop clean --home /tmp/experiment"))
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_home
def clean(home: Path | None, output: str) -> None:
    """Delete a home with all its files."""
    place = open_home(home)
    place.remove(Engine(place.path).stop)
    click.echo(json.dumps({"removed": str(place.path)}) if output == "json" else f"removed {place.path}")


def _find_root() -> Path:
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    if root is None:
        raise LaptopError("there is no databricks.yml here or above; go to the folder of the bundle")
    return root


def _read_settings(root: Path) -> LaptopSettings:
    from laptop.includes import read_laptop
    from laptop.settings import LaptopSettings

    return LaptopSettings(read_laptop(root, []))


def open_home(home: Path | None) -> Home:
    """Open a home; None: the one beside the bundle."""
    return Home((home or _find_root() / ".laptop").resolve())


@contextmanager
def bundle_errors() -> Iterator[None]:
    """Convert a BundleError into a click error, which is shown without a stack trace."""
    from laptop.bundle import BundleError

    try:
        yield
    except BundleError as error:
        raise LaptopError(str(error)) from None


def load_checked(target: str) -> Bundle:
    """Load the target's bundle; raise BundleError for what the CLI or the platform would refuse."""
    from laptop.bundle import BundleError, load_bundle
    from laptop.lint import lint_bundle

    problems = lint_bundle(_find_root(), [target], house=False)
    if problems:
        raise BundleError(problems)
    return load_bundle(_find_root(), target)


def write_summaries(home: Home) -> None:
    """Write the summary of every target: promotion reads the summary of a target in which no job has run yet."""
    from laptop.bundle import BundleError, list_targets, load_bundle
    from laptop.summary import write_summary

    for target in list_targets(_find_root()):
        with suppress(BundleError):  # mistakes in other targets do not stop this one, which was checked before
            write_summary(load_bundle(_find_root(), target), home)


def _parse_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise LaptopError(f"parameter {text!r} is not of the form KEY=VALUE")
    return name, value


main.add_command(watch)
