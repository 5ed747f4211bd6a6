"""databricks.yml and what it includes, resolved for one target as the Databricks CLI would, without a workspace.

    read(root)            every file as one tree, targets still apart     -> Source
    resolve(source, "t")  target merged in, variables and references gone -> Bundle and every problem met on the way
    load(root, "t")       both, or BundleError

One thing is left out on purpose: the name prefix of `mode: development`. It keeps people apart who share a workspace; a
laptop has its home for that, and targets name one another's models and data without prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from laptop.document import Node, Place, Problem, kind, merge, merge_by_key, nearest, parse
from laptop.given_values import read_given_values
from laptop.normalize import Misfit, normalize_tree
from laptop.resolution import VARIABLE, without_references

__all__ = [
    "Bundle",
    "BundleError",
    "Place",
    "Problem",
    "Source",
    "assemble",
    "load",
    "nearest",
    "read",
    "resolve",
    "targets",
]

OVERRIDES = Path("src/laptop/overrides.yml")


class BundleError(Exception):
    """The bundle cannot be used; `problems` says everything that is in the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Source:
    """The bundle as it is written: the root file with all included files merged in."""

    root: Path
    tree: Node
    overrides: Node
    """Laptop values of variables: `all` and one mapping per target."""
    problems: tuple[Problem, ...]
    """What cannot even be read or merged."""
    files: tuple[Node, ...]
    """The files one by one, before they were merged."""
    misfits: tuple[Misfit, ...] = ()
    """What the CLI drops when it reads the files."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Its targets, as they are written."""
        node = self.tree.get("targets")
        return tuple(name for name, _ in node.items()) if node else ()

    @cached_property
    def variables_used(self) -> frozenset[str]:
        """The variables that some text of the bundle refers to."""
        texts = (node.value for node in self.tree.walk() if isinstance(node.value, str) and "${" in node.value)
        return frozenset(name for text in texts for name in VARIABLE.findall(text))


@dataclass(frozen=True)
class Bundle:
    """The bundle resolved for one target."""

    root: Path
    target: str
    tree: Node = field(repr=False)
    misfits: tuple[Misfit, ...] = ()
    """What the CLI drops when references are resolved."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """Shaped like `databricks bundle validate -o json`; `{{...}}` is left for the run."""
        return dict(self.tree.plain())

    @property
    def name(self) -> str:
        """The bundle's name."""
        node = self.tree.get("bundle", "name")
        return str(node.value) if node else ""

    @property
    def jobs(self) -> Mapping[str, dict[str, Any]]:
        """The jobs, by their key."""
        return dict(self.document.get("resources", {}).get("jobs", {}))

    def place(self, *path: str | int) -> Place:
        """Where that path of the document is written, or its nearest ancestor that is written at all."""
        return self.tree.place_of(*path)


def read(root: Path) -> Source:
    """Read databricks.yml and every file it includes; never raises, `problems` says what could not be read."""
    main, problems = parse(root, Path("databricks.yml"))
    files = [main]
    for file in _included(root, main, problems):
        part, found = parse(root, file)
        files.append(part)
        problems += found
    return assemble(root, tuple(files), _overrides(root, problems), problems)


def assemble(root: Path, files: tuple[Node, ...], overrides: Node, problems: Iterable[Problem] = ()) -> Source:
    """Merge files, the root file first, into one bundle."""
    found = list(problems)
    owners: dict[str, Place] = {}
    misfits: list[Misfit] = []
    normal = []
    for part in files:
        node, dropped = normalize_tree(part)
        normal.append(node)
        misfits += dropped
    files, tree = tuple(normal), normal[0]
    for part in files:
        found += _taken_keys(part, owners)
        if part is not files[0]:
            tree = merge(tree, part, found)
            if include := part.get("include"):
                what, why = "an included file includes others", "the CLI reads only the list in databricks.yml"
                found.append(Problem("include", include.place, what, why, "move the entry there"))
    source = Source(root, tree, overrides, (), files, tuple(misfits))
    for name, node in overrides.items():
        if name not in {"all", *source.targets}:
            what, why = f"{name!r} is no target", "values for it reach nothing"
            found.append(Problem("target", node.place, what, why, nearest(name, ["all", *source.targets])))
    return replace(source, problems=tuple(found))


def _overrides(root: Path, problems: list[Problem]) -> Node:
    if not (root / OVERRIDES).exists():
        return Node({}, Place(OVERRIDES, 1))
    node, found = parse(root, OVERRIDES)
    problems += found
    return node


