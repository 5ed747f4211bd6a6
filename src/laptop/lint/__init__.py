"""Lists every problem of a bundle for every target, without a workspace: place, summary, reason and fix.

    structure, laptop.normalize   keys and types          graph, calls   tasks on tasks, jobs on jobs
    deployment, paths, compute    what the CLI refuses    dynamic        {{...}}
    policy, environments, catalog, wiring                 what this house asks for

RULES report what the CLI or the platform refuses, or drops without an error; they apply to any bundle. HOUSE_RULES are
conventions of this project; they apply if laptop.yml has `house_rules: true`. `${...}` is checked in laptop.resolution,
where it is resolved.

A rule is a function from a LintTarget to problems, whose docstring states what must hold. To add a rule, write the
function and add it to its module's list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from laptop.bundle import Bundle, BundleError, BundleSource, read_source, resolve_target, suggest_name
from laptop.document import Diagnostic, Location, Node
from laptop.lint import (
    calls,
    catalog,
    causes,
    compute,
    deployment,
    dynamic,
    environments,
    graph,
    paths,
    policy,
    structure,
    tables,
    wiring,
)
from laptop.lint.model import Job, LintTarget
from laptop.lint.project import Project
from laptop.lint.schema import schema_errors
from laptop.normalize import Path as Steps

RULES = (*deployment.RULES, *paths.RULES, *graph.RULES, *calls.RULES, *dynamic.RULES, *catalog.RULES, *compute.RULES)
HOUSE_RULES = (
    *graph.HOUSE_RULES, *calls.HOUSE_RULES, *dynamic.HOUSE_RULES, *wiring.HOUSE_RULES, *policy.HOUSE_RULES,
    *environments.HOUSE_RULES, *catalog.HOUSE_RULES,
)  # fmt: skip


def lint_bundle(
    root: Path, targets: Sequence[str] | None = None, schema: Path | None = None, *, house: bool = True
) -> tuple[Diagnostic, ...]:
    """List all problems of the bundle, each once, by file and line. A problem of some targets only names them.

    Args:
        root: folder of databricks.yml.
        targets: the targets to check; all if not given.
        schema: output of `databricks bundle schema`, against which the bundle is checked, too.
        house: whether HOUSE_RULES apply, if laptop.yml has switched them on.

    Raises:
        BundleError: a target does not exist.
        LaptopError: the schema cannot be read.
    """
    source = read_source(root)
    diagnostics = lint_source(source, Project(root), targets, house=house)
    return _sort_diagnostics([*diagnostics, *schema_errors(source, schema)]) if schema else diagnostics


def lint_source(
    source: BundleSource, project: Project, targets: Sequence[str] | None = None, *, house: bool = True
) -> tuple[Diagnostic, ...]:
    """List the problems of a bundle that was read; problems that one correction would end are merged into one."""
    problems = find_problems(source, project, targets, house=house)
    if {problem.rule for problem in problems} & {"yaml", "include"}:
        return problems

    def lint(corrected: BundleSource) -> tuple[Diagnostic, ...]:
        kept = [target for target in targets or () if target in corrected.targets]
        return find_problems(corrected, project, kept, house=house)

    return tuple(causes.merge_consequences(source, problems, lint))


def find_problems(
    source: BundleSource, project: Project, targets: Sequence[str] | None = None, *, house: bool = True
) -> tuple[Diagnostic, ...]:
    """List every problem of a bundle, without merging those of one cause."""
    if any(problem.rule == "yaml" for problem in source.problems):
        return _sort_diagnostics(source.problems)  # everything that such a file defines would be reported as missing
    wanted = tuple(targets or source.targets)
    unknown = [entry for file in source.files for entry in structure.find_unknown_keys(file)]
    unknown += [entry for file in source.files for entry in structure.find_wrong_words(file)]
    dropped = [(misfit.path, misfit.problem) for misfit in source.misfits]
    house = house and project.settings.has_house_rules
    targets_of: dict[Diagnostic, dict[str, None]] = {}
    for target in wanted:
        for problem in _find_target_problems(source, project, target, [*unknown, *dropped], house=house):
            targets_of.setdefault(problem, {})[target] = None
    of_files = [problem for _, problem in (*unknown, *dropped)]
    for problem in of_files:
        targets_of.pop(problem, None)
    of_targets = [
        replace(problem, summary=f"{problem.summary} (target {', '.join(where)})")
        if len(where) < len(wanted)
        else problem
        for problem, where in targets_of.items()
    ]
    problems = [*source.problems, *of_files, *_check_defaults(source), *of_targets]
    if includes := [problem for problem in problems if problem.rule == "include"]:
        return _sort_diagnostics([*source.problems, *includes])  # its contents would be reported as missing
    problems += [*project.problems, *policy.check_default_target(source)] if house else []
    if house and not problems:  # a missing part would be reported again as a missing table
        problems += tables.check_reads(source, project)
    return _sort_diagnostics(problems)


def _sort_diagnostics(problems: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place. A wrong or missing value is reported once, even if several rules or targets meet it."""
    once = {_cause_of(problem): problem for problem in reversed(list(dict.fromkeys(problems)))}
    return tuple(sorted(once.values(), key=lambda problem: (problem.location, problem.summary)))


