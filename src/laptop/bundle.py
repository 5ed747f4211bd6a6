"""Reads databricks.yml with its includes and resolves it for one target as the Databricks CLI does, offline.

read_source(root)            merges the files into one tree, targets apart        -> BundleSource
resolve_target(source, "t")  merges the target in, fills variables and references -> Bundle, and all problems
load_bundle(root, "t")       does both                                            -> Bundle, or BundleError
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from laptop.document import Diagnostic, Location, Node, describe_kind, merge_by_key, merge_nodes, suggest_name
from laptop.given_values import read_given_values
from laptop.includes import list_included_files, read_laptop, root_file
from laptop.normalize import Misfit, normalize_tree
from laptop.presets import apply_presets, change_each_job, prefix_names
from laptop.resolution import VARIABLE, forget_git, job_id, resolve_references, resolve_value
from laptop.variables import assign_values
from laptop.yaml_loader import parse_yaml

__all__ = [
    "Bundle",
    "BundleError",
    "BundleSource",
    "Diagnostic",
    "Location",
    "all_job_ids",
    "list_targets",
    "load_bundle",
    "merge_files",
    "read_source",
    "resolve_target",
    "suggest_name",
]


class BundleError(Exception):
    """The bundle cannot be used; `problems` lists every reason."""

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class BundleSource:
    """The bundle as it is written: the root file with all included files merged in."""

    root: Path
    tree: Node
    laptop: Node
    """laptop.yml: what only a laptop needs."""
    problems: tuple[Diagnostic, ...]
    """Parts that cannot be read or merged."""
    files: tuple[Node, ...]
    """The files one by one, before they were merged."""
    misfits: tuple[Misfit, ...] = ()
    """Values that the CLI drops when it reads the files."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Its targets, as they are written."""
        node = self.tree.get("targets")
        return tuple(name for name, _ in node.items()) if node else ()

    @property
    def overrides(self) -> Node:
        """Laptop values of variables: `all` and one mapping per target."""
        return self.laptop.get("variables") or Node({}, self.laptop.place)

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
    """Values that the CLI drops when it resolves references."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """The bundle as `databricks bundle validate -o json` prints it, without nulls; `{{...}}` stays for the run."""
        return dict(_drop_nulls(self.tree.plain()))

    @property
    def name(self) -> str:
        """The bundle's name."""
        node = self.tree.get("bundle", "name")
        return str(node.value) if node else ""

    @property
    def jobs(self) -> Mapping[str, dict[str, Any]]:
        """The jobs, by their key."""
        return dict(self.document.get("resources", {}).get("jobs", {}))

    def locate(self, *path: str | int) -> Location:
        """Find the place where a path of the document is written, or that of its nearest written ancestor."""
        return self.tree.locate(*path)


def _drop_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_nulls(below) for key, below in value.items() if below is not None}
    return [_drop_nulls(item) for item in value] if isinstance(value, list) else value


def read_source(root: Path) -> BundleSource:
    """Read databricks.yml and every file that it includes; unreadable parts are in `problems`, nothing is raised."""
    forget_git()
    main, problems = parse_yaml(root, root_file(root))
    files = [main]
    for file in list_included_files(root, main, problems):
        part, part_problems = parse_yaml(root, file)
        files.append(part)
        problems += part_problems
    return merge_files(root, tuple(files), read_laptop(root, problems), problems)


def merge_files(root: Path, files: tuple[Node, ...], laptop: Node, problems: Iterable[Diagnostic] = ()) -> BundleSource:
    """Merge files, the root file first, into one bundle."""
    merge_problems = list(problems)
    owners: dict[str, Location] = {}
    misfits: list[Misfit] = []
    normal = []
    for part in files:
        node, dropped = normalize_tree(part)
        normal.append(node)
        misfits += dropped
    files, tree = tuple(normal), normal[0]
    for part in files:
        merge_problems += _check_duplicate_keys(part, owners)
        if (named := part.get("targets")) and isinstance(named.value, str):
            what, cure = f"targets is {describe_kind(named)} and has to be a mapping", "write the targets out"
            merge_problems.append(Diagnostic("type", named.place, what, "the CLI stops at it", cure))
        if part is not files[0]:
            tree = merge_nodes(tree, part, merge_problems)
            if include := part.get("include"):
                what, why = "an included file includes others", "the CLI reads only the list in databricks.yml"
                merge_problems.append(Diagnostic("include", include.place, what, why, "move the entry there"))
    source = BundleSource(root, _with_some_target(tree), laptop, (), files, tuple(misfits))
    for name, node in source.overrides.items():
        if name not in {"all", *source.targets}:
            what, why = f"{name!r} is no target", "values for it reach nothing"
            merge_problems.append(
                Diagnostic("target", node.place, what, why, suggest_name(name, ["all", *source.targets]))
            )
    return replace(source, problems=tuple(merge_problems))


def _with_some_target(tree: Node) -> Node:
    """Add the target `default` if there is none; like the CLI, read `environments`, the old name of targets."""
    named = tree.get("targets") or tree.get("environments")
    if named and isinstance(named.value, dict) and named.value:
        return tree.with_value("targets", named)
    return tree.with_value("targets", Node({"default": Node({}, tree.place)}, tree.place))


def list_targets(root: Path) -> tuple[str, ...]:
    """The names of the bundle's targets, as they are written."""
    return read_source(root).targets


def all_job_ids(root: Path) -> dict[str, tuple[str, str]]:
    """Return job and target by job id, for the jobs of all targets; the ids are those of a laptop."""
    tree = read_source(root).tree
    names = [name for name, _ in (tree.get("targets") or tree).items()]
    groups = [tree.get("resources", "jobs"), *(tree.get("targets", name, "resources", "jobs") for name in names)]
    keys = {key for group in groups if group for key, _ in group.items()}
    return {job_id(name, key): (key, name) for name in names for key in keys}


