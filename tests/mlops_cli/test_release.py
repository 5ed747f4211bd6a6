"""`mlops ci` on a checkout of its own: the wheel that is built, what is verified of it, and what stops a pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pipelinefiles import ROOT, document

from mlops.contract import MlopsError
from mlops_cli import checkout, locked_packages, release_build
from mlops_cli.cli import run_args

Told = Callable[[], str]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this checkout's commit in which `mlops ci build` has run."""
    folder = tmp_path_factory.mktemp("clone") / "flights"
    git(ROOT, "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_args(["ci", "build"]) == 0
    return folder


@pytest.fixture
def clone(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "flights"
    shutil.copytree(built, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return lambda: "".join(capsys.readouterr())


def wheel(folder: Path) -> Path:
    return next((folder / "dist").glob("*.whl"))


def test_a_release_is_one_wheel_its_bill_and_its_record(clone: Path, told: Told) -> None:
    names = {file.name for file in (clone / "dist").iterdir()} - {".gitignore"}
    assert names == {wheel(clone).name, "sbom.cdx.json", "release.json"}
    record = json.loads((clone / "dist/release.json").read_text())
    assert record["commit"] == git(clone, "rev-parse", "HEAD")
    assert record["files"] == {name: checkout.sha256(clone / "dist" / name) for name in names - {"release.json"}}
    assert run_args(["ci", "verify"]) == 0, told()


def test_the_same_commit_gives_the_same_bytes(built: Path, clone: Path) -> None:
    shutil.rmtree(clone / "dist")
    assert run_args(["ci", "build"]) == 0
    assert (clone / "dist/release.json").read_text() == (built / "dist/release.json").read_text()


def test_the_wheel_is_as_old_as_its_commit(clone: Path) -> None:
    with zipfile.ZipFile(wheel(clone)) as archive:
        years = {entry.date_time[0] for entry in archive.infolist()}
    assert years == {int(git(clone, "log", "-1", "--format=%cd", "--date=format:%Y"))}


def test_the_bill_names_what_the_wheel_brings_and_not_what_builds_it(clone: Path) -> None:
    names = {part["name"] for part in json.loads((clone / "dist/sbom.cdx.json").read_text())["components"]}
    assert {"mlflow", "scikit-learn", "skops", "databricks-sdk"} <= names
    assert not {"pyspark", "pytest", "ruff", "delta-spark"} & names


def test_a_release_is_not_built_over_something(clone: Path, told: Told) -> None:
    assert run_args(["ci", "build"]) == 1
    assert "is not empty" in told()


def test_a_release_is_not_built_from_what_nobody_committed(clone: Path, told: Told) -> None:
    shutil.rmtree(clone / "dist")
    (clone / "README.md").write_text("changed")
    assert run_args(["ci", "build"]) == 1
    assert "differs from its commit" in told()
    assert not (clone / "dist").exists()


def test_a_build_that_is_not_reproducible_stops(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(clone / "dist")
    numbers = iter("12")

    def differing(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        made = folder / "a-1-py3-none-any.whl"
        made.write_text(next(numbers))
        return made

    monkeypatch.setattr(release_build, "build_wheel", differing)
    with pytest.raises(MlopsError, match="not reproducible"):
        release_build.build_release(Path("dist"))


def flip(folder: Path) -> None:
    data = bytearray(wheel(folder).read_bytes())
    data[100] ^= 1
    wheel(folder).write_bytes(data)


def commit(folder: Path) -> None:
    (folder / "README.md").write_text("next")
    git(folder, "commit", "--quiet", "--all", "--message", "next")


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "byte": (flip, "is not what was built"),
    "bill": (lambda f: (f / "dist/sbom.cdx.json").write_text("{}"), "sbom.cdx.json is not what was built"),
    "more": (lambda f: (f / "dist/more-1-py3-none-any.whl").write_text("x"), "was not built here"),
    "gone": (lambda f: wheel(f).unlink(), "is missing"),
    "commit": (commit, "it was built from commit"),
    "lock": (lambda f: (f / "uv.lock").write_text("version = 1"), "uv.lock is not the one"),
    "record": (lambda f: (f / "dist/release.json").write_text("{}"), "no release.json"),
    "no record": (lambda f: (f / "dist/release.json").unlink(), "has no release.json"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_whatever_was_changed_after_the_build_is_not_deployed(how: str, clone: Path, told: Told) -> None:
    change, said = TAMPERED[how]
    change(clone)
    assert run_args(["ci", "verify"]) == 1
    assert said in told()


def test_an_attestation_has_to_speak_of_this_wheel_its_bill_and_commit(clone: Path, told: Told) -> None:
    def speaks_of(*files: Path) -> str:
        """The subjects that build.yml names, as `gh attestation verify` prints them."""
        subjects = [{"name": file.name, "digest": {"sha256": checkout.sha256(file)}} for file in files]
        certificate = {"sourceRepositoryDigest": git(clone, "rev-parse", "HEAD")}
        result = {"signature": {"certificate": certificate}, "statement": {"subject": subjects}}
        return json.dumps([{"verificationResult": result}])

    build = document(ROOT / ".github/workflows/build.yml")["jobs"]["attest"]["steps"]
    attested = next(step["with"]["subject-path"] for step in build if step.get("id") == "provenance").split()
    file, every = clone / "attestations.json", [next(clone.glob(pattern)) for pattern in attested]
    for text, code in ((speaks_of(*every), 0), (speaks_of(wheel(clone)), 1), ("[]", 1), ("[3]", 1), ("{}", 1), ("", 1)):
        file.write_text(text)
        assert run_args(["ci", "verify", "--attestations", str(file)]) == code, told()


def test_notes_come_from_the_changelog_and_only_for_the_projects_own_tag(clone: Path, told: Told) -> None:
    (clone / "CHANGELOG.md").write_text("# Changelog\n\n## [0.1.0] - 2026-11-24\n\n- first\n")
    assert run_args(["ci", "notes", "--tag=v0.1.0"]) == 0
    assert told() == "- first\n"
    assert run_args(["ci", "notes", "--tag=v0.2.0"]) == 1
    assert "is not version 0.1.0" in told()


# --- credentials -----------------------------------------------------------------------------------------------------

CANARY = "dapi" + "0123456789abcdef" * 2


def test_this_repository_holds_no_credential(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.chdir(ROOT)
    assert run_args(["ci", "secrets"]) == 0, told()


def test_a_canary_is_found_and_goes_on_being_found_in_history(clone: Path, told: Told) -> None:
    (clone / "config.py").write_text(f"host = 1\ntoken = '{CANARY}'\n")
    git(clone, "add", "config.py")
    assert run_args(["ci", "secrets"]) == 1
    said = told()
    assert "config.py:2: Databricks token or secret" in said
    assert CANARY not in said
    git(clone, "commit", "--quiet", "--message", "oops")
    git(clone, "rm", "--quiet", "config.py")
    git(clone, "commit", "--quiet", "--message", "gone")
    assert run_args(["ci", "secrets"]) == 0
    assert run_args(["ci", "secrets", "--history"]) == 1
    assert "Databricks token or secret" in told()


def test_a_canary_in_a_message_is_found(clone: Path, told: Told) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "--message", f"use {CANARY}")
    assert run_args(["ci", "secrets", "--history"]) == 1
    assert "Databricks token or secret" in told()


def test_a_canary_that_only_merges_brought_and_took_is_found_beside_what_is_no_utf_8(clone: Path, told: Told) -> None:
    git(clone, "switch", "--quiet", "--create", "trunk")
    for content in (f"\xe9 {CANARY}", "gone"):
        git(clone, "switch", "--quiet", "--create", "side")
        git(clone, "commit", "--quiet", "--allow-empty", "--message", "side")
        git(clone, "switch", "--quiet", "trunk")
        git(clone, "merge", "--quiet", "--no-ff", "--no-commit", "side")
        (clone / "notes.txt").write_text(content, encoding="latin-1")
        git(clone, "add", "notes.txt")
        git(clone, "commit", "--quiet", "--message", "merge")
        git(clone, "branch", "--quiet", "--delete", "side")
    assert run_args(["ci", "secrets"]) == 0
    assert run_args(["ci", "secrets", "--history"]) == 1
    assert "Databricks token or secret" in told()


# --- weaknesses, as the real `uv audit` finds them in a database of this test's own -----------------------------------

WEAK = {"click": "PYSEC-2026-1", "pytest": "PYSEC-2026-2"}
"""One that the wheel needs, and one that only builds and tests it."""


class Database(BaseHTTPRequestHandler):
    """OSV's API, in which two packages have a weakness."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        ids = [WEAK.get(query["package"]["name"]) for query in asked]
        self.answer({"results": [{"vulns": [{"id": i, "modified": "2026-01-01T00:00:00Z"}]} if i else {} for i in ids]})

    def do_GET(self) -> None:
        asked = self.path.rpartition("/")[2]
        fixed = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}
        affected = [
            {"package": {"name": n, "ecosystem": "PyPI"}, "ranges": [fixed]} for n, i in WEAK.items() if i == asked
        ]
        self.answer({"id": asked, "modified": "2026-01-01T00:00:00Z", "affected": affected})

    def answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database, and a `uv` that asks it instead of OSV's own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    shim = tmp_path / "bin/uv"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shutil.which("uv")} "$@" --service-url http://127.0.0.1:{server.server_port}\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("database")
def test_a_weakness_of_the_lock_stops_until_it_is_accepted(clone: Path, told: Told) -> None:
    given = ["ci", "audit", "--today=2026-11-24"]
    assert run_args(given) == 1
    said = told()
    assert "PYSEC-2026-1; lock 99.0" in said
    assert "PYSEC-2026-2; lock 99.0" in said
    policy = clone / ".ci/vulnerabilities.toml"
    policy.write_text("".join(f'[accepted.{i}]\nreason = "not reached"\nuntil = 2026-12-01\n' for i in WEAK.values()))
    assert run_args(given) == 0, told()
    assert run_args([*given[:-1], "--today=2026-12-02"]) == 1


def test_the_committed_exceptions_can_be_read(monkeypatch: pytest.MonkeyPatch, told: Told, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    report = tmp_path / "audit.json"
    report.write_text('{"vulnerabilities": []}')
    assert run_args(["ci", "audit", f"--report={report}"]) == 0, told()


def test_an_audit_that_could_not_be_made_stops(monkeypatch: pytest.MonkeyPatch, clone: Path, told: Told) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert run_args(["ci", "audit"]) == 1
    assert "no audit" in told()


# --- plans -----------------------------------------------------------------------------------------------------------


def plan(folder: Path, name: str, **changes: dict[str, object]) -> str:
    file = folder / name
    entries = {
        f"resources.jobs.{k}": {"action": "update", "changes": {"x": {"action": "update", **v}}}
        for k, v in changes.items()
    }
    file.write_text(json.dumps({"plan_version": 2, "lineage": "a", "plan": entries}))
    return str(file)


def test_what_was_approved_goes_on_and_anything_else_stops(tmp_path: Path, told: Told) -> None:
    approved = plan(tmp_path, "a.json", training={"old": 1, "new": 2, "remote": 1})
    assert (
        run_args(["ci", "same-plan", approved, plan(tmp_path, "b.json", training={"old": 1, "new": 2, "remote": 1})])
        == 0
    )
    assert (
        run_args(["ci", "same-plan", approved, plan(tmp_path, "c.json", training={"old": 1, "new": 3, "remote": 1})])
        == 1
    )
    assert "jobs.training: update was approved with other values" in told()


def test_a_deployment_has_taken_if_the_next_plan_is_empty(tmp_path: Path, told: Told) -> None:
    assert run_args(["ci", "settled", plan(tmp_path, "a.json")]) == 0
    assert run_args(["ci", "settled", plan(tmp_path, "b.json", training={"new": 2})]) == 1
    assert "update jobs.training" in told()


def test_drift_stops_and_its_report_is_written_all_the_same(tmp_path: Path) -> None:
    out = tmp_path / "drift.md"
    clean = plan(tmp_path, "a.json", training={"old": 1, "new": 2, "remote": 1})
    assert run_args(["ci", "drift", clean, "--target=prod", f"--out={out}"]) == 0
    assert "is as it was deployed" in out.read_text()
    drifted = plan(tmp_path, "b.json", training={"old": 1, "new": 1, "remote": 5})
    assert run_args(["ci", "drift", drifted, "--target=prod", f"--out={out}"]) == 1
    assert "is not as it was deployed" in out.read_text()


def test_what_the_planner_was_given_by_hand_is_drift_and_what_it_would_give_itself_is_not(tmp_path: Path) -> None:
    def judged(**sides: object) -> int:
        changes = {"[service_principal_name='me']": {"action": "update", **sides}}
        entries = {"resources.jobs.training.permissions": {"action": "update", "changes": changes}}
        file = tmp_path / "plan.json"
        file.write_text(json.dumps({"plan_version": 2, "lineage": "a", "plan": entries}))
        return run_args(["ci", "drift", str(file), "--target=prod", "--planner=me", f"--out={tmp_path}/drift.md"])

    mine = {"level": "CAN_MANAGE", "service_principal_name": "me"}
    assert judged(new=mine) == 0
    assert "wait" not in (tmp_path / "drift.md").read_text()
    assert judged(new=mine, remote=mine) == 1


def test_a_plan_is_written_for_its_reviewers(tmp_path: Path) -> None:
    out = tmp_path / "plan.md"
    given = plan(tmp_path, "a.json", training={"old": 1, "new": 2, "remote": 1})
    assert run_args(["ci", "plan", given, "--target=staging", f"--out={out}"]) == 0
    assert out.read_text().startswith("### Plan for target <code>staging</code>")


def test_a_program_that_is_missing_or_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MlopsError, match="git rev-parse HEAD failed"):
        checkout.head_commit()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MlopsError, match="git is not on the PATH"):
        checkout.head_commit()


# --- licences and wheels ---------------------------------------------------------------------------------------------


def test_everything_that_the_wheel_needs_has_a_licence_that_is_known(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.chdir(ROOT)
    assert run_args(["ci", "licences"]) == 0, told()
    assert "| mlflow | <code>Apache" in told()


@pytest.mark.nightly
def test_a_wheel_house_installs_without_an_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    some = [part for part in locked_packages.export_requirements().split("\n\n") if part]
    click = next(part for part in "\n".join(some).split("\n") if part.startswith("click=="))
    whole = locked_packages.export_requirements()
    wanted = whole[whole.index(click) :]
    monkeypatch.setattr(locked_packages, "export_requirements", lambda: wanted[: wanted.index("# via")])
    house = tmp_path / "wheels"
    assert run_args(["ci", "wheelhouse", str(house)]) == 0
    assert [file.name.partition("-")[0] for file in house.glob("*.whl")] == ["click"]
    from isolated import environment

    environment(tmp_path / "env", "--no-index", f"--find-links={house}", "click")
