"""The index page of a home: which pages and runs it lists, and what it never gives away."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laptop.home_pages import add_links, find_file, list_pages, render_index
from laptop.run_store import Run, TaskRun

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two job runs and two MLflow runs, of which one logged a page."""
    folder = tmp_path / "artifacts/an experiment/aaa/artifacts"
    folder.mkdir(parents=True)
    (folder / "verdict.html").write_text("<p>refused</p>")
    (tmp_path / "runs").mkdir()
    for number, state in (("1", "SUCCESS"), ("2", "FAILED")):
        run = Run(number, "deployment", "x", "1", "prod", "onetime", EVIL, "2026-11-29T21:14:58.080Z", state=state)
        run.tasks["validation"] = TaskRun("validation", "10", state)
        (tmp_path / f"runs/{number}.json").write_text(json.dumps(asdict(run)))
    logged = [
        SimpleNamespace(
            info=SimpleNamespace(run_id=run_id, experiment_id="3", run_name=f"validation {EVIL}"),
            data=SimpleNamespace(tags={"mlflow.user": "ada", "job_run": "2", "verdict": "refused"}),
        )
        for run_id in ("aaa", "bbb")
    ]
    client = SimpleNamespace(
        search_experiments=lambda: [SimpleNamespace(experiment_id="3")],
        search_runs=lambda *_, **__: logged,
        get_run=lambda run_id: next(run for run in logged if run.info.run_id == run_id),
    )
    monkeypatch.setattr(mlflow, "MlflowClient", lambda _: client)
    return tmp_path


def test_a_run_that_logged_a_page_is_listed_with_its_links(filled: Path) -> None:
    (page,) = list_pages(filled)
    assert page.pages == {"verdict.html": "/home/pages/an experiment/aaa/artifacts/verdict.html"}
    assert (page.link, page.job_run, page.tags) == ("/#/experiments/3/runs/aaa", "2", {"verdict": "refused"})
    assert find_file(filled / "artifacts", page.pages["verdict.html"].removeprefix("/home/pages/"), ".html")


def test_the_index_links_job_runs_pages_and_mlflow_and_runs_nothing(filled: Path) -> None:
    text = render_index(filled)
    assert "<script" not in text
    links = re.findall(r'href="([^"]*)"', text)
    assert {"#run-2", "/home/logs/1", "/home/logs/2", "/#/experiments/3/runs/aaa"} <= set(links)
    assert text.index('id="run-2"') < text.index('id="run-1"'), "newest first"
    assert '<td class="bad">FAILED</td>' in text


def test_a_page_leads_back_to_the_index_and_to_its_run(filled: Path) -> None:
    page = filled / "artifacts/an experiment/aaa/artifacts/verdict.html"
    page.write_text("<body><p>refused</p></body>")
    text = add_links(filled, page.resolve())
    assert re.findall(r'href="([^"]*)"', text) == ["/home", "/#/experiments/3/runs/aaa"]
    assert text.endswith("</p></body>")


@given(st.lists(st.sampled_from(["..", ".", "", "inside", "secret.html", "/", "~"]), min_size=1, max_size=5))
def test_no_file_outside_of_the_folder_is_given_away(parts: list[str]) -> None:
    here = Path(__file__).parent
    path = find_file(here / "nothing", "/".join(parts), ".py")
    assert path is None


def test_a_file_of_another_ending_or_behind_a_link_is_not_given_away(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.html").write_text("secret")
    (inside / "link.html").symlink_to(tmp_path / "secret.html")
    (inside / "model.pkl").write_text("")
    (inside / "page.html").write_text("page")
    assert find_file(inside, "page.html", ".html") == (inside / "page.html").resolve()
    for name in ("../secret.html", "link.html", "model.pkl", "none.html", str(tmp_path / "secret.html")):
        assert find_file(inside, name, ".html") is None


@pytest.mark.nightly
def test_laptop_ui_serves_the_index_beside_mlflow_until_it_is_told_to_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").touch()
    command = [sys.executable, "-m", "laptop", "ui", "--home", str(home), "--port", "5099"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            texts = {path: _wait_for(f"http://127.0.0.1:5099/{path}") for path in ("home", "", "version")}
        finally:
            process.terminate()  # a test run in the background ignores SIGINT, and so does what it starts
    assert process.returncode == 143
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 5099))  # nothing is left of it
    assert "No job has logged a page yet." in texts["home"]
    assert "MLflow" in texts[""]
    assert texts["version"] == mlflow.__version__


def _wait_for(url: str) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (our own server)
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")
