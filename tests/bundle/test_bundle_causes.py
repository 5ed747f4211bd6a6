"""A name that is misspelled at one place is told once, with the name that was meant, whatever follows from it.

Every key that this repository's bundle chooses, and every name in it, is misspelled at one place at a time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.test_bundle_mutants import NAMES, Mutant, Step, becoming, mutants

from laptop.bundle import BundleSource, merge_files
from laptop.document import Location, Node
from laptop.lint import lint_source
from laptop.lint.causes import _rename_at
from laptop.lint.project import Project

OWN_KEYS = {("variables",), ("targets",), ("artifacts",), ("resources",)}
"""What has keys of its own; below a target, variables and resources have them, too."""
UNTOLD = {
    "rename targets": "a root key that holds anchors only may have any name: rights.yml says nothing else",
    "dangle bundle.name": "a bundle may have any name",
    "dangle resources.volumes.landing.name": "a volume may have any name",
    "dangle resources.volumes.trial_landing.name": "a volume may have any name",
    "rename targets.dev": "a target may have any name",
    "dangle resources.jobs.monitoring.tasks.2.task_key": "nothing names the task",
    "dangle resources.jobs.rollout.tasks.1.task_key": "nothing names the task",
    "rename resources.jobs.rollout": "nothing names the job: it runs by its schedule",
    "rename resources.experiments.experiment": "its misspelling here, experiments, is the name of the kind as well",
}


def misspell(name: str, number: int) -> str:
    middle = len(name) // 2
    return [
        f"{name}_x",
        name[:middle] + name[middle + 1 :],
        name[: middle - 1] + name[middle : middle + 1] + name[middle - 1] + name[middle + 1 :],
        name[:2] + name[1:],
        name.removesuffix("s") if name.endswith("s") else f"{name}s",
    ][number % 5]


def chooses(path: tuple[Step, ...]) -> bool:
    """Whether the last step of a path is a key that the bundle's authors chose, or the kind of a resource."""
    below = path[2:] if path[0] == "targets" and len(path) > 2 else path
    depth = 3 if below[0] == "resources" else 2 if below[0] in {"variables", "artifacts"} else 1
    return len(path) <= 2 if below is path and path[0] == "targets" else len(below) <= depth


def misspelled(source: BundleSource) -> Iterator[Mutant]:
    for number, mutant in enumerate(mutants(source)):
        if mutant.operation == "rename" and chooses(mutant.path):
            change: Any = partial(rename_key, number=number)
        elif mutant.operation == "dangle" and mutant.path[-1] in NAMES and "{" not in str(mutant.node.value):
            change = becoming(lambda node, number=number: misspell(node.value, number))
        else:
            continue
        yield Mutant(mutant.operation, mutant.file, mutant.path, change, mutant.node)


def rename_key(value: Any, step: Step, *, number: int) -> Any:
    return {misspell(str(key), number) if key == step else key: child for key, child in value.items()}


@pytest.mark.parametrize(
    "step",
    [pytest.param(1, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)]), 59],
    ids=["every one", "every 59th"],
)
def test_a_misspelled_name_is_one_message_that_says_what_was_meant(
    source: BundleSource, project: Project, step: int
) -> None:
    every = list(misspelled(source))
    assert len(every) > 300, "the bundle has shrunk to nothing, or its names are not found"
    many = []
    for mutant in every[::step]:
        problems = lint_source(mutant.source(source), project)
        if len(problems) != 1 or "did you mean" not in problems[0].fix:
            many.append(f"{mutant} -> {len(problems)}: {problems[0] if problems else ''}")
    assert [line for line in many if line.partition(" -> ")[0] not in UNTOLD] == []


def test_no_correction_takes_the_name_of_a_sibling() -> None:
    place = Location(Path("a.yml"), 3)
    kinds = {"volumes": Node({}, Location(Path("a.yml"), 2)), "zebra": Node({}, place)}
    assert _rename_at(Node(kinds, place), place, "zebra", "volumes") == Node(kinds, place)
    assert [*_rename_at(Node(kinds, place), place, "zebra", "jobs").value] == ["volumes", "jobs"]


def unrelated(name: str, number: int) -> str:
    return "banana"


UNRELATED = (
    "rename targets.prod.variables",
    "dangle resources.jobs.training.parameters.8.name",
)


SEVERAL = re.compile(r"rename targets\.\w+(\.(git|run_as|mode|presets|workspace|default|resources(\..+)?))?")
"""Keys of a target. Under a name that is like none, what the key said is lacking and the name is unknown, or the name
is one more resource, which lacks all that it needs: two faults, since nothing says that one was meant as the other."""


@pytest.mark.parametrize("some", [pytest.param(12, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)]), 0])
def test_a_name_replaced_by_an_unrelated_one_is_one_message(
    source: BundleSource, project: Project, monkeypatch: pytest.MonkeyPatch, some: int
) -> None:
    monkeypatch.setattr(f"{__name__}.misspell", unrelated)
    every = [
        mutant for mutant in misspelled(source) if str(mutant) not in UNTOLD and not SEVERAL.fullmatch(str(mutant))
    ]
    named = [mutant for mutant in every if str(mutant) in UNRELATED]
    many = []
    for mutant in random.Random(3).sample(every, some) or named:  # noqa: S311
        problems = lint_source(mutant.source(source), project)
        if len(problems) != 1:
            many.append(f"{mutant} -> {len(problems)}: {problems[0] if problems else ''}")
    assert named
    assert many == []


@pytest.mark.parametrize(
    "number", [pytest.param(40, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)]), 1], ids=["40", "1"]
)
def test_two_misspelled_names_are_two_messages(source: BundleSource, project: Project, number: int) -> None:
    every = [mutant for mutant in misspelled(source) if str(mutant) not in UNTOLD]
    chance = random.Random(number)  # noqa: S311
    for _ in range(number):
        one, other = chance.sample(every, 2)
        while one.file == other.file:
            one, other = chance.sample(every, 2)
        files = list(source.files)
        files[one.file], files[other.file] = one.tree(source), other.tree(source)
        problems = lint_source(merge_files(source.root, tuple(files), source.laptop), project)
        assert len(problems) == 2, f"{one} and {other}: {[str(problem) for problem in problems]}"
        assert all("did you mean" in problem.fix for problem in problems)