def load_bundle(
    root: Path, target: str, *, variables: Mapping[str, str] | None = None, overrides: bool = True
) -> Bundle:
    """The bundle for one target.

    Args:
        root: folder of databricks.yml.
        target: one of its targets.
        variables: values that beat every other one.
        overrides: whether the laptop's values of variables count.

    Raises:
        BundleError: lists everything that cannot be read, merged or resolved.
    """
    source = read_source(root)
    problems = (*source.problems, *(misfit.problem for misfit in source.misfits))
    if problems:
        raise BundleError(problems)
    bundle, unresolved = resolve_target(source, target, variables=variables or {}, overrides=overrides)
    problems = (*unresolved, *(misfit.problem for misfit in bundle.misfits))
    if problems:
        raise BundleError(problems)
    return bundle


def resolve_target(
    source: BundleSource,
    target: str,
    *,
    variables: Mapping[str, str] | None = None,
    overrides: bool = True,
    deployed: bool = False,
) -> tuple[Bundle, list[Diagnostic]]:
    """Merge the target in and resolve every reference; an unresolved one stays as text and is a problem.

    Args:
        source: the bundle as it is written.
        target: one of its targets.
        variables: values that beat every other one.
        overrides: whether the laptop's values of variables count.
        deployed: the laptop's values count only for variables without any other, as a pipeline's BUNDLE_VAR_ do.

    Raises:
        BundleError: there is no such target.
    """
    if target not in source.targets:
        place = source.tree.locate("targets")
        what = f"there is no target {target!r}"
        raise BundleError(
            [Diagnostic("target", place, what, "nothing can be resolved", suggest_name(target, source.targets))]
        )
    problems: list[Diagnostic] = []
    tree = _with_target(source.tree, target, problems)
    given = {name: Node(value, tree.locate("variables")) for name, value in (variables or {}).items()}
    laptop = source.overrides if overrides else Node({}, source.overrides.place)
    layers = [dict(node.items()) for node in (laptop.get(target), laptop.get("all")) if node]
    assigned = source.tree.get("targets", target, "variables")
    given_layers = read_given_values(source.root, target, tree.get("variables"), problems)
    first, last = ([given, *given_layers], layers) if deployed else ([given, *given_layers, *layers], [])
    tree = assign_values(tree, assigned, first, last, problems)
    tree = prefix_names(tree, lambda whole, value: resolve_value(whole, value, source.root, target))
    tree, misfits = normalize_tree(resolve_references(tree, source.root, target, problems), resolved=True)
    # The CLI merges these lists when references are resolved and scalars cast: `60` then stands over `${var.seconds}`.
    tree = change_each_job(tree, lambda job: _merge_lists(job, problems))
    return Bundle(source.root, target, apply_presets(tree), misfits), list(dict.fromkeys(problems))


def _check_duplicate_keys(part: Node, owners: dict[str, Location]) -> list[Diagnostic]:
    """Find resources whose key another resource has, of any kind: the CLI requires unique keys."""
    taken = []
    resources, scripts = part.get("resources"), part.get("scripts")
    groups = [group for _, group in resources.items()] if resources else []
    for group in [*groups, scripts] if scripts else groups:
        what = "script" if group is scripts else "resource"
        for key, resource in group.items():
            if key in owners:
                why = f"{owners[key]} has it, and the CLI wants each key once, whatever the kind, scripts included"
                taken.append(Diagnostic("keys", resource.place, f"{what} key {key!r} is taken", why, "rename one"))
            owners.setdefault(key, resource.place)
    return taken


# --- target ----------------------------------------------------------------------------------------------------------

_MERGED = ("bundle", "workspace", "artifacts", "resources", "sync", "permissions", "presets")
_LISTS = {"job_clusters": "job_cluster_key", "parameters": "name", "tasks": "task_key"}
"""The lists of a job that the CLI merges by key; it joins all others, environments among them."""


def _with_target(tree: Node, target: str, problems: list[Diagnostic]) -> Node:
    chosen = tree.get("targets", target) or Node({}, tree.place)
    root = Node({key: node for key, node in tree.items() if key != "targets"}, tree.place)
    for key in _MERGED:
        over = chosen.get(key)
        if over:
            below = root.get(key)
            root = root.with_value(key, merge_nodes(below, over, problems) if below else over)
    if run_as := chosen.get("run_as"):
        root = root.with_value("run_as", run_as)
    facts = root.get("bundle") or Node({}, tree.place)
    for key in ("mode", "cluster_id", "git"):
        if (over := chosen.get(key)) and isinstance(facts.value, dict):
            git = facts.get("git") if key == "git" else None
            facts = facts.with_value(key, merge_nodes(git, over, problems) if git else over)
    if isinstance(facts.value, dict):
        facts = facts.with_value("target", Node(target, chosen.place))
        root = root.with_value("bundle", facts)
    return root


def _merge_lists(job: Node, problems: list[Diagnostic]) -> Node:
    for name, key in _LISTS.items():
        if items := job.get(name):
            merged = merge_by_key(items, key, problems)
            if name == "tasks" and isinstance(merged.value, list):  # the CLI sorts tasks, and only tasks
                merged = Node(sorted(merged.value, key=lambda task: str(_scalar_at(task, key))), merged.place)
            job = job.with_value(name, merged)
    return job


def _scalar_at(node: Node, key: str) -> Any:
    below = node.get(key)
    return below.value if below else ""
