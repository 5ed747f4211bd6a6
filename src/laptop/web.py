"""Serves pages to this machine alone: MLflow's pages of a home, and the documentation of a bundle's project."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import click

from laptop.home import Home, LaptopError, set_environment


def serve_home(home: Home, port: int) -> int:
    """Serve MLflow's pages of a home until Ctrl-C; returns the exit code.

    Raises:
        LaptopError: no job has run in the home.
    """
    database = home.path / "mlflow.db"
    if not database.exists():
        cure = shlex.join(["laptop", "run", "JOB", "-t", "TARGET", "--home", str(home.path)])
        raise LaptopError(f"there is no {database} yet; run a job first: {cure}")
    click.echo(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{database}", "--workers", "1"]
    # Without job execution, which starts eight more processes, and without a line for each request.
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    with set_environment(**quiet):
        options = ["--host", "127.0.0.1", "--port", str(port), "--uvicorn-opts", "--log-level=warning"]
        return subprocess.call([*command, *options])  # noqa: S603


def serve_docs(root: Path, name: str, port: int) -> int:
    """Serve the documentation until Ctrl-C, built anew at each change; returns the exit code.

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
