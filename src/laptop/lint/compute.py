"""Rules of the CLI about clusters with a single node, and clusters that run a wheel of the bundle."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laptop.document import Diagnostic, Node
from laptop.lint.model import LintTarget, Rule, Task, list_items, text_at
from laptop.resolution import job_id

OLDEST = (13, 1)
"""Databricks runtimes before this one do not install wheels of a bundle."""


def check_single_nodes(view: LintTarget) -> Iterator[Diagnostic]:
    """A cluster without workers is declared as a single-node cluster."""
    for cluster in _clusters(view):
        workers = cluster.get("num_workers")
        named = {
            ("spark_conf", "spark.databricks.cluster.profile"): "singleNode",
            ("spark_conf", "spark.master"): "local",
            ("custom_tags", "ResourceClass"): "SingleNode",
        }
        is_named = all(
            text_at(cluster, *path).startswith(value) and (value == "local" or text_at(cluster, *path) == value)
            for path, value in named.items()
        )
        by_policy = text_at(cluster, "policy_id") or text_at(cluster, "is_single_node") == "true"
        if workers and isinstance(workers.value, int) and workers.value <= 0 and not by_policy and not is_named:
            cure = "set spark.databricks.cluster.profile, spark.master and custom_tags.ResourceClass, or add workers"
            what = "a cluster has no workers, and is no cluster of a single node"
            yield Diagnostic("cluster", workers.place, what, "it runs no Spark job", cure)


def _clusters(view: LintTarget) -> Iterator[Node]:
    for job in view.jobs.values():
        holders = [*(task.node for task in job.tasks), *list_items(job.node, "job_clusters")]
        yield from (cluster for holder in holders if (cluster := holder.get("new_cluster")))
    yield from (cluster for _, cluster in view.resources("clusters"))
    yield from (cluster for _, pipeline in view.resources("pipelines") for cluster in list_items(pipeline, "clusters"))


def check_wheel_clusters(view: LintTarget) -> Iterator[Diagnostic]:
    """A task with a wheel of the bundle runs on a runtime that installs it."""
    if text_at(view.tree, "experimental", "python_wheel_wrapper") == "true":
        return
    for task in view.tasks:
        wheels = [text_at(library, "whl") for library in list_items(task.node, "libraries")]
        if not task.node.get("python_wheel_task") or not any(map(_is_local_path, wheels)):
            continue
        for cluster in _clusters_of(view, task):
            version = re.match(r"(\d+)\.(x|\d+)(\.|$)", text_at(cluster, "spark_version"))
            if version and (int(version[1]), 99 if version[2] == "x" else int(version[2])) < OLDEST:
                what = f"runs on {text_at(cluster, 'spark_version')}"
                why = "this runtime does not install wheels of the bundle"
                cure = "take 13.3 or newer, or experimental.python_wheel_wrapper"
                yield task.problem("cluster", cluster.get("spark_version"), what, why, cure)


def _clusters_of(view: LintTarget, task: Task) -> Iterator[Node]:
    wanted = task.text("existing_cluster_id")
    declared = [node for key, node in view.resources("clusters") if job_id(view.bundle.target, key) == wanted]
    shared = [
        item for item in list_items(task.job.node, "job_clusters")
        if text_at(item, "job_cluster_key") == task.text("job_cluster_key")
    ]  # fmt: skip
    yield from declared
    yield from (cluster for holder in (task.node, *shared) if (cluster := holder.get("new_cluster")))


def _is_local_path(path: str) -> bool:
    return bool(path) and not path.startswith("/") and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", path)


RULES: tuple[Rule, ...] = (check_single_nodes, check_wheel_clusters)