def targets(root: Path) -> tuple[str, ...]:
    """The names of the bundle's targets, as they are written."""
    return read(root).targets


def load(root: Path, target: str, *, variables: Mapping[str, str] | None = None, overrides: bool = True) -> Bundle:
    """The bundle for one target.

    Args:
        root: folder of databricks.yml.
        target: one of its targets.
        variables: values that beat every other one.
        overrides: whether the laptop's values of variables count.

    Raises:
        BundleError: with everything that cannot be read, merged or resolved.
    """
    source = read(root)
    problems = (*source.problems, *(misfit.problem for misfit in source.misfits))
    if problems:
        raise BundleError(problems)
    bundle, unresolved = resolve(source, target, variables=variables or {}, overrides=overrides)
    problems = (*unresolved, *(misfit.problem for misfit in bundle.misfits))
    if problems:
        raise BundleError(problems)
    return bundle


def resolve(
    source: Source, target: str, *, variables: Mapping[str, str] | None = None, overrides: bool = True
) -> tuple[Bundle, list[Problem]]:
    """Merge the target in and resolve every reference; what cannot be resolved stays as text and is a problem.

    Raises:
        BundleError: there is no such target.
    """
    if target not in source.targets:
        place = source.tree.place_of("targets")
        what = f"there is no target {target!r}"
        raise BundleError([Problem("target", place, what, "nothing can be resolved", nearest(target, source.targets))])
    problems: list[Problem] = []
    tree = _with_target(source.tree, target, problems)
    given = {name: Node(value, tree.place_of("variables")) for name, value in (variables or {}).items()}
    laptop = source.overrides if overrides else Node({}, source.overrides.place)
    told = read_given_values(source.root, target, tree.get("variables"), problems)
    tree = _with_values(tree, target, [given, *told, *_layers(laptop, target)], source, problems)
    tree, misfits = normalize_tree(without_references(tree, source.root, target, problems))
    return Bundle(source.root, target, _with_presets(tree), misfits), list(dict.fromkeys(problems))


def _included(root: Path, main: Node, problems: list[Problem]) -> list[Path]:
    found: dict[Path, None] = {}
    include = main.get("include")
    for pattern in include.value if include and isinstance(include.value, list) else []:
        text = pattern.value
        if not isinstance(text, str) or not text or Path(text).is_absolute():
            what, cure = f"include cannot be {kind(pattern)}", "write a path relative to databricks.yml"
            problems.append(Problem("include", pattern.place, what, "only files below it are read", cure))
            continue
        matches = sorted(path.relative_to(root) for path in root.glob(text) if path.is_file())
        if not matches:
            what, why = f"include {text!r} matches no file", "what it should bring is missing"
            problems.append(Problem("include", pattern.place, what, why, "mend the path or remove it"))
        found |= dict.fromkeys(matches)
    return list(found)


def _taken_keys(part: Node, owners: dict[str, Place]) -> list[Problem]:
    """Resources of a file whose key another one has, whatever their kinds: the CLI wants each key once."""
    taken = []
    resources = part.get("resources")
    for _, group in resources.items() if resources else ():
        for key, resource in group.items():
            if key in owners:
                why = f"{owners[key]} has it, and the CLI wants each key once, whatever the kind"
                taken.append(Problem("keys", resource.place, f"resource key {key!r} is taken", why, "rename one"))
            owners.setdefault(key, resource.place)
    return taken


# --- target ----------------------------------------------------------------------------------------------------------

_MERGED = ("bundle", "workspace", "artifacts", "resources", "sync", "permissions", "presets")
_LISTS = {"job_clusters": "job_cluster_key", "parameters": "name", "tasks": "task_key"}
"""The lists of a job that the CLI merges by key; it joins all others, environments among them."""


def _with_target(tree: Node, target: str, problems: list[Problem]) -> Node:
    chosen = tree.get("targets", target) or Node({}, tree.place)
    root = Node({key: node for key, node in tree.items() if key != "targets"}, tree.place)
    for key in _MERGED:
        over = chosen.get(key)
        if over:
            below = root.get(key)
            root = root.with_value(key, merge(below, over, problems) if below else over)
    if run_as := chosen.get("run_as"):
        root = root.with_value("run_as", run_as)
    facts = root.get("bundle") or Node({}, tree.place)
    for key in ("mode", "git"):
        if over := chosen.get(key):
            facts = facts.with_value(key, over) if isinstance(facts.value, dict) else facts
    if isinstance(facts.value, dict):
        facts = facts.with_value("target", Node(target, chosen.place))
        root = root.with_value("bundle", facts)
    return _each_job(root, lambda job: _merge_lists(job, problems))


