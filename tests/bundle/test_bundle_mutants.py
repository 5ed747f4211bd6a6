"""The linter against a program: every node of the bundle deleted, renamed, retyped and left dangling, one at a time.

Each mutant is reported where a reader would look (the node, what holds it, or a line that names it), or it is a legal
change of which LEGAL says why. Mutants are made in the trees of the files, before they are merged; one test writes some
of them out as files and finds the same, and `include`, which decides what is read, is broken in files only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from databricks.bundles.jobs import Job
from ruamel.yaml import YAML

from laptop.bundle import BundleSource, merge_files
from laptop.document import Diagnostic, Node
from laptop.lint import find_problems, lint_bundle, lint_source, structure
from laptop.lint.project import Project

Step = str | int
JOBS = ("deployment", "monitoring")
"""The jobs with the most sorts of tasks."""
NAMES = ("task_key", "environment_key", "entry_point", "name")

LEGAL = {
    "dangle bundle.name": "a bundle may have any name",
    "dangle targets.*.artifacts.*.build": "any command may build the wheel",
    "delete targets.*.artifacts": "a target that does not build deploys what lies in dist",
    "delete targets.*.artifacts.wheel": "a target that does not build deploys what lies in dist",
    "delete targets.*.artifacts.*.build": "a target that does not build deploys what lies in dist",
    "rename targets.dev": "a target may have any name; the other two are named by the laptop's overrides",
    "dangle targets.*.variables.catalog": "a catalog may have any name; only the workspace knows which exist",
    "dangle targets.*.git.branch": "a branch may have any name",
    "delete presets.tags.*": "which tags a job has is free",
    "rename presets.tags.*": "which tags a job has is free",
    "dangle variables.schema.default": "a schema may have any name",
    "dangle variables.model.default": "a model may have any name",
    "dangle variables.question.default": "a question is free text",
    "dangle variables.landing.default": "a volume may have any name",
    "dangle variables.endpoint.default": "an endpoint may have any name",
    "dangle variables.endpoint_size.default": "the platform names the sizes, and adds to them",
    "delete variables.data_schema.default": "dev has a value and laptop.yml one; elsewhere the CLI stops and names it",
    "delete targets.dev.variables.data_schema": "a target may read any schema; the laptop reads the one of laptop.yml",
    "dangle variables.*.description": "free text",
    "dangle resources.jobs.*.description": "free text",
    "dangle resources.*.*.comment": "free text",
    "dangle resources.jobs.*.parameters.*.default": "a default is free text where the configuration says so",
    "dangle resources.jobs.*.tasks.*.task_key": "only a task that others name, or with an entry point, is bound",
    "delete resources.jobs.*.parameters.*": "its configuration has a default",
    "delete resources.jobs.*.tasks.*.python_wheel_task.named_parameters.endpoint_*": "its configuration has a default",
    "dangle resources.jobs.*.tasks.*.condition_task.right": "a job's parameter may have any value, as `endpoint` has",
    "delete resources.jobs.*.schedule": "a job without schedule is started by hand",
    "delete resources.jobs.*.performance_target": "the platform has one; mlops_cli/ci/test_estimates.py holds ours",
    "delete variables.sample_environments.default.*.spec.dependencies.2": "what a task imports only running it tells",
    "delete resources.jobs.ingestion.tasks.1": "the job integration has that task too; README's table misses it",
    "delete resources.jobs.integration.tasks.8": "a trial may stop before its last task; README's table misses it",
    "dangle variables.trial_days.default.*": "a day or a moment is free text",
    **dict.fromkeys(
        (
            "delete targets.*.permissions.**",
            "delete targets.*.resources.**",
            "delete targets.*.permissions",
            "delete targets.*.resources",
        ),
        "rights are no matter of form: tests/mlops_cli/workspace/test_bundle_rights.py compares them with the calls",
    ),
    **dict.fromkeys(
        (
            "delete resources.schemas.*.properties",
            "delete resources.schemas.*.properties.*",
            "rename resources.schemas.*.properties.*",
            "dangle resources.schemas.*.properties.*",
        ),
        "properties are free text; jobs refuse what they do not say: tests/mlops/release/test_target_settings.py",
    ),
    "delete resources.jobs.integration.tasks.*.python_wheel_task.named_parameters.model_version": "the other is told",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file's tree."""

    operation: str
    file: int
    path: tuple[Step, ...]
    change: Callable[[Any, Step], Any]
    node: Node
    """What was there."""

    def __str__(self) -> str:
        return f"{self.operation} {'.'.join(map(str, self.path))}"

    def tree(self, source: BundleSource) -> Node:
        """The file with the change, before the CLI would drop anything of it."""
        return changed(source.files[self.file], self.path, self.change)

    def source(self, source: BundleSource) -> BundleSource:
        files = list(source.files)
        files[self.file] = self.tree(source)
        return merge_files(source.root, tuple(files), source.laptop)

    def legal(self) -> str | None:
        """The entry of LEGAL that it falls under; `*` stands for one step, `**` for any."""
        patterns = {form: re.escape(form).replace(r"\*\*", ".+").replace(r"\*", r"[^.]+") for form in LEGAL}
        return next((form for form, pattern in patterns.items() if re.fullmatch(pattern, str(self))), None)

    def told_by(self, source: BundleSource, problem: Diagnostic) -> bool:
        """Whether the problem stands where one would look for this change."""
        file = source.files[self.file]
        deep = len(self.path)
        around = {file.locate(*self.path[:length]) for length in range(max(deep - 2, min(deep - 1, 1)), deep + 1)}
        line = (source.root / problem.location.file).read_text().splitlines()[problem.location.line - 1]
        return problem.location in around or any(name in line for name in self.names())

    def names(self) -> set[str]:
        """What others may call the changed node: keys, the names of things in it, and what it refers to."""
        found = {str(self.path[1])} if self.path[0] == "variables" and len(self.path) > 1 else set()
        found |= {str(self.path[-1])} if isinstance(self.path[-1], str) else set()
        found |= {str(self.node.value)} if self.path[-1] in NAMES else set()
        found |= {"environment_key"} if self.path[-1] == "environments" else set()
        for below in self.node.walk():
            if isinstance(below.value, str):
                found |= set(re.findall(r"\{(?:var|tasks|resources\.\w+)\.([\w-]+)", below.value))
            named = (below.get(key) for key in NAMES)
            found |= {str(node.value) for node in named if node} | {key for key, _ in below.items()}
        return {name for name in found if len(name) > 2}


