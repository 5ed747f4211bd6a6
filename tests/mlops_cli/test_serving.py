"""The champion over HTTP: MLflow's shapes and errors, from inspected files only; and a container's build context."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import uvicorn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from life import Life
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from toy import TOY

from mlops import context
from mlops.contract import DataError, MlopsError, UntrustedModel
from mlops.platform.local_endpoint import LocalEndpoint
from mlops.platform.model_scan import REWRITTEN
from mlops.platform.registry import Registry
from mlops.platform.runtime import now
from mlops.platform.scoring_server import (
    CARD,
    MODEL,
    PORT,
    VersionCard,
    answer_requests,
    example_rows,
    load_served,
    make_app,
    read_example,
)
from mlops.release.version_record import AuditRow
from mlops_cli import audit_records, locked_packages, release_build, request_page, serving
from mlops_cli.azure_endpoint import render_azure_files
from mlops_cli.cli import run_args
from mlops_cli.container import EXAMPLE
from mlops_cli.key_requests import fill_features

ROOT = Path(__file__).parents[2]
ROW = {"size": 1.5, "kind": "x", "due_around": 1.0}


@pytest.fixture(scope="module")
def served_home(tmp_path_factory):
    """A home in which prod has champion 1, but for its audit table, which needs Spark."""
    home = tmp_path_factory.mktemp("serving") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_HOME", str(home))
        patch.setattr(Life, "accepted", lambda self, target, number: self.version(target, number))
        life = Life(Registry(home))
        version = life.trained("prod")
        life.registry.set_alias(version, "champion")
        facts = life.claims(version)
    names = {"model_name": version.model, "catalog": "prod", "schema": "toy", "experiment": "/toy"}
    parameters = [{"name": name, "default": text} for name, text in names.items()]
    (home / "summary").mkdir()
    (home / "summary/prod.json").write_text(
        json.dumps({"resources": {"jobs": {"deployment": {"parameters": parameters}}}})
    )
    row = AuditRow(
        model_name=version.model, sequence=1, move="deployment", to_version=1, run_id="1", at=now(), as_of=now(),
        artifact_digest=facts.artifact_digest,
    )  # fmt: skip
    return home, row


@pytest.fixture
def prod(served_home, monkeypatch):
    """The home with its audit rows, which a test may change."""
    home, row = served_home
    rows = [row]
    monkeypatch.setattr(audit_records, "read_rows", lambda deployed: rows)
    monkeypatch.setattr(context, "load_use_case", lambda: TOY)
    return home, rows


@pytest.fixture(scope="module")
def files(served_home, tmp_path_factory):
    """The champion's folder and card, as a container has them."""
    home, row = served_home
    folder = tmp_path_factory.mktemp("container") / MODEL
    registry = Registry(home)
    with registry.fetch_files(registry.get_version(row.model_name, 1)) as fetched:
        shutil.copytree(fetched, folder, ignore=lambda _, names: REWRITTEN & set(names))
    return folder, VersionCard(name="prod version 1", artifact_digest=row.artifact_digest, trusted_types=())


@pytest.fixture(scope="module")
def both(files):
    """What we serve, and what MLflow itself loads from the same folder."""
    return load_served(*files), mlflow.pyfunc.load_model(str(files[0]))


