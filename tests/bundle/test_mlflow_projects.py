"""MLflow Projects: on a laptop by the commands of MLproject, on a classic cluster by what MLflow sends for it."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import click
import isolated
import pytest
import yaml

import laptop.cli
from laptop.bundle import load_bundle
from mlops.platform.registry import Registry

ROOT = Path(__file__).parents[2]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
ON_CLUSTER = ROOT / "mlproject"


@pytest.mark.parametrize("name", PROJECT["entry_points"])
def test_an_entry_point_is_a_command_with_parameters_that_its_job_has(name):
    from mlflow.projects import _project_spec

    entry = _project_spec.load_project(ROOT).get_entry_point(name)
    words = shlex.split(entry.compute_command(dict.fromkeys(entry.parameters, "dev"), None))
    assert words[:3] == ["uv", "run", "laptop"]
    if name == "main":
        assert words[3] == "demo"
        return
    context = click.Context(laptop.cli.main)
    verb, command, rest = laptop.cli.main.resolve_command(context, words[3:])
    given = command.make_context(verb, rest, parent=context).params
    job = load_bundle(ROOT, "prod").jobs[given["job"]]
    assert {text.partition("=")[0] for text in given["params"]} <= {entry["name"] for entry in job["parameters"]}
    required = {entry["name"] for entry in job["parameters"] if entry["default"] == ""} - {"decision"}
    assert required <= {text.partition("=")[0] for text in given["params"]}


def test_uv_is_the_one_of_ci():
    pinned = re.search(r"^uv==\S+", (ROOT / ".ci/uv.txt").read_text(), re.MULTILINE)
    assert yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"] == [pinned[0]]


@pytest.fixture
def tracking():
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    yield mlflow
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_a_run_of_a_task_is_its_own_although_mlflow_run_names_another(tmp_path, monkeypatch, tracking):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    registry = Registry(tmp_path)
    with registry.open_run("/flights", "training", {}) as run_id:
        registry.log_to_run({}, {"auc": 0.5}, {})
    assert run_id != "0" * 32
    assert registry.read_metrics(run_id) == {"auc": 0.5}
    assert [run.info.run_id for run in registry.search_runs("/flights", {"mlflow.runName": "training"})] == [run_id]


# --- the backend databricks ------------------------------------------------------------------------------------------

RUN = {
    "info": {
        "run_id": "r1",
        "run_uuid": "r1",
        "experiment_id": "77",
        "status": "RUNNING",
        "artifact_uri": "dbfs:/x",
        "lifecycle_stage": "active",
        "start_time": 1,
        "user_id": "ada",
    },
    "data": {},
}
ANSWERS = {
    "/api/2.0/mlflow/runs/create": {"run": RUN},
    "/api/2.0/mlflow/runs/get": {"run": RUN},
    "/api/2.0/dbfs/get-status": {"error_code": "RESOURCE_DOES_NOT_EXIST"},
    "/api/2.0/jobs/runs/submit": {"run_id": 5},
    "/api/2.0/jobs/runs/get": {"run_page_url": "https://w/run/5", "job_id": 9, "state": {"result_state": "SUCCESS"}},
}


@pytest.fixture
def workspace(monkeypatch, tracking):
    """What a workspace was asked, in order: (method, path, body)."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self):
            path = urlsplit(self.path).path
            calls.append((self.command, path, self.rfile.read(int(self.headers.get("Content-Length") or 0))))
            content = json.dumps(ANSWERS.get(path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 (the names of http.server)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi" + "0" * 32)
    tracking.set_tracking_uri("databricks")
    yield calls
    server.shutdown()
    server.server_close()


def submit(parameters):
    import mlflow.projects

    config = json.loads((ON_CLUSTER / "cluster.json").read_text())
    options = {"backend": "databricks", "backend_config": config, "synchronous": False, "experiment_id": "77"}
    return mlflow.projects.run(str(ON_CLUSTER), parameters=parameters, **options)


LEAVES_A_FILE_OPEN = pytest.mark.filterwarnings("ignore:.*project.tar.gz:pytest.PytestUnraisableExceptionWarning")
PARAMETERS = {"wheel": "/Volumes/dev/flights/wheels/w.whl", "task": "training", "catalog": "dev", "schema": "flights"}


@LEAVES_A_FILE_OPEN
def test_mlflow_uploads_the_project_and_submits_one_python_task_on_a_new_cluster(workspace):
    submit(PARAMETERS)
    ours = ("/dbfs/", "/api/2.0/dbfs/", "/api/2.0/jobs/")  # beside runs of MLflow and the client's login
    asked = [(method, path) for method, path, _ in workspace if path.startswith(ours)]
    archive = next(path for _, path in asked if path.endswith(".tar.gz"))
    script = next(path for _, path in asked if path.endswith(".py"))
    assert asked == [
        ("GET", "/api/2.0/dbfs/get-status"),
        ("POST", archive),
        ("GET", "/api/2.0/dbfs/get-status"),
        ("POST", script),
        ("POST", "/api/2.0/jobs/runs/submit"),
        ("GET", "/api/2.0/jobs/runs/get"),
    ]
    assert archive.startswith("/dbfs/mlflow-experiments/77/projects-code/")
    with tarfile.open(fileobj=io.BytesIO(next(body for _, path, body in workspace if path == archive))) as uploaded:
        files = {member.name.partition("/")[2] for member in uploaded.getmembers() if member.isfile()}
    assert files == {path.name for path in ON_CLUSTER.iterdir() if path.is_file()}

    body = json.loads(next(body for _, path, body in workspace if path.endswith("/submit")))
    cluster = json.loads((ON_CLUSTER / "cluster.json").read_text())
    # MLflow adds options of its own to the cluster that it sends. Whether a workspace takes them is not known here.
    added = {"DOCKER_ARGS", "ENV_MANAGER", "STORAGE_DIR", "SYNCHRONOUS", "build_image", "docker_auth"}
    sent = body.pop("new_cluster")
    assert {name: value for name, value in sent.items() if name in cluster} == cluster
    assert sent.keys() - cluster.keys() == added
    assert body == {
        "run_name": f"MLflow Run for {ON_CLUSTER}",
        "libraries": [{"pypi": {"package": "mlflow==3.17.2"}}],
        "spark_python_task": {
            "python_file": "dbfs:" + script.removeprefix("/dbfs"),
            "parameters": [word for name, value in PARAMETERS.items() for word in (f"--{name}", value)],
        },
    }


@LEAVES_A_FILE_OPEN
def test_what_the_cluster_runs_names_the_run_of_mlflow_and_is_python(workspace):
    submit(PARAMETERS)
    text = next(body for _, path, body in workspace if path.endswith(".py")).decode()
    ast.parse(text)
    environment = json.loads(re.search(r"os\.environ\.update\((.*)\)", text)[1])
    assert environment == {"MLFLOW_TRACKING_URI": "databricks", "MLFLOW_EXPERIMENT_ID": "77", "MLFLOW_RUN_ID": "r1"}
    assert (ON_CLUSTER / "run_task.py").read_text() in text


def test_the_task_of_a_wheel_gets_its_parameters(tmp_path):
    """The script installs the wheel into the Python that runs it, so it gets a Python of its own."""
    python, wheel = isolated.environment(tmp_path / "venv", "pip"), tmp_path / "mlops_template-1-py3-none-any.whl"
    info = "mlops_template-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("job.py", "def main(arguments): print(arguments)")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mlops-template\nVersion: 1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntraining = job:main\n")
        file.writestr(f"{info}/RECORD", "")
    command = [python, ON_CLUSTER / "run_task.py", "--wheel", wheel, "--task", "training", "--catalog", "dev"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout.splitlines()[-1] == "['--catalog=dev']"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_loop_runs_by_mlflow_run_alone(tmp_path):
    """A clone without an environment, and the commands of platform.md: the first of them makes the environment."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"MLFLOW_TRACKING_URI": "sqlite:///.mlflow/projects.db"}

    def run(entry, **parameters):
        words = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
        command = [sys.executable, "-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local", *words]
        subprocess.run(command, cwd=clone, env=environment, check=True)

    run("sample", since="2013-01-01", until="2013-04-05", as_of="2013-04-06T00:00:00Z")
    run("ingestion", as_of="2013-04-06T00:00:00Z")
    run("training", as_of="2013-04-01T00:00:00Z")
    run("validation", model_version="1", as_of="2013-04-01T00:00:00Z")
    run("deployment", model_version="1", as_of="2013-04-01T00:00:00Z")
    run("inference", target="dev", as_of="2013-04-04T00:00:00Z")
    run("monitoring", target="dev", as_of="2013-04-06T00:00:00Z")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert changed.stdout == ""
    assert not (clone / "mlflow.db").exists()
