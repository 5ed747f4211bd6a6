"""What `laptop validate` prints, and the CLI's own schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laptop.home import LaptopError
from laptop.lint import lint_bundle
from laptop.lint.sarif import to_sarif

VARIABLE = {"type": "string", "pattern": "\\$\\{var\\.\\p{L}+\\}"}
SECONDS = {"oneOf": [{"type": "integer", "minimum": 1}, VARIABLE]}
JOB = {"oneOf": [{"type": "object", "required": ["name"], "properties": {"timeout_seconds": SECONDS}}, VARIABLE]}
RESOURCES = {"properties": {"jobs": {"additionalProperties": JOB}}}
SCHEMA: dict[str, Any] = {
    "properties": {
        "resources": RESOURCES,
        "targets": {"additionalProperties": {"properties": {"resources": RESOURCES}}},
    }
}
"""A piece of what `databricks bundle schema` prints: everything twice, patterns of JavaScript's, targets that add."""


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    return file


def test_the_clis_schema_has_nothing_against_the_bundle(root: Path, schema: Path) -> None:
    assert lint_bundle(root, schema=schema) == ()


def test_what_the_clis_schema_refuses_is_told_with_its_line(copied: Path, schema: Path) -> None:
    file = copied / "resources/training.job.yml"
    file.write_text(file.read_text().replace("timeout_seconds: 7200", "timeout_seconds: 0"))
    line = file.read_text().split("\n").index("      timeout_seconds: 0") + 1
    (problem,) = [each for each in lint_bundle(copied, schema=schema) if each.rule == "schema"]
    assert (problem.location.file, problem.location.line) == (Path("resources/training.job.yml"), line)
    assert problem.summary == "resources.jobs.training.timeout_seconds: 0 is less than the minimum of 1"


def test_a_variable_fits_where_the_schema_lets_it(copied: Path, schema: Path) -> None:
    file = copied / "resources/training.job.yml"
    file.write_text(file.read_text().replace("timeout_seconds: 7200", "timeout_seconds: ${var.größe}"))
    assert not [each for each in lint_bundle(copied, schema=schema) if each.rule == "schema"]


@pytest.mark.parametrize("text", ["{", '{"type": 7}'])
def test_what_is_no_schema_is_said(root: Path, schema: Path, text: str) -> None:
    schema.write_text(text)
    with pytest.raises(LaptopError, match="is no JSON schema"):
        lint_bundle(root, schema=schema)


def test_sarif_has_a_rule_and_a_line_for_each_problem(copied: Path) -> None:
    file = copied / "resources/training.job.yml"
    file.write_text(file.read_text().replace("package_name: mlops-template", "package_name: mlops", 1))
    found = lint_bundle(copied)
    (run,) = to_sarif(found)["runs"]
    assert [result["ruleId"] for result in run["results"]] == [problem.rule for problem in found]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "resources/training.job.yml"
    assert place["region"]["startLine"] == found[0].location.line
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {problem.rule for problem in found}


def test_the_command_prints_sarif_and_keeps_its_exit_code(copied: Path) -> None:
    """Once as a program, from the folder of the bundle."""
    (copied / "resources/rollback.job.yml").unlink()
    command = [sys.executable, "-m", "laptop", "validate", "--output", "sarif"]
    ended = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["runs"][0]["results"]
