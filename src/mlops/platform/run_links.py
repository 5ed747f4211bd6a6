"""Links between a run in MLflow and the pages that it logged, in a workspace. On a laptop `laptop ui` adds its own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from html import escape

from mlops.contract import MlopsError
from mlops.contract.model_version import Version
from mlops.platform import runtime, sdk

NOTE = "mlflow.note.content"
"""The tag of a run that MLflow shows as its description, in Markdown."""


def add_links(page: str, version: Version | None = None) -> str:
    """Add links to the open run, and to a version, at the end of a page; unchanged outside of a workspace.

    It is done before the digest of the page is computed, which approvals are bound to.
    """
    run = _open_run()
    if run is None:
        return page
    links = {"this run in MLflow": run}
    if version is not None:
        path = "/".join(version.model.split("."))
        host = run.partition("/ml/experiments/")[0]
        links[str(version)] = f"{host}/explore/data/models/{path}/version/{version.number}"
    shown = " · ".join(f'<a href="{escape(link)}">{escape(text)}</a>' for text, link in links.items())
    before, end, after = page.rpartition("</body>")
    return f"{before}<p>{shown}</p>{end}{after}"


def note_pages(names: Iterable[str]) -> None:
    """Let the open run's description link to the pages among its documents; nothing outside of a workspace."""
    import mlflow

    run, pages = _open_run(), [name for name in names if name.endswith(".html")]
    if run is not None and pages:
        mlflow.set_tag(NOTE, "\n".join(f"* [{name}]({run}/artifacts/{name})" for name in pages))


def _open_run() -> str | None:
    """The address of the open run; None on a laptop, without a run or without a login that names the workspace."""
    if runtime.home() is not None:
        return None
    import mlflow

    run, host = mlflow.active_run(), ""
    if run is not None:
        with suppress(MlopsError):
            host = (sdk.workspace_client().config.host or "").rstrip("/")
    return f"{host}/ml/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" if run and host else None
