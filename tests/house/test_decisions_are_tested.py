"""The decisions are tested to the last branch, and a test notices when one of them is changed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PURE = next(contract["source_modules"] for contract in CONTRACTS if contract["name"].startswith("pure modules"))
OF_PIPELINES = (
    "deploy_targets", "lock_audit", "permission_rows", "plan_differences", "plan_pages", "plans", "promotion_status",
    "release_files", "secret_scan",
)  # fmt: skip
DECISIONS = [*PURE, *(f"mlops_cli.ci.{name}" for name in OF_PIPELINES)]


def imports_a_decision(path: Path) -> bool:
    """Whether a file of tests imports one of the modules that decide."""
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {name for node in imports for name in (node.module, *(f"{node.module}.{n.name}" for n in node.names))}
    return not names.isdisjoint(DECISIONS)


LEFT_OUT = {"jobs", "e2e", "examples"}
"""Folders whose tests are slow, or of another project than the one that is changed."""
TESTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "tests").rglob("test_*.py")
    if path.parent.name not in LEFT_OUT and imports_a_decision(path)
)
JUDGES = ("baselines", "probabilities", "ranking", "comparison", "gates", "retraining", "splits")
"""Whether a model serves, and until when: what fits a night. benchmarks/RESULTS.md tells of the others."""
RELEASE = ("approvals", "version_record")
"""What is known of a version, and whether it may become champion."""
pytestmark = pytest.mark.nightly


def run(folder: Path, *words: str, timeout: int) -> str:
    """The tools as a person calls them; what they print if they fail."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        check=False, cwd=folder, env=clean, timeout=timeout, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_unit_tests_reach_every_branch_of_the_decisions(tmp_path):
    covered = [*(f"--cov={name}" for name in DECISIONS), "--cov-branch"]
    covered += [f"--cov-report=json:{tmp_path / 'cov.json'}", "--cov-report="]
    run(ROOT, "pytest", "-q", "-p", "no:cacheprovider", *covered, *TESTS, timeout=600)
    files = json.loads((tmp_path / "cov.json").read_text())["files"]
    missed = {name: found["missing_lines"] + found["missing_branches"] for name, found in files.items()}
    assert {name: lines for name, lines in missed.items() if lines} == {}
    assert len(files) == len(DECISIONS)


def find_source(name: str) -> str:
    """The file of a decision: its last name is unique among the decisions, and those of a package are its modules."""
    sources = [ROOT / "src" / decision.replace(".", "/") for decision in DECISIONS]
    files = [
        path for source in sources for path in (source.glob("*.py") if source.is_dir() else [source.with_suffix(".py")])
    ]
    (file,) = (path for path in files if path.stem == name)
    return str(file.relative_to(ROOT))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("names", [JUDGES, RELEASE], ids=["judges", "release"])
def test_nine_of_ten_changes_of_the_judges_are_noticed(tmp_path, names):
    """benchmarks/RESULTS.md explains the survivors. Mutmut changes a copy; the tests see that one first.

    MUTATE names other modules, as in MUTATE="drift model_life"; -s shows the counts.
    """
    modules = [find_source(name) for name in os.environ.get("MUTATE", "").split() or names]
    beside = ["benchmarks", "databricks.yml", "laptop.yml", "resources"]
    for name in ("src", "tests", *beside, "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    with (tmp_path / "pyproject.toml").open("a") as settings:
        settings.write(
            "\n[tool.mutmut]\n"
            f'source_paths = ["src"]\nalso_copy = {json.dumps(beside)}\n'
            f"only_mutate = {json.dumps(modules)}\n"
            'pytest_add_cli_args = ["-n", "0"]\n'
            f"pytest_add_cli_args_test_selection = {json.dumps(TESTS)}\n"
        )
    run(tmp_path, "mutmut", "run", "--max-children", "2", timeout=3500)
    run(tmp_path, "mutmut", "export-cicd-stats", timeout=60)
    found = json.loads(next(tmp_path.glob("mutants/*cicd*.json")).read_text())
    sys.stdout.write(f"{found}\n")
    assert found["total"] > 100
    assert found["killed"] + found["timeout"] >= 0.9 * found["total"], run(tmp_path, "mutmut", "results", timeout=60)
