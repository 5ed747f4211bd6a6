"""Every problem of the bundle for every target, without a workspace: where it is, what, why it matters, how to mend it.

    structure   keys, types and required fields     graph   tasks on tasks, jobs on jobs
    dynamic     {{...}}                             wiring  the bundle against the code
    policy, environments, catalog   what is legal and wrong here

`${...}` is checked where it is resolved, in laptop.resolution.

A rule is a function from a View to problems; adding one means writing it and naming it in its module's RULES.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from laptop.bundle import BundleError, Source, nearest, read, resolve
from laptop.document import Node, Place, Problem
from laptop.lint import catalog, dynamic, environments, graph, policy, structure, wiring
from laptop.lint.project import Project
from laptop.lint.schema import held_against
from laptop.lint.view import Job, View

RULES = (*graph.RULES, *dynamic.RULES, *wiring.RULES, *policy.RULES, *environments.RULES, *catalog.RULES)


def check(root: Path, targets: Sequence[str] | None = None, schema: Path | None = None) -> tuple[Problem, ...]:
    """All problems of the bundle, each once, by file and line; those of some targets only name these.

    Args:
        root: folder of databricks.yml.
        targets: which targets to look at; all if not given.
        schema: what `databricks bundle schema` printed, to hold the bundle against as well.

    Raises:
        BundleError: a target does not exist.
        LaptopError: the schema cannot be read.
    """
    source = read(root)
    found = inspect(source, Project(root), targets)
    return _sorted([*found, *held_against(source, schema)]) if schema else found


def inspect(source: Source, project: Project, targets: Sequence[str] | None = None) -> tuple[Problem, ...]:
    """The same for a bundle that has been read."""
    if any(problem.rule == "yaml" for problem in source.problems):
        return _sorted(source.problems)  # what is missing from such a file would be reported all over
    found: dict[Problem, list[str]] = {}
    wanted = tuple(targets or source.targets)
    for target in wanted:
        for problem in _of_target(source, project, target):
            found.setdefault(problem, []).append(target)
    some = [
        replace(problem, what=f"{problem.what} (target {', '.join(where)})")
        if len(set(where)) < len(wanted)
        else problem
        for problem, where in found.items()
    ]
    return _sorted([*source.problems, *structure.root(source.tree), *_of_targets(source), *some])


def _sorted(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.place, problem.what)))


def _of_targets(source: Source) -> Iterator[Problem]:
    """One target is meant when none is named."""
    chosen = [
        node for name in source.targets if (node := source.tree.get("targets", name, "default")) and node.value is True
    ]
    place = source.tree.place_of("targets")
    if not source.targets:
        yield Problem("target", place, "there is no target", "nothing can be deployed", "add targets")
    elif len(chosen) != 1:
        what = f"{len(chosen)} targets are the default"
        yield Problem("target", chosen[1].place if chosen else place, what, "one has to be", "set default: true once")


def _of_target(source: Source, project: Project, target: str) -> Iterator[Problem]:
    bundle, unresolved = resolve(source, target)
    yield from unresolved
    broken = set()
    wrong = [*structure.misfits((*source.misfits, *bundle.misfits)), *structure.resources(bundle.tree)]
    for resource, problem in wrong:
        broken.add(resource)
        yield problem
    jobs = bundle.tree.get("resources", "jobs") or Node({}, Place(Path("databricks.yml"), 1))
    sound = {key: Job(key, job) for key, job in jobs.items() if ("jobs", key) not in broken and job.value}
    view = View(source, bundle, project, sound, complete=len(sound) == len(dict(jobs.items())))
    for rule in RULES:
        yield from rule(view)


__all__ = ["BundleError", "Problem", "check", "inspect", "nearest"]
