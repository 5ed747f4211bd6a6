"""Rules about the packages of serverless tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from laptop.document import Diagnostic, Location, Node
from laptop.lint.model import LintTarget, Rule, list_items, text_at

PINNED = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?")

HOLDS = {
    "4": {"pyspark": "4.0", "pandas": "2.2.3", "numpy": "2.1.3", "scikit-learn": "1.6.1"},
    "5": {"pyspark": "4.1", "pandas": "2.2.3", "numpy": "2.1.3", "scikit-learn": "1.6.1"},
    "6": {"pyspark": "4.2", "pandas": "2.3.3", "numpy": "2.3.4", "scikit-learn": "1.7.2"},
}
"""Versions of the lock's packages in each environment version (release-notes/serverless/environment-version)."""
SPARK = ("pyspark", "pyspark-client", "pyspark-connect", "delta-spark", "databricks-connect")
CLASSIC = (
    "job_clusters", "new_cluster", "existing_cluster_id", "job_cluster_key", "libraries", "spark_jar_task",
    "spark_submit_task",
)  # fmt: skip
"""Keys of jobs and tasks that need a cluster."""


def check_serverless(view: LintTarget) -> Iterator[Diagnostic]:
    """Nothing asks for a cluster: a serverless workspace has none."""
    for job in view.jobs.values():
        for node in (job.node, *(task.node for task in job.tasks)):
            for key in CLASSIC:
                if value := node.get(key):
                    what, why = (
                        f"job {job.key!r} has {key}",
                        "that needs a cluster, and serverless workspaces have none",
                    )
                    cure = "use environment_key; resources/extras/classic.py moves all jobs to clusters"
                    yield Diagnostic("classic", value.place, what, why, cure)


def check_lock(view: LintTarget) -> Iterator[Diagnostic]:
    """Environments install the versions of uv.lock, with which the tests run."""
    lock, seen = view.project.lock_versions, set[str]()
    specs = [
        spec
        for job in view.jobs.values()
        for environment in list_items(job.node, "environments")
        if (spec := environment.get("spec"))
    ]
    for spec in specs if lock else ():
        named, version = spec.get("environment_version"), text_at(spec, "environment_version")
        held = HOLDS.get(version, {})
        moved = [f"{name} {held[name]}, not {lock[name]}" for name in held if not _is(lock.get(name), held[name])]
        if named and version.isdigit() and version not in seen and (moved or not held):
            what = f"environment version {version} holds {', '.join(moved) or 'versions that are not listed'}"
            cure = "name the version that pyproject.toml is pinned to, or move the pins (HOLDS in lint/environments.py)"
            yield Diagnostic("environment", named.place, what, "uv.lock is what the laptop and the tests run", cure)
        seen.add(version)
        for entry in list_items(spec, "dependencies"):
            name, _, pin = text_at(entry).partition("==")
            name = name.partition("[")[0]
            if name in SPARK:
                what, why = f"dependency {text_at(entry)!r} brings a second Spark", "it breaks serverless sessions"
                yield Diagnostic("environment", entry.place, what, why, "remove it: the environment has one")
            elif pin and not _is(lock.get(name), pin):
                what, why = f"dependency {text_at(entry)!r} is {lock[name]} in uv.lock", "what is tested is that"
                yield Diagnostic("environment", entry.place, what, why, f"write {name}=={lock[name]}")


def _is(version: str | None, wanted: str) -> bool:
    return version is None or f"{version}.".startswith(f"{wanted}.")


def check_environments(view: LintTarget) -> Iterator[Diagnostic]:
    """A serverless environment names its version, the wheel that the bundle deploys, and pins everything else."""
    wheels = dict(_wheel_files(view))
    for job in view.jobs.values():
        for environment in list_items(job.node, "environments"):
            yield from _check_environment(job.key, environment, wheels)


