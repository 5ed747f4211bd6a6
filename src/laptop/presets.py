"""Applies `presets`, `mode: development` and the root's `run_as` to resources that do not set them.

The names are the same as the CLI's (bundle/config/mutator/resourcemutator/apply_presets.go), so code that uses another
name fails on a laptop as it does in a workspace.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import partial

from laptop.document import Node, merge_nodes
from laptop.resolution import normalize_name, short_name, spell

DEVELOPMENT_RUNS = 4
"""Number of runs of a job that may overlap in development mode, if neither job nor presets set it."""
_NAMES = {
    "jobs": "name", "pipelines": "name", "models": "name", "clusters": "cluster_name",
    "instance_pools": "instance_pool_name", "dashboards": "display_name", "genie_spaces": "title",
    "alerts": "display_name", "sql_warehouses": "name", "model_serving_endpoints": "name", "registered_models": "name",
    "schemas": "name",
}  # fmt: skip
"""Field that gets the prefix, by kind; volumes, catalogs, monitors and apps get none."""
_PLAIN = ("model_serving_endpoints", "registered_models", "schemas")
"""Kinds whose names may contain only letters, digits and underscores."""


def prefix_names(root: Node, resolve: Callable[[Node, Node], Node]) -> Node:
    """Put the name prefix before the names of a bundle whose references are not resolved yet.

    Args:
        root: the bundle with its target merged in and the values of its variables set.
        resolve: resolves the references of a value (its second argument) in a bundle (its first).
    """
    prefix, resources = _prefix_of(root, resolve), root.get("resources")
    if not prefix or not resources or not isinstance(resources.value, dict):
        return root
    skipped = root.get("experimental", "skip_name_prefix_for_schema")
    for kind, field in _NAMES.items():
        if kind == "schemas" and skipped and skipped.value is True:
            continue
        resources = _change_each(resources, kind, partial(_add_prefix, field=field, prefix=_plain_name(prefix, kind)))
    root = root.with_value("resources", resources)

    def in_folder(experiment: Node) -> Node:
        """Prefix the last part of an experiment's name, which is a path; so its references are resolved first."""
        name = experiment.get("name")
        path = resolve(root, name) if name else None
        if not path or not isinstance(path.value, str):
            return experiment
        return experiment.with_value("name", Node(_add_path_prefix(path.value, prefix), path.place))

    return root.with_value("resources", _change_each(resources, "experiments", in_folder))


def _prefix_of(root: Node, resolve: Callable[[Node, Node], Node]) -> str:
    written = root.get("presets", "name_prefix")
    prefix = str(resolve(root, written).value or "") if written else ""
    return prefix or (f"[dev {short_name()}] " if _is_development(root) else "")


def _is_development(root: Node) -> bool:
    mode = root.get("bundle", "mode")
    return bool(mode and mode.value == "development")


def _plain_name(prefix: str, kind: str) -> str:
    """Convert a prefix for names of letters, digits and underscores only: `[dev ada] ` becomes `dev_ada_`."""
    if kind not in _PLAIN:
        return prefix
    bare = prefix.replace("[", "").strip(" ")
    return normalize_name(bare) + "_" * bare.endswith("]")


def _add_prefix(resource: Node, field: str, prefix: str) -> Node:
    name = resource.get(field)
    if not name or name.value is None or isinstance(name.value, dict | list):
        return resource
    return resource.with_value(field, Node(f"{prefix}{spell(name.value)}", name.place))


def _add_path_prefix(path: str, prefix: str) -> str:
    folder = re.sub("/+", "/", posixpath.normpath(posixpath.dirname(path) or "."))
    base = prefix + posixpath.basename(path.rstrip("/"))
    return base if folder == "." else f"{folder}/{base}"


def apply_presets(root: Node) -> Node:
    """Fill in the unset fields of a resolved bundle's jobs: pause status, tags, overlapping runs, run_as."""
    development = _is_development(root)
    pause, runs = (
        _drop_empty(root.get("presets", key)) for key in ("trigger_pause_status", "jobs_max_concurrent_runs")
    )
    if development:
        pause = pause or Node("PAUSED", root.locate("bundle", "mode"))
        runs = runs or Node(DEVELOPMENT_RUNS, root.locate("bundle", "mode"))
    run_as, tags = root.get("run_as"), _add_tags(root, development=development)

    def apply_to_job(job: Node) -> Node:
        for trigger in ("schedule", "continuous", "trigger"):
            node = job.get(trigger)
            if pause and node and isinstance(node.value, dict) and not _drop_empty(node.get("pause_status")):
                job = job.with_value(trigger, node.with_value("pause_status", pause))
        if tags and isinstance(tags.value, dict):
            own = job.get("tags")
            job = job.with_value("tags", merge_nodes(tags, own, []) if own else tags)
        if runs and not _drop_empty(job.get("max_concurrent_runs")):
            job = job.with_value("max_concurrent_runs", runs)
        return job.with_value("run_as", run_as) if run_as and not job.get("run_as") else job

    return change_each_job(root, apply_to_job)


def _drop_empty(node: Node | None) -> Node | None:
    """Return the node; None if it is `0` or `""`, which the CLI treats as not set."""
    return node if node and node.value else None


def change_each_job(root: Node, change: Callable[[Node], Node]) -> Node:
    """Return the bundle after applying a change to each job."""
    resources = root.get("resources")
    return root.with_value("resources", _change_each(resources, "jobs", change)) if resources else root


def _add_tags(root: Node, *, development: bool) -> Node | None:
    tags, mode = root.get("presets", "tags"), root.get("bundle", "mode")
    if not development or not mode:
        return tags
    own = Node({"dev": Node(short_name(), mode.place)}, mode.place)
    return merge_nodes(own, tags, []) if tags else own


def _change_each(resources: Node, kind: str, change: Callable[[Node], Node]) -> Node:
    group = resources.get(kind)
    if not group or not isinstance(group.value, dict):
        return resources
    changed = {key: change(node) if isinstance(node.value, dict) else node for key, node in group.items()}
    return resources.with_value(kind, Node(changed, group.place))