def below(node: Node, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Node]]:
    items = node.value if isinstance(node.value, list) else []
    for step, child in [*node.items(), *enumerate(items)]:
        yield (*path, step), child
        yield from below(child, (*path, step))


def changed(node: Node, path: tuple[Step, ...], change: Callable[[Any, Step], Any]) -> Node:
    value = dict(node.value) if isinstance(node.value, dict) else list(node.value)
    if path[1:]:
        value[path[0]] = changed(value[path[0]], path[1:], change)
        return Node(value, node.place)
    return Node(change(value, path[0]), node.place)


def without(value: Any, step: Step) -> Any:
    del value[step]
    return value


def renamed(value: Any, step: Step) -> Any:
    return {(f"{key}_x" if key == step else key): child for key, child in value.items()}


def becoming(make: Callable[[Any], Any]) -> Callable[[Any, Step], Any]:
    def change(value: Any, step: Step) -> Any:
        value[step] = Node(make(value[step]), value[step].place)
        return value

    return change


def a_mapping(node: Node) -> Any:
    return {"x": Node("x", node.place)}


def dangling(node: Node) -> str:
    text = node.value
    return re.sub(r"(\w)(\}\}?)", r"\1_x\2", text) if "${" in text or "{{" in text else f"{text}_x"


def mutants(source: BundleSource) -> Iterator[Mutant]:
    for number, file in enumerate(source.files):
        for path, node in below(file):
            if path[0] == "include":
                continue
            yield Mutant("delete", number, path, without, node)
            if isinstance(path[-1], str):
                yield Mutant("rename", number, path, renamed, node)
            if isinstance(node.value, dict | list):
                yield Mutant("retype", number, path, becoming(lambda _: "x"), node)
                continue
            yield Mutant("retype", number, path, becoming(a_mapping), node)
            if isinstance(node.value, str):
                yield Mutant("dangle", number, path, becoming(dangling), node)
            else:
                yield Mutant("retype", number, path, becoming(lambda _: "x"), node)