def _cause_of(problem: Diagnostic) -> object:
    path, _, rest = problem.summary.partition(" is ")
    value = rest.partition(" and has to be ")[0].removeprefix("the text ")
    if problem.rule == "variables" and re.search("has (no|neither a default nor a) value", problem.summary):
        return (problem.location, "value")
    if told := re.search(r"is told '[^']*', which", problem.summary):  # once per task
        return (problem.location, told[0])
    return (problem.location, path.rpartition(".")[2], value) if problem.rule == "type" and value else problem


def _check_defaults(source: BundleSource) -> Iterator[Diagnostic]:
    """At most one target is the default."""
    defaults = [
        node for name in source.targets if (node := source.tree.get("targets", name, "default")) and node.value is True
    ]
    if len(defaults) > 1:
        what = f"{len(defaults)} targets are the default"
        yield Diagnostic("target", defaults[1].place, what, "the CLI wants one", "set default: true once")


def _find_target_problems(
    source: BundleSource, project: Project, target: str, known: Sequence[tuple[Steps, Diagnostic]], *, house: bool
) -> Iterator[Diagnostic]:
    """List the problems of one target: as deployed, and resolved with the laptop's own values."""
    bundle, unresolved = resolve_target(source, target, deployed=True)
    _, on_laptop = resolve_target(source, target)
    misfits = [(misfit.path, misfit.problem) for misfit in bundle.misfits]
    dropped = {_field_of(path) for path, _ in (*known, *misfits)}
    missing = (entry for entry in structure.find_missing_keys(bundle.tree) if _field_of(entry[0]) not in dropped)
    wrong = [*misfits, *structure.find_unknown_keys(bundle.tree), *missing]
    wrong += structure.find_wrong_words(bundle.tree)
    broken = {path[1:3] for path, _ in (*known, *wrong) if path[:1] == ("resources",)}
    yield from dict.fromkeys([*unresolved, *on_laptop])
    yield from (problem for _, problem in wrong)
    view = _make_view(source, bundle, project, broken)
    for rule in (*RULES, *HOUSE_RULES) if house else RULES:
        yield from rule(view)


def _field_of(path: Steps) -> tuple[str | int, ...]:
    """Return resource and field of a path; targets and merges change the steps between them."""
    below = path[2:] if path[:1] == ("targets",) else path
    return (*below[:3], path[-1])


def _make_view(source: BundleSource, bundle: Bundle, project: Project, broken: set[Steps]) -> LintTarget:
    jobs = bundle.tree.get("resources", "jobs") or Node({}, Location(Path("databricks.yml"), 1))
    sound = {key: Job(key, job) for key, job in jobs.items() if ("jobs", key) not in broken and job.value}
    return LintTarget(source, bundle, project, sound, complete=len(sound) == len(dict(jobs.items())))


__all__ = ["BundleError", "Diagnostic", "lint_bundle", "lint_source", "suggest_name"]
