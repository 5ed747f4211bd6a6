"""A fork of an older template takes the newest one: its own stays as it is, and everything else is the template's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mlops_cli import checkout_checks, cli

ROOT = Path(__file__).parents[2]
NAMES = {"MLproject": r"(?<=^name: ).+", ".azure/prod.yml": r"(?<=source: ).+(?=-staging)"}
OWNED = "src/usecase/policy.py"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.com", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def renamed(file: str, text: str) -> str:
    """The text with the names of the fork, which calls itself churn."""
    if file == "databricks.yml":
        for before in ("bundle:\n  name: ", *(f"  {name}:\n    description: .+\n    default: " for name in VARIABLES)):
            text = re.sub(rf"^({before}).+$", r"\1churn", text, count=1, flags=re.MULTILINE)
    return re.sub(NAMES.get(file, "(?!)"), "churn", text, flags=re.MULTILINE)


VARIABLES = ("schema", "model")


def set_identity(folder: Path) -> None:
    for name, value in (("user.name", "ada"), ("user.email", "ada@example.com")):
        git(folder, "config", name, value)


def old_fork(folder: Path, back: int) -> None:
    """A clone of the commit so far back, renamed, without benchmarks, and with a use case of its own."""
    commits = git(ROOT, "rev-list", "--first-parent", "HEAD").split()
    subprocess.run(["git", "clone", "--quiet", "--no-tags", ROOT, folder], check=True)
    git(folder, "checkout", "--quiet", "-B", "main", commits[min(back, len(commits) - 1)])
    set_identity(folder)
    for file in ("databricks.yml", *NAMES):
        (folder / file).write_text(renamed(file, (folder / file).read_text()))
    golden = sorted((folder / "tests/bundle/golden").iterdir())
    for file in (file for file in golden if file.is_file()):
        file.write_text(file.read_text().replace("flights", "churn").replace("late_arrival", "churn"))
    (folder / OWNED).write_text((folder / OWNED).read_text() + "# ours\n")
    (folder / "src/usecase/extra.py").write_text('"""Ours."""\n')
    git(folder, "rm", "-r", "--quiet", "benchmarks", "notebooks/leaks.py")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Make it ours")


@pytest.mark.nightly
@pytest.mark.parametrize("back", [1, 30, 100])
def test_an_update_changes_nothing_that_the_fork_owns_and_takes_all_else(tmp_path, monkeypatch, back):
    fork = tmp_path / "fork"
    old_fork(fork, back)
    newest = git(ROOT, "rev-parse", "HEAD").strip()
    monkeypatch.chdir(fork)
    assert cli.run_args(["update", newest, "--merge-only"]) == 0
    git(fork, "commit", "--quiet", "--message", "Take the newest template")
    assert git(fork, "diff", "--name-only", "HEAD~1", "HEAD", "--", "src/usecase", "README.md") == ""
    theirs = set(git(fork, "ls-tree", "-r", "--name-only", newest).splitlines())
    ours = set(git(fork, "ls-files").splitlines())
    removed = {name for name in theirs if name.startswith("benchmarks/")} | {"notebooks/leaks.py"}
    assert {name for name in theirs - ours if not name.startswith("src/usecase/")} == removed
    assert {name for name in ours - theirs if not name.startswith("src/usecase/")} == set()
    for name in sorted(theirs & ours):
        if name.startswith(("src/usecase/", "README.md", ".github/CODEOWNERS")) or (fork / name).is_symlink():
            continue
        wanted = git(fork, "show", f"{newest}:{name}") if (fork / name).suffix != ".png" else None
        assert wanted is None or (fork / name).read_text() == renamed(name, wanted), name
    assert cli.run_args(["update", newest, "--merge-only"]) == 0
    assert git(fork, "status", "--porcelain") == ""


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A small template with a fork of it, in which one line is changed; the current folder is the fork."""
    monkeypatch.setattr(checkout_checks, "run_tool", lambda _: (False, ""))  # takes a minute
    folder = tmp_path / "template"
    (folder / "src/usecase").mkdir(parents=True)
    for file in ("databricks.yml", "src/usecase/model.py", "README.md", "other.txt"):
        (folder / file).write_text("one\ntwo\nthree\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "clone", "--quiet", str(folder), "fork")
    fork = tmp_path / "fork"
    (fork / "databricks.yml").write_text("ours\ntwo\nthree\n")
    (fork / "other.txt").unlink()
    git(fork, "commit", "--quiet", "--all", "--message", "Make it ours")
    set_identity(fork)
    monkeypatch.chdir(fork)
    return folder


def commit_all(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Go on")


def test_own_files_stay_deleted_ones_stay_away_and_lines_of_both_are_merged(template, capsys):
    (template / "databricks.yml").write_text("one\ntwo\ntheirs\n")
    (template / "src/usecase/model.py").write_text("theirs\n")
    (template / "src/usecase/new.py").write_text("theirs\n")
    (template / "other.txt").write_text("theirs\n")
    (template / "added.txt").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    assert "2 files changed" in capsys.readouterr().out
    assert Path("databricks.yml").read_text() == "ours\ntwo\ntheirs\n"
    assert Path("src/usecase/model.py").read_text() == "one\ntwo\nthree\n"
    assert not Path("src/usecase/new.py").exists()
    assert not Path("other.txt").exists()
    assert Path("added.txt").read_text() == "theirs\n"


def test_a_line_that_both_sides_changed_is_named_and_left_to_a_person(template, capsys):
    (template / "databricks.yml").write_text("theirs\ntwo\nthree\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    assert cli.run_args(["update", "origin/main"]) == 1
    shown = capsys.readouterr()
    assert "databricks.yml" in shown.out
    assert "1 files have lines that both sides changed" in shown.err


def test_what_cannot_be_merged_is_refused_before_anything_changes(template, capsys, tmp_path):
    assert cli.run_args(["update", "template/main"]) == 1
    assert "git knows no commit 'template/main'" in capsys.readouterr().err
    git(tmp_path, "init", "--quiet", "stranger")
    (tmp_path / "stranger/x").write_text("x")
    commit_all(tmp_path / "stranger")
    git(Path.cwd(), "fetch", "--quiet", str(tmp_path / "stranger"))
    assert cli.run_args(["update", "FETCH_HEAD"]) == 1
    assert "shares no history" in capsys.readouterr().err
    Path("databricks.yml").write_text("changed\n")
    assert cli.run_args(["update", "origin/main"]) == 1
    assert "commit or stash them" in capsys.readouterr().err


def test_a_merge_that_git_refuses_is_no_success(template, monkeypatch, capsys):
    """Before, a machine without a name for git was told that its fork is the newest."""
    (template / "added.txt").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git(Path.cwd(), "config", "--remove-section", "user")
    git(Path.cwd(), "config", "user.useConfigOnly", "true")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 1
    assert "tell me who you are" in capsys.readouterr().err
    assert not Path(".git/MERGE_HEAD").exists()


def test_a_worktree_is_told_to_commit_the_merge(template, monkeypatch, tmp_path, capsys):
    (template / "added.txt").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    git(Path.cwd(), "worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "taking")
    monkeypatch.chdir(tmp_path / "tree")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    assert "next: .ci/run, then git commit" in capsys.readouterr().out


def test_a_merge_that_was_not_committed_is_no_place_for_the_next_one(template, capsys):
    """A template that changed owned files alone leaves a merge that changes nothing, and nobody commits that."""
    (template / "README.md").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    (template / "added.txt").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 1
    assert "not concluded your merge" in capsys.readouterr().err
    git(Path.cwd(), "commit", "--quiet", "--no-edit")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    assert Path("added.txt").exists()


def test_where_nothing_is_new_generated_files_of_the_fork_stay(template):
    Path("uv.lock").write_text("ours\n")
    commit_all(Path.cwd())
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    assert git(Path.cwd(), "status", "--porcelain") == ""
    (template / "uv.lock").write_text("theirs\n")
    commit_all(template)
    git(Path.cwd(), "fetch", "--quiet")
    git(Path.cwd(), "merge", "--quiet", "--strategy", "ours", "--message", "Keep ours", "origin/main")
    assert cli.run_args(["update", "origin/main", "--merge-only"]) == 0
    assert git(Path.cwd(), "status", "--porcelain") == ""