@contextmanager
def listening(app):
    """The app on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def ask(url, body=None, kind="application/json"):
    """Status and text of a request."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 (a server of this test)
        url, data, {"Content-Type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 (as above)
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_every_form_gets_the_same_predictions_over_http(files, both):
    expected = both[1].predict(pd.DataFrame([ROW, ROW | {"kind": None}])).tolist()
    with listening(make_app(both[0])) as url:
        records = [ROW, ROW | {"kind": None}]
        split = {"columns": list(ROW), "data": [list(row.values()) for row in records]}
        for body in (
            {"dataframe_split": split},
            {"dataframe_records": records},
            {"inputs": {name: [row[name] for row in records] for name in ROW}},
            {"instances": records},
        ):
            status, text = ask(f"{url}/invocations", body)
            assert (status, json.loads(text)) == (200, {"predictions": expected})
        assert ask(f"{url}/ping")[0] == ask(f"{url}/health")[0] == 200
        assert ask(f"{url}/version") == (200, mlflow.__version__)
        status, text = ask(f"{url}/invocations", {"dataframe_records": [{"size": 1.0, "kind": "x"}]})
        assert status == 400
        assert "due_around" in json.loads(text)["message"]
        status, text = ask(f"{url}/invocations", {"dataframe_records": [ROW | {"size": "large"}]})
        assert (status, "size" in json.loads(text)["message"]) == (400, True)
        assert ask(f"{url}/invocations", b"size=1", "text/plain")[0] == 415


def test_a_laptops_endpoint_shares_requests_among_real_scoring_servers(files, both, tmp_path):
    """One server per version; what is served outlives the process, and a server that refuses is an error."""
    request, loaded = read_example(files[0]), []

    def start(number):
        loaded.append(number)
        return make_app(both[0])

    file = tmp_path / "endpoints/toy.json"
    with LocalEndpoint(file, start) as endpoint:
        assert endpoint.read_traffic() == {}
        endpoint.set_traffic({1: 75, 2: 25})
        answers = [endpoint.ask(request) for _ in range(6)]
        expected = both[1].predict(example_rows(request)).tolist()
        assert all(answer.predictions == expected and answer.seconds > 0 for answer in answers)
        assert {answer.version for answer in answers} == {1, 2}
        assert [endpoint._next_version() for _ in range(100)].count(2) == 25
        broken = {"dataframe_split": {"columns": ["size"], "data": [[1.0]]}}
        with pytest.raises(MlopsError, match=r"version \d answered with status 400.*due_around"):
            endpoint.ask(broken)
    with LocalEndpoint(file, start) as endpoint:
        assert endpoint.ask(request).version == 1
        endpoint.set_traffic({2: 100})
        endpoint.restore()
        assert endpoint.read_traffic() == {1: 75, 2: 25}
    assert loaded == [1, 2, 1, 2]


def test_a_laptops_endpoint_whose_server_does_not_start_serves_as_before(tmp_path):
    def crash(number):
        raise UntrustedModel(f"version {number} is not loaded")

    with LocalEndpoint(tmp_path / "toy.json", crash) as endpoint:
        with pytest.raises(UntrustedModel, match="version 3 is not loaded"):
            endpoint.set_traffic({3: 100})
        endpoint.restore()
        with pytest.raises(MlopsError, match="there is no endpoint toy"):
            endpoint.ask({})


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**64, -(2**70), 10**400, 2**53 + 1]), st.floats(),
    st.sampled_from(["x", "z", "", "1", "nan"]), st.just([1]),
)  # fmt: skip
NUMBERS, TEXTS = st.one_of(st.none(), st.integers(), st.floats()), st.sampled_from([None, "x", "z", ""])
PLAIN = st.fixed_dictionaries({"size": NUMBERS, "kind": TEXTS, "due_around": NUMBERS})
RECORDS = st.lists(st.dictionaries(st.sampled_from(["size", "kind", "due_around", "more"]), VALUES), max_size=3)
SPLIT_COLUMNS = st.sampled_from([[*ROW], [*ROW][::-1], ["size", "size", "kind"], [*ROW, "more"], [1, None, "kind"]])
BODIES = st.one_of(
    st.builds(lambda form, rows: {form: rows}, st.sampled_from(["dataframe_records", "inputs", "instances"]), RECORDS),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("dataframe_records", "inputs", "params"), RECORDS)),
    st.builds(lambda rows: {"dataframe_records": rows}, st.lists(PLAIN, max_size=3)),
    st.builds(lambda rows: {"dataframe_split": {"columns": [*ROW], "data": [[*row.values()] for row in rows]}},
              st.lists(PLAIN, max_size=3)),
    st.builds(lambda names, rows, more: {"dataframe_split": {"columns": names, "data": rows, **more}},
              SPLIT_COLUMNS, st.lists(st.lists(VALUES, min_size=2, max_size=4)) | VALUES,
              st.sampled_from([{}, {"index": [0]}, {"more": 1}])),
    VALUES,
)  # fmt: skip


@settings(max_examples=60)  # each asks two models
@given(
    st.builds(
        lambda body, encoding: json.dumps(body).encode(encoding),
        BODIES,
        st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16"]),
    )
    | st.binary(max_size=20),
    st.sampled_from(
        ["application/json"] * 4
        + ["application/json; charset=utf-8", "application/json;charset=UTF-8 ", "application/json; charset=latin-1"]
        + ["application/json;", "Application/JSON", "text/csv", "text/plain"]
    ),
)
def test_any_body_gets_the_answer_that_mlflow_gives(both, body, kind):
    """MLflow's own code answers for MLflow's own copy of the model; errors differ in nothing but the stack trace."""
    schema = both[1].metadata.get_input_schema()
    try:
        expected = scoring_server.invocations(body, kind, both[1], schema)
        status, text = expected.status, expected.response
    except MlflowException as error:
        status, text = error.get_http_status_code(), error.serialize_as_json()
    response = answer_requests(both[0])(body, kind)
    assert (response.status, without_trace(response.response)) == (status, without_trace(text))


