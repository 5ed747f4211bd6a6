"""No input ends the linter in a stack trace: broken files, odd values anywhere, and documents nobody would write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laptop.bundle import BundleSource, merge_files
from laptop.document import Node
from laptop.lint import lint_bundle, lint_source
from laptop.lint.project import Project

Write = Callable[..., Path]
HEAD = "bundle: {name: b}\ntargets: {dev: }\n"
PIECES = st.sampled_from(
    [*"{}[]:,-?&*!|>%@`'\"#~\n\t \0é", "<<", ": ", "\n  ", "- ", "&a ", "*a", "!!int ", ".inf", ".nan", "0o17", "${",
     "}", "var.x", "{{", "}}", "resources", "jobs", "targets", "include", "variables", "bundle", "tasks", "---\n",
     "...\n", "[[[[", "{a: ", "1e999", "2024-01-01", "key"]
)  # fmt: skip
ODD: list[Any] = [None, True, -1, 2**70, 1e400, float("nan"), -0.0, "", "\0", "${", "${var.gone}", "${bundle}", "{{",
                  "${resources.jobs}", "${var.c[9]}", "*" * 50, "[", "../../..", [], {}, [[]], {"": None}]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"pyproject.toml": "[project]\n<<<<<<< HEAD\nname = 'a'\n=======\n"}, ["project"]),
        ({"pyproject.toml": "project = 5\n[tool]\nhatch = 'x'\n"}, []),
        ({"pyproject.toml": "[project]\nname = 5\nscripts = {a = 5}\n"}, []),
        ({"src/mlops/config.py": "def ("}, []),
        ({"laptop.yml": "variables: [1]\nhouse_rules: 5\nrepeatable: a\nconfigurations: {}\n"}, []),
        ({"laptop.yml": "- 1\n"}, ["yaml"]),
    ],
)
def test_a_broken_file_beside_the_bundle_is_no_crash(
    write_house: Write, files: dict[str, str], told: list[str]
) -> None:
    assert {problem.rule for problem in lint_bundle(write_house(files))} >= set(told)


@pytest.fixture
def write_house(written: Write) -> Write:
    def write(files: dict[str, str]) -> Path:
        return written(HEAD, {"laptop.yml": "house_rules: true\nconfigurations: mlops.config\n", **files})

    return write


def test_a_lock_of_bytes_is_no_crash(copied: Path) -> None:
    (copied / "uv.lock").write_bytes(bytes(range(256)) * 20)
    assert {problem.rule for problem in lint_bundle(copied)} <= {"environment"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("".join(f"{'  ' * level}a:\n" for level in range(1500)), "nests more than 100 levels"),
        ("a: " + "[" * 3000 + "]" * 3000, "nests more than 100 levels"),
        ("x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [{f'*x{n - 1}, ' * 9}]\n" for n in range(1, 12)), "200000 values"),
        ("a: " + "9" * 5000, None),
        ("variables:\n" + "".join(f"  v{n}: {{default: '${{var.v{n + 1}}}'}}\n" for n in range(1100)), None),
    ],
)
def test_a_document_that_nobody_writes_is_no_crash(written: Write, text: str, told: str | None) -> None:
    problems = lint_bundle(written(HEAD + text + "\n"))
    assert problems
    assert told is None or any(told in str(problem) for problem in problems)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_text_is_a_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "databricks.yml").write_text(text, encoding="utf-8")
    lint_bundle(tmp_path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_no_bytes_are_a_crash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "databricks.yml").write_bytes(content)
    lint_bundle(tmp_path)


def places(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = enumerate(node.value) if isinstance(node.value, list) else node.items()
    for step, child in children:
        yield (*path, step)
        yield from places(child, (*path, step))


def replaced(node: Node, path: tuple[str | int, ...], value: Any) -> Node:
    if not path:
        return tree(value, node)
    inner: Any = dict(node.value) if isinstance(node.value, dict) else list(node.value)
    inner[path[0]] = replaced(inner[path[0]], path[1:], value)
    return Node(inner, node.place)


def tree(value: Any, like: Node) -> Node:
    match value:
        case dict():
            return Node({key: tree(child, like) for key, child in value.items()}, like.place)
        case list():
            return Node([tree(child, like) for child in value], like.place)
        case _:
            return Node(value, like.place)


@pytest.mark.parametrize(
    "step",
    [pytest.param(31, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)]), 4999],
    ids=["every 31st", "every 4999th"],
)
def test_no_value_anywhere_is_a_crash(source: BundleSource, project: Project, step: int) -> None:
    """Each place of each file of this bundle takes each odd value, one at a time."""
    number = 0
    for index, file in enumerate(source.files):
        for path in places(file):
            for value in ODD:
                number += 1
                if number % step == 0 and path[0] != "include":
                    files = list(source.files)
                    files[index] = replaced(file, path, value)
                    lint_source(merge_files(source.root, tuple(files), source.laptop), project)
    assert number > 20_000