def check_artifacts(view: LintTarget) -> Iterator[Diagnostic]:
    """The bundle builds the wheel that its jobs install, and no other."""
    artifacts = view.tree.get("artifacts")
    wheels = dict(_wheel_files(view))
    if any(task.entry_point for task in view.tasks) and not wheels:
        node = next((node for _, node in artifacts.items()), artifacts) if artifacts else view.tree
        what = "no artifact of type whl has a build or files"
        yield Diagnostic("wheel", node.place, what, "the jobs have no code", "add one")
    for key, node in artifacts.items() if artifacts else ():
        if not text_at(node, "type"):
            what = f"artifact {key!r} has no type"
            yield Diagnostic("wheel", node.place, what, "the CLI does not know what it is", "add type: whl")
    specs = [
        spec
        for job in view.jobs.values()
        for item in list_items(job.node, "environments")
        if (spec := item.get("spec"))
    ]
    installed = [file for spec in specs for entry in list_items(spec, "dependencies") if (file := _check_file(entry))]
    installed += [
        _check_file(whl)
        for task in view.tasks
        for item in list_items(task.node, "libraries")
        if (whl := item.get("whl"))
    ]
    known = view.complete and not view.tree.get("python")  # which makes jobs too
    for pattern, place in wheels.items() if known else ():
        if not any(fnmatchcase(file, pattern) for file in installed):
            yield Diagnostic(
                "wheel", place, f"no job installs {pattern}", "it is deployed for nothing", "use or remove it"
            )


def _wheel_files(view: LintTarget) -> Iterator[tuple[str, Location]]:
    """Patterns of the wheels below the root of the bundle, each with its line."""
    artifacts = view.tree.get("artifacts")
    for _, node in artifacts.items() if artifacts else ():
        root = PurePosixPath(node.place.file.parent.as_posix(), text_at(node, "path") or ".")
        sources = [(text_at(file, "source"), (file.get("source") or file).place) for file in list_items(node, "files")]
        if not sources and text_at(node, "build"):
            sources = [("dist/*.whl", node.place)]
        for source, place in sources if text_at(node, "type") == "whl" else ():
            yield _is_plain_path(root / source), place


def _check_file(dependency: Node) -> str:
    """Return the file that a dependency names, relative to the bundle's root; empty for a package of an index."""
    path = text_at(dependency).partition("[")[0]
    return _is_plain_path(PurePosixPath(dependency.place.file.parent.as_posix(), path)) if path.endswith(".whl") else ""


def _is_plain_path(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." and parts else [*parts, part]
    return "/".join(parts)


def _check_environment(job: str, node: Node, wheels: Mapping[str, Location]) -> Iterator[Diagnostic]:
    spec = node.get("spec") or node
    version = spec.get("environment_version")
    if not text_at(spec, "environment_version").isdigit():
        what, why = f"an environment of job {job!r} names no environment_version", "the platform would pick one"
        yield Diagnostic("environment", (version or spec).place, what, why, 'write a number, as in "6"')
    if old := spec.get("client"):
        what = f"an environment of job {job!r} says client"
        yield Diagnostic("environment", old.place, what, "that name is deprecated", "write environment_version")
    listed, entries = spec.get("dependencies"), list_items(spec, "dependencies")
    paths = [entry for entry in entries if _check_file(entry)]
    for entry in entries:
        if entry not in paths and not PINNED.fullmatch(text_at(entry)):
            what, why = (
                f"dependency {text_at(entry)!r} of job {job!r} is not pinned",
                "another version could be installed without a change here",
            )
            yield Diagnostic("environment", entry.place, what, why, "write name==version")
    for entry in paths:
        if not any(fnmatchcase(_check_file(entry), wheel) for wheel in wheels):
            what = f"dependency {text_at(entry)!r} of job {job!r} is not where a wheel is built"
            yield Diagnostic(
                "wheel",
                entry.place,
                what,
                "the deployment finds no file",
                "write the path from here to dist/*.whl",
            )
    for wanted, cure in (("the wheel", "dist/*.whl"), ("mlflow", "mlflow==<version>")):
        if not (paths if wanted == "the wheel" else [e for e in entries if text_at(e).startswith("mlflow==")]):
            place = (listed or spec).place
            why = "the environment itself has none"
            yield Diagnostic("environment", place, f"an environment of job {job!r} lacks {wanted}", why, f"add {cure}")


HOUSE_RULES: tuple[Rule, ...] = (check_environments, check_artifacts, check_serverless, check_lock)