def targets(mutant: Mutant, source: BundleSource) -> tuple[str, ...]:
    """Where a mutant is looked at: one target sees what is common to all, which is harder than all of them would be."""
    own = mutant.path[1:2] if mutant.path[0] == "targets" else ("prod",)
    return own if own and own[0] in source.targets else source.targets


@pytest.mark.parametrize(
    "step",
    [pytest.param(1, marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]), 97],
    ids=["every one", "every 97th, which has all sorts"],
)
def test_every_mutant_is_reported_in_its_place_or_legal(source: BundleSource, project: Project, step: int) -> None:
    silent, misplaced, legal = [], [], set()
    every = list(mutants(source))
    assert len(every) > 2000, "the bundle has shrunk to nothing, or its nodes are not found"
    for mutant in every[::step]:
        broken = mutant.source(source)
        problems = find_problems(broken, project, targets(mutant, broken)) or find_problems(broken, project)
        if not problems and (form := mutant.legal()):
            legal.add(form)
        elif not problems:
            silent.append(str(mutant))
        elif not any(mutant.told_by(source, problem) for problem in problems):
            misplaced.append(f"{mutant} -> {problems[0]}")
    assert not silent, "\n".join(silent)
    assert not misplaced, "\n".join(misplaced)
    assert legal == set(LEGAL) or step > 1, "what is listed as legal and never met belongs off the list"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_mutants_written_to_files_are_reported_as_those_in_memory(
    copied: Path, source: BundleSource, project: Project
) -> None:
    """Every 97th mutant, as a file: the same problems, but for the lines that writing moves."""
    sample = [mutant for number, mutant in enumerate(mutants(source)) if number % 97 == 7]
    assert len(sample) > 20
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False  # within { } the CLI refuses the ? of a schedule
    for mutant in sample:
        broken, name = mutant.source(source), source.files[mutant.file].place.file
        before = (copied / name).read_text()
        with (copied / name).open("w") as stream:
            writer.dump(mutant.tree(source).plain(), stream)
        assert said(lint_bundle(copied)) == said(lint_source(broken, project)), str(mutant)
        (copied / name).write_text(before)


def said(problems: tuple[Diagnostic, ...]) -> set[tuple[str, str]]:
    return {(problem.rule, re.sub(r" \S+yml:\d+| \(target [^)]*\)", "", problem.summary)) for problem in problems}


@pytest.mark.parametrize("line", ["include:", "  - resources/*.yml"])
def test_what_is_not_included_is_missed(copied: Path, line: str) -> None:
    file = copied / "databricks.yml"
    for text in (line + "x", ""):
        file.write_text(file.read_text().replace(line, text, 1))
        assert lint_bundle(copied, ["prod"])


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.nightly), 7], ids=["every one", "every 7th"])
def test_the_structure_is_that_of_databricks_bundles(source: BundleSource, step: int) -> None:
    """Whatever mutant of a job its class refuses, the linter reports; the clean jobs please both."""
    refused = 0
    for mutant in islice(mutants(source), 0, None, step):
        if len(mutant.path) < 4 or mutant.path[:2] != ("resources", "jobs") or mutant.path[2] not in JOBS:
            continue
        broken = mutant.source(source)
        job = broken.tree.get("resources", "jobs", str(mutant.path[2]))
        assert job is not None
        try:
            Job.from_dict(job.plain())
        except (ValueError, TypeError, AttributeError):
            refused += 1
            found = [*structure.find_unknown_keys(broken.tree), *structure.find_missing_keys(broken.tree)]
            found += structure.find_wrong_words(broken.tree)
            assert broken.misfits or found, str(mutant)
    assert refused > 100 / step
    jobs = source.tree.get("resources", "jobs")
    assert jobs is not None
    for key, job in jobs.items():
        assert Job.from_dict(job.plain()).name, key
