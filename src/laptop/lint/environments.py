"""Rules about what a serverless task finds installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from laptop.document import Node, Problem
from laptop.lint.view import Rule, View, text

PINNED = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?")


def environments(view: View) -> Iterator[Problem]:
    """A serverless environment names its version, the wheel that the bundle builds, and pins everything else."""
    wheels = {path for _, path in _artifacts(view)}
    if view.jobs and not wheels:
        place = view.place("artifacts")
        yield Problem("wheel", place, "no artifact of type whl with a build", "the jobs have no code", "add one")
    for job in view.jobs.values():
        found = job.node.get("environments")
        for environment in found.value or () if found else ():
            yield from _environment(job.key, environment, wheels)


def _artifacts(view: View) -> Iterator[tuple[str, str]]:
    found = view.tree.get("artifacts")
    for key, node in found.items() if found else ():
        if text(node, "type") == "whl" and text(node, "build"):
            folder = PurePosixPath(node.place.file.parent.as_posix(), text(node, "path") or ".")
            yield key, _straight(folder / "dist")


def _straight(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." and parts else [*parts, part]
    return "/".join(parts)


def _environment(job: str, node: Node, wheels: set[str]) -> Iterator[Problem]:
    spec = node.get("spec") or node
    version = spec.get("environment_version")
    if not text(spec, "environment_version").isdigit():
        what, why = f"an environment of job {job!r} names no environment_version", "the platform would pick one"
        yield Problem("environment", (version or spec).place, what, why, 'write a number, as in "6"')
    if old := spec.get("client"):
        what = f"an environment of job {job!r} says client"
        yield Problem("environment", old.place, what, "that name is deprecated", "write environment_version")
    listed = spec.get("dependencies")
    entries = listed.value or [] if listed else []
    paths = [entry for entry in entries if text(entry).partition("[")[0].endswith(".whl")]
    for entry in entries:
        if entry not in paths and not PINNED.fullmatch(text(entry)):
            what, why = f"dependency {text(entry)!r} of job {job!r} is not pinned", "tomorrow it is another one"
            yield Problem("environment", entry.place, what, why, "write name==version")
    for entry in paths:
        folder = _straight(PurePosixPath(entry.place.file.parent.as_posix(), text(entry)).parent)
        if folder not in wheels:
            what = f"dependency {text(entry)!r} of job {job!r} is not where a wheel is built"
            yield Problem("wheel", entry.place, what, "the deployment finds no file", "write ../dist/*.whl")
    for wanted, cure in (("the wheel", "../dist/*.whl"), ("mlflow", "mlflow==<version>")):
        if not (paths if wanted == "the wheel" else [e for e in entries if text(e).startswith("mlflow==")]):
            place = (listed or spec).place
            why = "the environment itself has none"
            yield Problem("environment", place, f"an environment of job {job!r} lacks {wanted}", why, f"add {cure}")


RULES: tuple[Rule, ...] = (environments,)
