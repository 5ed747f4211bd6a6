"""Targets that stand literally in pipelines: each is one that the bundle deploys, and each of those is there.

GitHub's choices, jobs and locks and Azure's values take no expression that reads databricks.yml, so a renamed target is
renamed there, too (docs/how-to/add-a-target.md); this test names the places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from names import BUNDLE
from pipelinefiles import AZURE, GITHUB, ROOT

from mlops_cli.bundle_targets import list_deployed_targets

PATTERNS = (
    r"^ +target:\n(?: +(?:description|type|required):.*\n)+ +options: \[(.*)\]",  # a choice of GitHub
    r"- name: target\n(?: +(?:displayName|type):.*\n)* +values: \[(.*)\]",  # a parameter of Azure
    r"^  ([\w-]+):\n    name: \1\n    needs: \[targets, (?!build)",  # a job of deploy.yml that waits for another target
    r"^ +group: target-([\w-]+)$",
    r"^ +target: ([\w-]+)$",
    r"(?:outputs\.targets\), |inputs\.target == |parameters\.target, )'([\w-]+)'",
)


def literals(file: Path) -> Iterator[tuple[str, str]]:
    """Each target that a file names, with its place."""
    text = file.read_text()
    for pattern in PATTERNS:
        for match in re.finditer(pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start(1)) + 1
            for name in re.split(r", *", match[1]):
                yield name, f"{file.relative_to(ROOT)}:{line}"
    if file.parent == ROOT / ".azure":
        yield re.sub("-(plan|promote)$", "", file.stem), str(file.relative_to(ROOT))


def strangers() -> list[str]:
    targets = list_deployed_targets()
    return [f"{where}: {name}" for file in (*GITHUB, *AZURE) for name, where in literals(file) if name not in targets]


def test_every_target_that_a_pipeline_names_is_one_that_the_bundle_deploys() -> None:
    assert strangers() == []


@pytest.mark.parametrize("file", ["promote", "rollback", "deploy"])
def test_every_target_that_the_bundle_deploys_is_in_the_workflow(file: str) -> None:
    assert {name for name, _ in literals(ROOT / f".github/workflows/{file}.yml")} == set(list_deployed_targets())


def test_every_target_that_the_bundle_deploys_has_its_pipelines_on_azure() -> None:
    wanted = {f"{target}{role}.yml" for target in list_deployed_targets() for role in ("", "-plan", "-promote")}
    assert {file.name for file in (ROOT / ".azure").glob("*.yml")} == wanted


def test_prod_starts_from_the_pipeline_that_the_bundle_and_its_first_deployed_target_name() -> None:
    sources = re.findall(r"^ +source: (\S+)$", (ROOT / ".azure/prod.yml").read_text(), re.MULTILINE)
    assert sources == [f"{BUNDLE}-{list_deployed_targets()[0]}"]


def test_a_renamed_target_is_told_with_every_place_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.list_deployed_targets", lambda: ("acceptance", "prod"))
    files = {line.partition(":")[0] for line in strangers()}
    named = {
        str(file.relative_to(ROOT))
        for file in (*GITHUB, *AZURE)
        if re.search(r"^(?!\s*(#|- bash:|displayName:|echo))[^#]*\bstaging\b", file.read_text(), re.MULTILINE)
    }
    assert files >= named - {".azure/prod.yml"}  # where `staging` is the alias of a pipeline
