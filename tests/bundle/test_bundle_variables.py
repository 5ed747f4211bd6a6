"""Values of variables from outside the bundle: one way for GitHub, Azure DevOps, a shell, the CLI and the laptop."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laptop.bundle import BundleError, load_bundle

ROOT = Path(__file__).parents[2]
BUNDLE = """
bundle: {name: b}
variables:
  who: {description: w}
  size: {default: 1}
  tags: {type: complex, default: {a: b}}
  house: {lookup: {warehouse: w}}
targets:
  staging: {variables: {size: 2}}
  prod: {}
out: ["${var.who}", "${var.size}", "${var.tags}", "${var.house}"]
"""
Written = Callable[..., Path]


def given(root: Path, text: str, target: str = "staging") -> None:
    file = root / f".databricks/bundle/{target}/variable-overrides.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def out(root: Path, **options: Any) -> list[Any]:
    return list(load_bundle(root, "staging", **options).document["out"])


def problem(root: Path) -> str:
    with pytest.raises(BundleError) as told:
        load_bundle(root, "staging")
    return str(told.value)


def test_the_environment_beats_the_file_and_the_file_beats_the_bundle(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written(BUNDLE)
    given(root, '{"who": "file", "size": 3, "tags": {"c": "d"}, "house": "file"}')
    assert out(root) == ["file", 3, {"c": "d"}, "id of warehouse w"]
    assert out(root, variables={"size": "5"})[1] == "5"
    monkeypatch.setenv("BUNDLE_VAR_size", "4")
    monkeypatch.setenv("BUNDLE_VAR_house", "h1")
    monkeypatch.setenv("BUNDLE_VAR_WHO", "capitals")
    monkeypatch.setenv("BUNDLE_VAR_of_another_bundle", "x")
    assert out(root) == ["file", "4", {"c": "d"}, "h1"]
    monkeypatch.setenv("BUNDLE_VAR_who", "")
    assert out(root)[0] == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "a list stands where a mapping has to be"),
        ("{", "the YAML cannot be read"),
        ('{"who": "a", "szie": 3}', "did you mean 'size'?"),
        ('{"who": ["a"]}', "a list stands for the variable 'who'"),
        ('{"who": "a", "tags": "b"}', "the text 'b' stands for the variable 'tags'"),
        ("{}", "variable 'who' has no value"),
    ],
)
def test_a_file_that_the_cli_would_refuse_or_ignore_is_a_problem(written: Written, text: str, said: str) -> None:
    root = written(BUNDLE)
    given(root, text)
    assert said in problem(root)


def test_a_complex_variable_takes_no_text_of_the_environment(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    root = written(BUNDLE)
    given(root, '{"who": "a"}')
    monkeypatch.setenv("BUNDLE_VAR_tags", "{}")
    assert "variable 'tags' is complex, and BUNDLE_VAR_tags is set" in problem(root)


PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
for program in python uv; do printf '#!/bin/sh\\n' > "$3/bin/$program"; chmod +x "$3/bin/$program"; done
"""
VALUES = {"who": "it's 'me' $(touch canary)", "size": 3}


@pytest.mark.parametrize("system", ["github", "azure"])
@pytest.mark.parametrize("values", [VALUES, None])
def test_one_variable_of_the_pipeline_reaches_the_bundle_in_both_systems(
    written: Written, tmp_path: Path, system: str, values: dict[str, Any] | None
) -> None:
    root = written(BUNDLE)
    programs, temp = tmp_path / "programs", tmp_path / "temp"
    for file, text in {
        root / ".ci/setup": (ROOT / ".ci/setup").read_text(),
        root / ".ci/databricks-cli": "#!/bin/sh\n",
        programs / "python3": PYTHON,
    }.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    temp.mkdir()
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "TARGET": "staging"}
    # GitHub maps the variable, as nothing where it is not set. Azure exports each variable of a group, in capitals.
    environment |= {"BUNDLE_VARIABLES": json.dumps(values) if values else ""} if values or system == "github" else {}
    environment |= (
        {"RUNNER_TEMP": str(temp), "GITHUB_PATH": str(temp / "path")}
        if system == "github"
        else {"AGENT_TEMPDIRECTORY": str(temp)}
    )
    subprocess.run([root / ".ci/setup", "databricks"], env=environment, check=True)
    if values:
        assert out(root)[:2] == [VALUES["who"], 3]
    else:
        assert not (root / ".databricks").exists()
    assert not list(root.rglob("canary"))


def test_what_the_bundle_says_of_git_counts_before_what_git_says(written: Callable[..., Path]) -> None:
    text = "bundle: {name: b, git: {branch: release/1}}\n"
    text += "targets: {dev: {git: {branch: '${bundle.name}-main'}}, test: }\n"
    text += "variables: {v: {default: '${bundle.git.branch}'}}\n"
    root = written(text)
    values = [load_bundle(root, target).document["variables"]["v"]["value"] for target in ("dev", "test")]
    assert values == ["b-main", "release/1"]
