"""AGENTS.md, hooks and editors: every path is there, and hooks run what CI runs."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

ROOT = Path(__file__).parents[2]
AGENTS = (ROOT / "AGENTS.md").read_text()


def test_every_path_of_agents_md_is_there():
    named = re.findall(r"`((?:src|tests|docs|resources|\.ci)[\w./-]*|[\w.]+\.(?:md|yml))`", AGENTS)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_run_what_ci_runs_before_the_tests():
    lines = (ROOT / ".ci/run").read_text().splitlines()
    ci = [line.split(" ${")[0] for line in lines if line.startswith("uv run ") and "pytest" not in line]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ci


def test_the_container_installs_uv_as_ci_does_and_the_python_of_the_project():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert "--require-hashes --requirement .ci/uv.txt" in container["postCreateCommand"]
    assert container["image"].startswith(f"python:{(ROOT / '.python-version').read_text().strip()}")
    for file in (".vscode/settings.json", ".vscode/extensions.json"):
        assert json.loads((ROOT / file).read_text())


@pytest.mark.parametrize(
    ("command", "words", "typed", "offered"),
    [
        ("laptop", ["run"], "mon", ["monitoring"]),
        ("laptop", ["run", "training", "-t"], "", ["dev", "prod", "staging"]),
        ("laptop", ["validate", "--target"], "st", ["staging"]),
        ("mlops", ["promote", "--target"], "p", ["prod"]),
        ("mlops", ["status", "-t"], "s", ["staging"]),
    ],
)
def test_a_shell_completes_names_of_jobs_and_targets(monkeypatch, command, words, typed, offered):
    import laptop.cli
    import mlops_cli.cli

    monkeypatch.chdir(ROOT)
    group = {"laptop": laptop.cli.main, "mlops": mlops_cli.cli.cli}[command]
    completed = ShellComplete(group, {}, command, f"_{command.upper()}_COMPLETE").get_completions(words, typed)
    assert [item.value for item in completed] == offered


def test_no_color_leaves_colors_out_of_the_live_tree(monkeypatch):
    from laptop.console import Console
    from laptop.run_store import Run, TaskRun

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown():
        out = Terminal()
        console = Console(out)
        run = Run("1", "job", "name", "1", "dev", "onetime", "ada", "", tasks={"a": TaskRun("a", "2", "SUCCESS")})
        console.start_run(run, Path("log"))
        console.end_run(run)
        return re.search(r"\x1b\[[0-9;]*m", out.getvalue())

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shown()


def test_help_imports_neither_pandas_nor_pydantic_nor_mlflow():
    code = (
        "import sys; from mlops_cli.cli import run_args; from laptop.cli import run_args as laptop; "
        "run_args(['--help']); laptop(['--help']); "
        "print({'pandas', 'numpy', 'pydantic', 'mlflow', 'pyspark', 'databricks'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
