"""GitHub's workflows and Azure's pipelines as what they run: jobs, their steps, their environment, their conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
GITHUB = sorted((ROOT / ".github/workflows").glob("*.yml"))
AZURE = [ROOT / "azure-pipelines.yml", *sorted((ROOT / ".azure").rglob("*.yml"))]


@dataclass(frozen=True)
class Step:
    """One command of a pipeline."""

    run: str
    env: dict[str, str]
    """Of workflow, job and step."""
    only: str = ""
    """The condition that it stands under, in neither system's words; empty for none."""


@cache
def document(file: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(file.read_text()))


def github(name: str, job: str) -> list[Step]:
    """The commands of a job of a workflow."""
    workflow = document(ROOT / f".github/workflows/{name}.yml")
    found = workflow["jobs"][job]
    steps = []
    for step in found.get("steps", ()):
        if "run" in step:
            env = {**workflow.get("env", {}), **found.get("env", {}), **step.get("env", {})}
            steps.append(Step(step["run"].strip(), env, _only(step.get("if", ""))))
    return steps


def azure(file: str, job: str, **parameters: str) -> list[Step]:
    """The commands of a job of a pipeline or template, templates and conditions resolved for these parameters."""
    found = next(j for j in jobs(document(ROOT / file)) if j.get("job", j.get("deployment")) == job)
    steps = found.get("steps") or found["strategy"]["runOnce"]["deploy"]["steps"]
    env = {v["name"]: v["value"] for v in found.get("variables", ()) if "name" in v}
    return list(_azure(steps, env, "", parameters))


def jobs(node: Any) -> Iterator[dict[str, Any]]:
    """Every job of a pipeline of Azure."""
    if isinstance(node, dict) and ("job" in node or "deployment" in node):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from jobs(child)


def _azure(steps: list[Any], env: dict[str, str], only: str, parameters: dict[str, str]) -> Iterator[Step]:
    for step in steps:
        key = next(iter(step))
        if key.startswith("${{ if"):
            wanted = re.search(r"eq\(parameters\.(\w+), '(\w+)'\)", key)
            if wanted and parameters.get(wanted[1]) not in {None, wanted[2]}:
                continue
            yield from _azure(step[key], env, _only(key), parameters)
        elif "bash" in step:
            yield Step(step["bash"].strip(), {**env, **step.get("env", {})}, only or _only(step.get("condition", "")))


def _only(condition: str) -> str:
    if "staging" in condition:
        return "staging"
    return "always" if "always()" in condition else "dollar" if "'$'" in condition else ""


def every_step() -> Iterator[tuple[str, Step]]:
    """Every command of both systems, with where it stands."""
    for file in GITHUB:
        for job in document(file)["jobs"]:
            for step in github(file.stem, job):
                yield f"{file.name}:{job}", step
    for file in AZURE:
        for found in jobs(document(file)):
            job = found.get("job", found.get("deployment"))
            for step in azure(str(file.relative_to(ROOT)), job):
                yield f"{file.relative_to(ROOT)}:{job}", step
