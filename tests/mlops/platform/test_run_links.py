"""A page names its run and version, and the run its pages, in a workspace; on a laptop nothing is added."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from double import Double

from mlops.contract.model_version import Version
from mlops.platform import run_links, runtime

PAGE = "<html><body><p>it ends &lt;/body></p></body></html>"
VERSION = Version("prod.flights.late_arrival", 3, "", datetime(2024, 1, 1, tzinfo=UTC), {}, ())


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tags of the open run."""
    set_: dict[str, str] = {}
    run = SimpleNamespace(info=SimpleNamespace(experiment_id="7", run_id="abc"))
    monkeypatch.setattr("mlflow.active_run", lambda: run)
    monkeypatch.setattr("mlflow.set_tag", set_.__setitem__)
    return set_


def test_page_and_run_lead_to_each_other(double: Double, tags: dict[str, str]) -> None:
    del double
    from mlops.platform import sdk

    host = (sdk.workspace_client().config.host or "").rstrip("/")
    linked = run_links.add_links(PAGE, VERSION)
    assert linked.startswith("<html><body><p>it ends &lt;/body></p><p>")
    assert linked.endswith("</p></body></html>")
    assert f'<a href="{host}/ml/experiments/7/runs/abc">this run in MLflow</a>' in linked
    named = "prod.flights.late_arrival version 3"
    assert f'<a href="{host}/explore/data/models/prod/flights/late_arrival/version/3">{named}</a>' in linked
    assert "explore" not in run_links.add_links(PAGE)
    run_links.note_pages(["verdict.json", "verdict.html"])
    assert tags == {run_links.NOTE: f"* [verdict.html]({host}/ml/experiments/7/runs/abc/artifacts/verdict.html)"}


def test_a_run_without_pages_has_no_note(double: Double, tags: dict[str, str]) -> None:
    del double
    run_links.note_pages(["verdict.json"])
    assert tags == {}


@pytest.mark.parametrize("lack", ["workspace", "run", "login"])
def test_without_workspace_run_or_login_nothing_is_added(
    double: Double, tags: dict[str, str], monkeypatch: pytest.MonkeyPatch, lack: str, tmp_path: object
) -> None:
    del double
    if lack == "workspace":
        monkeypatch.setattr(runtime, "home", lambda: tmp_path)
    if lack == "run":
        monkeypatch.setattr("mlflow.active_run", lambda: None)
    if lack == "login":
        monkeypatch.delenv("DATABRICKS_HOST")
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path))
    assert run_links.add_links(PAGE, VERSION) == PAGE
    run_links.note_pages(["verdict.html"])
    assert tags == {}