def without_trace(text):
    document = json.loads(text) if text.startswith("{") else text
    return repr({**document, "stack_trace": None} if isinstance(document, dict) else document)


def test_the_common_form_does_not_reach_mlflow(both, monkeypatch):
    """Else its speed would be lost without any other test failing."""
    answer = answer_requests(both[0])
    monkeypatch.setattr(scoring_server, "invocations", None)
    for body in ({"dataframe_records": [ROW]}, {"dataframe_split": {"columns": [*ROW], "data": [[1, None, None]]}}):
        assert answer(json.dumps(body).encode(), "application/json").status == 200


def test_a_request_that_takes_too_long_ends_with_504_and_mlflow_s_other_middlewares_stay(both, monkeypatch):
    init, paths = scoring_server.init, []

    def init_with_another(served):
        app = init(served)

        @app.middleware("http")
        async def note_path(request, call_next):
            paths.append(request.url.path)
            return await call_next(request)

        return app

    monkeypatch.setattr(scoring_server, "init", init_with_another)
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(
        "mlops.platform.scoring_server.answer_requests", lambda served, fill: lambda body, kind: time.sleep(1.5)
    )
    with listening(make_app(both[0])) as url:
        assert ask(f"{url}/invocations", {}) == (504, "Request processing time exceeded limit")
    assert paths == ["/invocations"]


