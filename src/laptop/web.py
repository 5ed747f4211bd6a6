"""Serves pages to this machine only: those of a home, and the documentation of a bundle's project."""

from __future__ import annotations

import importlib.util
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from laptop.home import Home, LaptopError, set_environment


def serve_home(home: Home, port: int) -> int:
    """Serve the index page of a home and MLflow's pages until Ctrl-C or SIGTERM; returns the exit code.

    Raises:
        LaptopError: no job has run in the home.
    """
    database = home.path / "mlflow.db"
    if not database.exists():
        cure = shlex.join(["laptop", "run", "JOB", "-t", "TARGET", "--home", str(home.path)])
        raise LaptopError(f"there is no {database} yet; run a job first: {cure}")
    click.echo(f"http://127.0.0.1:{port}/home  jobs and their pages\nhttp://127.0.0.1:{port}       MLflow")
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "laptop", "--workers", "1"]
    # Job execution is off, since it starts eight more processes, and so is the log line per request.
    quiet = {
        "LAPTOP_HOME": str(home.path),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # else MLflow would stay and keep the port
    with set_environment(**quiet):
        options = ["--backend-store-uri", f"sqlite:///{database}", "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen([*command, *options, "--uvicorn-opts", "--log-level=warning"]) as process:  # noqa: S603
            try:
                if sys.stdout.isatty():
                    _open_browser(process, port)
                return process.wait()
            finally:
                process.terminate()  # a signal may have reached only this process


def _open_browser(process: subprocess.Popen[bytes], port: int) -> None:
    """Open the index page of the home, once the server answers."""
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            click.launch(f"http://127.0.0.1:{port}/home")
            return
        time.sleep(0.2)


def serve_docs(root: Path, name: str, port: int) -> int:
    """Serve the documentation until Ctrl-C, and rebuild it at each change; returns the exit code.

    Args:
        root: folder of the bundle.
        name: settings of the site, a zensical.toml or a mkdocs.yml, relative to the root.
        port: on this machine.

    Raises:
        LaptopError: laptop.yml names no settings, they are not there, or zensical is not installed.
    """
    if not name:
        raise LaptopError("laptop.yml names no docs; write `docs: zensical.toml`, the settings of a site")
    if not (root / name).is_file():
        raise LaptopError(f"laptop.yml names the docs {name}, and {root / name} is no file; correct `docs:`")
    if importlib.util.find_spec("zensical") is None:
        raise LaptopError("zensical, which serves the docs, is not installed; install it: uv add --dev zensical")
    command = [sys.executable, "-m", "zensical", "serve", "--config-file", str(root / name)]
    return subprocess.call([*command, "--dev-addr", f"127.0.0.1:{port}"])  # noqa: S603
