"""GitHub's and Azure DevOps' REST APIs over HTTP: paths, paging, bodies and errors as they document them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlops.contract import ConfigError, MlopsError
from mlops_cli.cli import run_args
from mlops_cli.forge import AzureDevOps, GitHub

TOKEN = "of-the-run"  # noqa: S105 (no secret of anybody)
PLAN = {"plan_version": 2, "lineage": "a", "plan": {}}
DRIFT = {
    "resources.jobs.a": {"action": "update", "changes": {"x": {"action": "update", "old": 1, "new": 1, "remote": 2}}}
}


class Double(ThreadingHTTPServer):
    """Comments, issues and threads, as the two systems keep them."""

    comments: dict[int, dict[str, Any]]
    issues: dict[int, dict[str, Any]]
    threads: dict[int, dict[str, Any]]
    tasks: dict[int, dict[str, str]]
    ended: str
    """How the project's process calls a task that is done."""
    fails: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Double

    def do(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"message": "Bad credentials"})
        if self.server.fails:
            return self.answer(self.server.fails, {"message": "no: ghp_" + "a1B2" * 9})
        github = re.fullmatch(r"/repos/octo/flights/(.*)", url.path)
        azure = re.fullmatch(r"/octo/my%20project/_apis/git/repositories/r1/pullRequests/7/threads(.*)", url.path)
        boards = re.fullmatch(r"/octo/my%20project/_apis/wit/(.*)", url.path)
        if boards and query.get("api-version") == "7.1":
            return self.answer(*self.boards(boards[1], body))
        if github:
            return self.answer(*self.github(github[1], query, body))
        if azure and query.get("api-version") == "7.1":
            return self.answer(*self.azure(azure[1], body))
        return self.answer(404, {"message": "Not Found"})

    do_GET = do_POST = do_PATCH = do  # noqa: N815

    def github(self, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        store = self.server.comments if "comments" in path else self.server.issues
        number = re.fullmatch(r"issues(?:/comments)?/(\d+)", path)
        if len(body.get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}
        if self.command == "PATCH" and number:
            store[int(number[1])].update(body)
            return 200, store[int(number[1])]
        if self.command == "POST" and path in {"issues", "issues/7/comments"}:
            made = 1 + max(store, default=0)
            store[made] = {"id": made, "number": made, "state": "open", **body}
            return 201, store[made]
        rows = [row for row in store.values() if "state" not in query or row["state"] == query["state"]]
        size, page = int(query["per_page"]), int(query["page"])
        return 200, rows[size * (page - 1) : size * page]

    def azure(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        threads = self.server.threads
        if self.command == "GET":
            return 200, {"value": list(threads.values()), "count": len(threads)}
        found = re.fullmatch(r"/(\d+)/comments/(\d+)", path)
        if self.command == "PATCH" and found:
            threads[int(found[1])]["comments"][0].update(body)
            return 200, {}
        made = len(threads) + 1
        comments = [{**comment, "id": 1} for comment in body["comments"]]
        threads[made] = {"id": made, "comments": comments, "status": body["status"]}
        return 200, threads[made]

    def boards(self, path: str, body: Any) -> tuple[int, Any]:
        tasks, ended = self.server.tasks, self.server.ended
        if (self.command, path) == ("GET", "workitemtypes/Task/states"):
            names = {"To Do": "Proposed", "Doing's": "InProgress", ended: "Completed", "Removed": "Removed"}
            return 200, {"value": [{"name": name, "category": category} for name, category in names.items()]}
        if (self.command, path) == ("POST", "wiql"):
            (tag,) = re.findall(r"\[System.Tags\] CONTAINS '([^']+)'", body["query"])
            shut = re.findall(r"\[System.State\] <> '((?:[^']|'')+)'", body["query"])
            assert [name.replace("''", "'") for name in shut] == [ended, "Removed"]
            open_ = [
                n for n, t in tasks.items() if tag in t["System.Tags"] and t["System.State"] not in {ended, "Removed"}
            ]
            return 200, {"workItems": [{"id": number} for number in open_]}
        assert self.headers["Content-Type"] == "application/json-patch+json"
        fields = {row["path"].removeprefix("/fields/"): row["value"] for row in body if row["op"] == "add"}
        number = re.fullmatch(r"workitems/(\d+)", path)
        if self.command == "PATCH" and number:
            tasks[int(number[1])].update(fields)
            return 200, {"id": int(number[1])}
        if (self.command, path) == ("POST", "workitems/$Task"):
            made = 1 + max(tasks, default=0)
            tasks[made] = {"System.State": "To Do", **fields}
            return 200, {"id": made}
        return 404, {"message": "Not Found"}

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double(("127.0.0.1", 0), Handler)
    server.comments, server.issues, server.threads, server.tasks, server.ended = {}, {}, {}, {}, "Done"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def github(double: Double) -> GitHub:
    return GitHub(double.url, "octo/flights", TOKEN)


def azure(double: Double) -> AzureDevOps:
    return AzureDevOps(f"{double.url}/octo/", "my project", "r1", TOKEN)


def test_a_pull_request_gets_one_comment_however_often_it_is_planned(double: Double) -> None:
    double.comments = {n: {"id": n, "body": f"talk {n}"} for n in range(1, 251)}
    assert github(double).write_comment(7, "<!-- m -->", "one") == "comment written"
    assert github(double).write_comment(7, "<!-- m -->", "two") == "comment updated"
    ours = [c["body"] for c in double.comments.values() if c["body"].startswith("<!-- m -->")]
    assert ours == ["<!-- m -->\ntwo"]
    assert len(double.comments) == 251


def test_each_target_has_a_comment_of_its_own(double: Double) -> None:
    github(double).write_comment(7, "<!-- staging -->", "one")
    github(double).write_comment(7, "<!-- prod -->", "two")
    assert [c["body"] for c in double.comments.values()] == ["<!-- staging -->\none", "<!-- prod -->\ntwo"]


def test_an_issue_is_opened_updated_closed_and_opened_again(double: Double) -> None:
    double.issues = {1: {"id": 1, "number": 1, "state": "open", "body": None}}
    said = [github(double).keep_issue("<!-- d -->", "Drift", body) for body in (None, "a", "b", None, None, "c")]
    assert said == [
        "no issue is open",
        "issue 2 opened",
        "issue 2 updated",
        "issue 2 closed",
        "no issue is open",
        "issue 3 opened",
    ]
    assert [(n, i["state"]) for n, i in double.issues.items()] == [(1, "open"), (2, "closed"), (3, "open")]
    assert double.issues[2]["body"] == "<!-- d -->\nb"


@pytest.mark.parametrize("ended", ["Done", "Closed", "It's done"])
def test_azures_task_is_opened_updated_closed_and_opened_again(ended: str, double: Double) -> None:
    double.ended = ended
    double.tasks = {1: {"System.State": "To Do", "System.Tags": "ours; mlops: another"}}
    said = [azure(double).keep_issue("<!-- mlops: d -->", "Drift", body) for body in (None, "a", "b", None, None, "c")]
    assert said == [
        "no task is open",
        "task 2 opened",
        "task 2 updated",
        "task 2 closed",
        "no task is open",
        "task 3 opened",
    ]
    assert [task["System.State"] for task in double.tasks.values()] == ["To Do", ended, "To Do"]
    assert double.tasks[2]["System.Description"] == "<pre>b</pre>"
    assert (double.tasks[3]["System.Title"], double.tasks[3]["System.Tags"]) == ("Drift", "mlops: d")


@pytest.mark.parametrize("system", ["github", "azure"])
@pytest.mark.parametrize("result", ["failure", "Failed", "cancelled", "skipped", "SucceededWithIssues", "", "?"])
def test_the_nightly_tests_have_one_issue_while_they_do_not_succeed(
    result: str, system: str, double: Double, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    where = ["--github=octo/flights", f"--api={double.url}"]
    if system == "azure":
        where = ["--azure-devops", f"{double.url}/octo/", "my project", "r1"]
    run = "--run=https://example.com/a b/runs/1?x=[y](z)"
    for each in (result, result, "success", "Succeeded"):
        assert run_args(["ci", "nightly", f"--result={each}", run, *where]) == 0
    said = capsys.readouterr().out.splitlines()
    kind = "issue" if system == "github" else "task"
    assert said == [f"{kind} 1 opened", f"{kind} 1 updated", f"{kind} 1 closed", f"no {kind} is open"]
    kept = double.issues[1]["body"] if system == "github" else double.tasks[1]["System.Description"]
    assert "https://example.com/a%20b/runs/1?x=%5By%5D%28z%29" in kept


def test_an_address_of_a_run_has_one_form(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    where = ["--github=octo/flights", f"--api={double.url}"]
    for run in ("javascript:alert(1)", "", "http://example.com"):
        assert run_args(["ci", "nightly", "--result=failure", f"--run={run}", *where]) == 1
    assert double.issues == {}


def test_azures_pull_request_gets_one_closed_thread(double: Double) -> None:
    double.threads = {1: {"id": 1, "comments": [], "status": "active"}}
    assert azure(double).write_comment(7, "<!-- m -->", "one") == "comment written"
    assert azure(double).write_comment(7, "<!-- m -->", "two") == "comment updated"
    assert double.threads[2]["comments"][0]["content"] == "<!-- m -->\ntwo"
    assert double.threads[2]["status"] == "closed"
    assert len(double.threads) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_error_is_one_sentence_without_a_secret(status: int, double: Double) -> None:
    double.fails = status
    with pytest.raises(MlopsError, match=f"GET .* was answered {status}") as caught:
        github(double).write_comment(7, "m", "b")
    assert "ghp_" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_nobody_answers() -> None:
    with pytest.raises(MlopsError, match="no usable answer"):
        GitHub("http://127.0.0.1:9", "octo/flights", TOKEN).write_comment(7, "m", "b")


@pytest.mark.parametrize("api", ["http://example.com", "file:///etc/passwd", "ftp://127.0.0.1:1"])
def test_a_token_goes_nowhere_without_tls(api: str) -> None:
    with pytest.raises(ConfigError, match="no address to send a token to"):
        GitHub(api, "octo/flights", TOKEN).write_comment(7, "m", "b")


@pytest.mark.parametrize("name", ["octo", "octo/", "octo/flights/x", "octo/fl ights", "../octo/x", "octo/x?y"])
def test_a_repository_has_one_form(name: str) -> None:
    with pytest.raises(ConfigError, match="no repository"):
        GitHub("https://api.github.com", name, TOKEN)


def test_the_commands_write_and_close(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    page, plan = tmp_path / "plan.md", tmp_path / "plan.json"
    page.write_text("the plan")
    where = ["--target=prod", "--github=octo/flights", f"--api={double.url}"]
    assert run_args(["ci", "comment", str(page), "--pull-request=7", *where]) == 0
    assert double.comments[1]["body"] == "<!-- mlops: plan of prod -->\nthe plan"
    for entries, state in ((DRIFT, "open"), ({}, "closed")):
        plan.write_text(json.dumps({**PLAN, "plan": entries}))
        assert run_args(["ci", "issue", str(plan), *where]) == 0
        assert double.issues[1]["state"] == state
    azures = ["--azure-devops", f"{double.url}/octo/", "my project", "r1"]
    assert run_args(["ci", "comment", str(page), "--pull-request=7", "--target=prod", *azures]) == 0
    assert double.threads[1]["comments"][0]["content"].endswith("the plan")
    for entries, state in ((DRIFT, "To Do"), ({}, "Done")):
        plan.write_text(json.dumps({**PLAN, "plan": entries}))
        assert run_args(["ci", "issue", str(plan), "--target=prod", *azures]) == 0
        assert double.tasks[1]["System.State"] == state


def test_a_plan_that_is_too_long_for_a_comment_says_where_the_rest_stands(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    page, plan = tmp_path / "plan.md", tmp_path / "plan.json"
    drifted = {"action": "update", "old": "<" * 200, "new": "<" * 200, "remote": ">" * 200}
    entries = {f"resources.jobs.j{n}": {"action": "update", "changes": {"description": drifted}} for n in range(40)}
    plan.write_text(json.dumps({**PLAN, "plan": entries}))
    where = ["--target=prod", "--github=octo/flights", f"--api={double.url}"]
    assert run_args(["ci", "plan", str(plan), "--target=prod", f"--out={page}"]) == 0
    assert run_args(["ci", "comment", str(page), "--pull-request=7", *where]) == 0
    assert run_args(["ci", "issue", str(plan), *where]) == 0
    for body in (double.comments[1]["body"], double.issues[1]["body"]):
        assert body.endswith("**Cut here: all of it is in the summary of the run.**\n")
        rows = [line for line in body.splitlines() if line.startswith("|")]
        assert len(rows) > 10
        assert all(row.endswith("|") for row in rows)


def test_a_command_without_token_or_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    page = tmp_path / "plan.json"
    page.write_text(json.dumps(PLAN))
    both = ["--github=octo/flights", "--azure-devops", "https://x", "p", "r"]
    for given in ([], ["--github=octo/flights"], ["--token=t"], ["--token=t", *both]):
        assert run_args(["ci", "comment", str(page), "--target=prod", "--pull-request=7", *given]) == 2
    for given in ([], ["--github=octo/flights"], ["--token=t"]):
        assert run_args(["ci", "issue", str(page), "--target=prod", *given]) == 2