def test_requests_by_key_reach_the_version_and_an_unknown_key_does_not(both):
    def find(key):
        if key["id"] != 1:
            raise DataError("there is no 4")
        return ROW

    with listening(make_app(both[0], partial(fill_features, use_case=TOY, find=find))) as url:
        whole = ask(f"{url}/invocations", {"dataframe_records": [ROW]})
        assert ask(f"{url}/invocations", {"dataframe_records": [{"id": 1}]}) == whole
        status, text = ask(f"{url}/invocations", {"inputs": {"id": [1, 4]}})
        assert (status, json.loads(text)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert ask(f"{url}/ping")[0] == 200


KINDS = ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_request_by_key_is_filled_in_wherever_mlflow_reads_its_whole_form(both, kind, encoding):
    answer = answer_requests(both[0], partial(fill_features, use_case=TOY, find=lambda key: ROW))
    whole, by_key = (
        answer(json.dumps({"dataframe_records": [row]}).encode(encoding), kind) for row in (ROW, {"id": 1})
    )
    assert (by_key.status, by_key.response) == (whole.status, whole.response)
    assert whole.status == 200


@pytest.mark.parametrize("kind", ["Application/JSON", "application/json; charset=latin-1", "application/json; v=1"])
def test_a_request_of_a_kind_that_mlflow_refuses_reads_no_features(both, kind):
    answer = answer_requests(both[0], lambda request: pytest.fail("the features were read"))
    assert answer(b'{"dataframe_records": [{"id": 1}]}', kind).status == 415


def test_an_error_while_features_are_read_is_not_taken_for_bad_json(both):
    def fail(request):
        raise ValueError("the table cannot be read")

    with pytest.raises(ValueError, match="the table cannot be read"):
        answer_requests(both[0], fail)(b'{"dataframe_records": [{"id": 1}]}', "application/json")


def test_a_changed_file_or_another_digest_is_never_served(files, tmp_path):
    folder, card = files
    copy = tmp_path / MODEL
    shutil.copytree(folder, copy)
    (copy / "input_example.json").write_text((folder / "input_example.json").read_text() + " ")
    with pytest.raises(UntrustedModel, match="they were changed"):
        load_served(copy, card)


def test_the_page_shows_what_the_version_answers(files, both):
    page = request_page.render_requests(both[0], files[1], TOY, read_example(files[0]), "curl it")
    assert page.count("predictions") >= 5
    assert all(f"<code>{feature.name}</code>" in page for feature in TOY.features)
    assert 'size is missing: <span class="no">400' in page
    assert "NaN" not in page


def test_serve_refuses_what_it_cannot_serve(prod, capsys):
    home, rows = prod
    arguments = ["--home", str(home), "-t", "prod"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert serving.main([*arguments, "--port", port]) == 1
        assert f"port {port} cannot be used (Address already in use): name another one" in capsys.readouterr().err
    rows.clear()
    assert serving.main(arguments) == 1
    assert "which the audit table never made champion" in capsys.readouterr().err
    assert serving.main(["--home", str(home), "-t", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_serve_prints_a_line_that_works(prod, capsys, monkeypatch):
    home, _ = prod
    answers = []

    def send_line(app, host, port):
        line = capsys.readouterr().out.partition("try: ")[2].replace(f":{port}/", ":{}/")
        with listening(app) as url:
            line = line.format(url.rpartition(":")[2])
            answers.append(subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout)
            answers.append(ask(url)[1])

    monkeypatch.setattr(serving, "serve_app", send_line)
    assert serving.main(["--home", str(home), "-t", "prod"]) == 0
    assert len(json.loads(answers[0])["predictions"]) == 1
    assert answers[1] == (home / "serving/prod/requests.html").read_text()


def test_an_exported_folder_describes_itself_and_repeats_its_example(prod, tmp_path, monkeypatch, capsys):
    home, _ = prod
    folder = tmp_path / "context"
    monkeypatch.setattr(locked_packages, "export_requirements", lambda: "mlflow==3\n")
    monkeypatch.setattr(release_build, "build_wheel", lambda folder: folder / "a.whl")
    assert run_args(["export", str(folder), "--target", "prod", "--home", str(home)]) == 0
    card, example = VersionCard.read_card(folder / CARD), json.loads((folder / EXAMPLE).read_text())
    served = load_served(folder / MODEL, card)
    assert served.predict(example_rows(example["request"])).tolist() == example["predictions"]
    readme = (folder / "README.md").read_text()
    assert readme.startswith(f"# {card.name}\n")
    for name in re.findall(r"^\| `([\w.]+)/?`", readme, re.MULTILINE):
        assert (folder / name).exists(), name
    (folder / MODEL / "added.txt").touch()
    with pytest.raises(UntrustedModel):
        load_served(folder / MODEL, card)


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("prod.flights.late_arrival version 3", "late-arrival-prod"),
        ("dev.dev_ada_x.2nd__model_ version 12", "m-2nd-model-dev"),
        (f"prod.s.{'m' * 31}_ version 1", "m" * 31),
    ],
)
def test_the_endpoint_of_azure_ml_asks_the_paths_that_the_server_has(both, version, name):
    rendered = render_azure_files(VersionCard(name=version, artifact_digest="0" * 64, trusted_types=()))
    endpoint, deployment = (yaml.safe_load(rendered[file]) for file in ("endpoint.yml", "deployment.yml"))
    assert endpoint["name"] == deployment["endpoint_name"] == name[:32]
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,30}[a-z0-9]", endpoint["name"])
    routes = {route.path for route in make_app(both[0]).routes}
    for route in deployment["environment"]["inference_config"].values():
        assert (route["path"] in routes, route["port"]) == (True, PORT)
    assert deployment["tags"] == {"version": version, "digest": "0" * 64}


@pytest.mark.nightly
def test_a_container_starts_in_an_empty_environment_and_refuses_changed_files(prod, tmp_path, monkeypatch, capsys):
    """Its requirements are installed into a new environment, and its start script runs with no variable of ours."""
    home, _ = prod
    folder, environment = tmp_path / "context", tmp_path / "environment"
    monkeypatch.chdir(ROOT)
    assert run_args(["export", str(folder), "--target", "prod", "--home", str(home)]) == 0
    expected = {"Dockerfile", CARD, MODEL, "requirements.txt", "serve.py", EXAMPLE, "README.md", "azureml"}
    assert {file.name for file in folder.iterdir()} - expected == {next(folder.glob("*.whl")).name}
    subprocess.run(["uv", "venv", "-q", "--no-config", "-p", sys.executable, environment], check=True)
    python = environment / "bin/python"
    install = ["uv", "pip", "install", "-q", "-p", python]
    subprocess.run([*install, "--require-hashes", "-r", folder / "requirements.txt"], check=True)
    subprocess.run([*install, "--no-deps", *folder.glob("*.whl")], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    empty = {"PORT": str(port), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    container = subprocess.Popen([python, "serve.py"], cwd=folder, env=empty, stdout=subprocess.PIPE, text=True)
    try:
        assert "is ready" in container.stdout.readline()
        deadline = time.monotonic() + 60
        while True:
            try:
                assert ask(f"http://127.0.0.1:{port}/ping")[0] == 200
                break
            except urllib.error.URLError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        status, text = ask(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": [ROW]})
        assert (status, len(json.loads(text)["predictions"])) == (200, 1)
        example = json.loads((folder / EXAMPLE).read_text())
        status, text = ask(f"http://127.0.0.1:{port}/invocations", example["request"])
        assert (status, json.loads(text)["predictions"]) == (200, example["predictions"])  # the same numbers
    finally:
        container.terminate()
        container.stdout.close()
        assert container.wait(30) in (0, -15)
    (folder / MODEL / "conda.yaml").write_text("name: other\n")
    refused = subprocess.run([python, "serve.py"], cwd=folder, env=empty, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: prod.toy.failing version 1 is not loaded")
    assert "Traceback" not in refused.stderr