def _each_job(root: Node, change: Callable[[Node], Node]) -> Node:
    jobs = root.get("resources", "jobs")
    if not jobs or not isinstance(jobs.value, dict):
        return root
    changed = Node({key: change(job) if isinstance(job.value, dict) else job for key, job in jobs.items()}, jobs.place)
    resources = root.value["resources"]
    return root.with_value("resources", resources.with_value("jobs", changed))


def _merge_lists(job: Node, problems: list[Problem]) -> Node:
    for name, key in _LISTS.items():
        if items := job.get(name):
            merged = merge_by_key(items, key, problems)
            if name == "tasks" and isinstance(merged.value, list):  # the CLI sorts tasks, and only tasks
                merged = Node(sorted(merged.value, key=lambda task: str(_scalar(task, key))), merged.place)
            job = job.with_value(name, merged)
    return job


def _scalar(node: Node, key: str) -> Any:
    below = node.get(key)
    return below.value if below else ""


def _with_presets(root: Node) -> Node:
    """What `presets`, `mode: development` and the root's run_as mean for jobs that do not say it themselves."""
    pause = root.get("presets", "trigger_pause_status")
    mode = root.get("bundle", "mode")
    if not pause and mode and mode.value == "development":
        pause = Node("PAUSED", mode.place)
    run_as, tags = root.get("run_as"), root.get("presets", "tags")

    def settle(job: Node) -> Node:
        for trigger in ("schedule", "continuous", "trigger"):
            node = job.get(trigger)
            if pause and node and isinstance(node.value, dict) and not node.get("pause_status"):
                job = job.with_value(trigger, node.with_value("pause_status", pause))
        if tags and isinstance(tags.value, dict):
            own = job.get("tags")
            job = job.with_value("tags", merge(tags, own, []) if own else tags)
        return job.with_value("run_as", run_as) if run_as and not job.get("run_as") else job

    return _each_job(root, settle)


# --- variables -------------------------------------------------------------------------------------------------------


def _layers(overrides: Node, target: str) -> list[dict[str, Node]]:
    return [dict(node.items()) for node in (overrides.get(target), overrides.get("all")) if node]


def _with_values(
    tree: Node, target: str, layers: list[dict[str, Node]], source: Source, problems: list[Problem]
) -> Node:
    """Every variable with its value: from a layer, else the target's, else its default."""
    declared = tree.get("variables")
    known = dict(declared.items()) if declared else {}
    assigned = source.tree.get("targets", target, "variables")
    own = {name: _target_value(node) for name, node in assigned.items()} if assigned else {}
    for name, node in [item for layer in [*layers, own] for item in layer.items()]:
        if name not in known:
            what, why = f"variable {name!r} is not declared", "a value for it reaches nothing"
            problems.append(Problem("variables", node.place, what, why, nearest(name, known)))
    for name, variable in known.items():
        values = [layer[name] for layer in [*layers, own] if name in layer]
        default = variable.get("default")
        if default and default.value is not None:
            values.append(default)
        if sought := variable.get("lookup"):  # the CLI asks the workspace for its id; no laptop needs that
            values += [Node(f"id of {what} {name.value}", name.place) for what, name in sought.items()]
        if values and isinstance(variable.value, dict):
            known[name] = variable.with_value("value", values[0])
        elif isinstance(variable.value, dict):
            problems.append(_valueless(name, variable, target, source))
    return tree.with_value("variables", Node(known, declared.place)) if declared else tree


def _target_value(node: Node) -> Node:
    """`name: value` and `name: {default: value}` say the same."""
    return node.get("default") or node


def _valueless(name: str, variable: Node, target: str, source: Source) -> Problem:
    elsewhere = any(source.tree.get("targets", other, "variables", name) for other in source.targets)
    place = source.tree.place_of("targets", target, "variables") if elsewhere else variable.place
    what = f"variable {name!r} has no value in target {target!r}"
    cure = f"give it a default, a value in the target or in BUNDLE_VAR_{name}, or for the laptop one in {OVERRIDES}"
    return Problem("variables", place, what, "the CLI stops without one", cure)
