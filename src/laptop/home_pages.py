"""The index page of a home, which MLflow's server shows beside its own: job runs, and the pages that jobs logged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from laptop.run_store import RunStore

if TYPE_CHECKING:
    from fastapi import FastAPI
    from mlflow.entities import Run
    from starlette.requests import Request
    from starlette.responses import Response

JOB_RUN = "job_run"
"""The tag of an MLflow run that names the job run which made it."""
_NO_SCRIPT = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
"""Header of logged pages: they are served beside MLflow, so no script may run in them."""
_NEWEST = 1000
"""Largest number of MLflow runs that are searched for pages."""


@dataclass(frozen=True)
class LoggedPages:
    """The HTML files of one MLflow run."""

    name: str
    link: str
    """The run's page in MLflow."""
    job_run: str
    """Empty: no tag names a job run."""
    tags: Mapping[str, str]
    pages: Mapping[str, str]
    """Links by file name."""


def list_pages(home: Path) -> list[LoggedPages]:
    """List the MLflow runs of a home that logged HTML files, newest first."""
    import mlflow

    client, artifacts, listed = mlflow.MlflowClient(_database(home)), home / "artifacts", []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    files: dict[str, list[Path]] = {}
    for file in sorted(artifacts.glob("*/*/artifacts/*.html")):
        files.setdefault(file.parts[-3], []).append(file)
    for run in client.search_runs(experiments, max_results=_NEWEST, order_by=["attributes.start_time DESC"]):
        if run.info.run_id in files:
            tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
            pages = {file.name: f"/home/pages/{file.relative_to(artifacts)}" for file in files[run.info.run_id]}
            listed.append(LoggedPages(run.info.run_name, _link_run(run), tags.pop(JOB_RUN, ""), tags, pages))
    return listed


def _database(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def _link_run(run: Run) -> str:
    """Link a run's page in MLflow."""
    return f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def render_index(home: Path) -> str:
    """Render the index page: the reports of each MLflow run, then every job run with its log, newest first."""
    import jinja2  # comes with MLflow, whose server shows the page

    loader = jinja2.PackageLoader("laptop", "")
    pages = jinja2.Environment(autoescape=True, loader=loader, undefined=jinja2.StrictUndefined)
    runs = list(RunStore(home / "runs").list_runs())
    return pages.get_template("home.html").render(home=home, runs=runs, logged=list_pages(home))


def find_file(folder: Path, name: str, ending: str) -> Path | None:
    """Find a file below a folder; None if there is none, or if it lies outside or has another ending."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.suffix == ending and path.is_file() else None


def add_links(home: Path, page: Path) -> str:
    """Add links to the index and to the page's MLflow run; the page's file has no such links."""
    import mlflow
    from mlflow.exceptions import MlflowException

    links = '<a href="/home">All runs and reports</a>'
    with suppress(MlflowException):  # a run that its owner deleted for good
        run = mlflow.MlflowClient(_database(home)).get_run(page.parts[-3])
        links += f' · <a href="{_link_run(run)}">this run in MLflow</a>'
    before, end, after = page.read_text().rpartition("</body>")
    return f"{before}<p>{links}</p>{end}{after}"


def make_app() -> FastAPI:
    """Make MLflow's server with the index page at /home; called by `mlflow server --app-name laptop`."""
    from mlflow.server import fastapi_app
    from starlette.responses import HTMLResponse, PlainTextResponse
    from starlette.routing import Route

    home = Path(os.environ["LAPTOP_HOME"])

    def show_index(_: Request) -> Response:
        return HTMLResponse(render_index(home), headers=_NO_SCRIPT)

    def show_page(request: Request) -> Response:
        path = find_file(home / "artifacts", request.path_params["name"], ".html")
        if path is None:
            return PlainTextResponse("there is no such page", 404)
        return HTMLResponse(add_links(home, path), headers=_NO_SCRIPT)

    def show_log(request: Request) -> Response:
        path = find_file(home / "runs", f"{request.path_params['number']}.log", ".log")
        return PlainTextResponse(path.read_text() if path else "there is no such run", 200 if path else 404)

    app: FastAPI = fastapi_app.app
    app.router.routes[:0] = [  # before MLflow's own, of which the last takes every path
        Route("/home", show_index),
        Route("/home/pages/{name:path}", show_page),
        Route("/home/logs/{number:int}", show_log),
    ]
    return app
