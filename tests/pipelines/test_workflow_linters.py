"""The linters of workflows and pipelines, as strict as they can be, over every file of both systems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pipelinefiles import AZURE, GITHUB, ROOT, document

BIN = Path(sys.executable).parent
AZURE_FLAGS = ("--regex-variant", "nonunicode", "--data-transform", "azure-pipelines")


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def assert_clean(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing_as_an_auditor() -> None:
    assert_clean(run("zizmor", "--offline", "--strict-collection", "--persona=auditor", ".github"))


def test_zizmor_needs_one_exception() -> None:
    """`uses: $/…`, which it wants, is refused by actionlint: see .github/zizmor.yml."""
    assert [*ROOT.glob("zizmor.y*ml"), *ROOT.glob(".github/**/zizmor.y*ml")] == [ROOT / ".github/zizmor.yml"]
    assert document(ROOT / ".github/zizmor.yml") == {"rules": {"self-repository": {"disable": True}}}
    assert not [file for file in GITHUB if "zizmor: ignore" in file.read_text()]


def test_jactionlint_finds_nothing() -> None:
    assert_clean(run("jactionlint", "--shellcheck="))


@pytest.mark.parametrize(
    ("schema", "flags", "files"),
    [
        ("vendor.github-workflows", (), GITHUB),
        ("vendor.dependabot", (), [ROOT / ".github/dependabot.yml"]),
        ("vendor.azure-pipelines", AZURE_FLAGS, AZURE),
    ],
    ids=("workflows", "dependabot", "azure"),
)
def test_every_file_has_the_shape_that_its_system_wants(schema: str, flags: tuple[str, ...], files: list[Path]) -> None:
    assert files
    assert_clean(run("check-jsonschema", "--builtin-schema", schema, *flags, *files))


def test_the_linters_do_find_something(tmp_path: Path) -> None:
    bad = tmp_path / ".github/workflows/bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text("on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    step: []\n")
    assert run("zizmor", "--offline", "--persona=auditor", bad).returncode != 0
    assert run("jactionlint", "--shellcheck=", bad).returncode != 0
    assert run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", bad).returncode != 0
