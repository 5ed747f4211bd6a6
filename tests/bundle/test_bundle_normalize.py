"""Every spelling of a scalar that the CLI takes for the same value is the same value here (libs/dyn/convert)."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laptop.bundle import BundleError, load_bundle, merge_files, read_source, resolve_target
from laptop.document import Node
from laptop.normalize import DoesNotFitError, cast_scalar
from laptop.resolution import REFERENCE

Write = Callable[..., Path]
NOTHING = object()
NUMBERS = st.from_regex(r"[+-]?[0-9]{1,3}(\.[0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("expected", "value", "sent"),
    [
        (str, True, "true"),
        (str, False, "false"),
        (str, 5, "5"),
        (str, 2.0, "2"),
        (str, -0.0, "-0"),
        (str, 0.1, "0.1"),
        (str, 1e6, "1000000"),
        (str, 1e22, "10000000000000000000000"),
        (str, 1e-7, "0.0000001"),
        (str, math.inf, "+Inf"),
        (str, -math.inf, "-Inf"),
        (str, math.nan, "NaN"),
        (str, None, NOTHING),
        (str, [], NOTHING),
        (int, 60.0, 60),
        (int, "60", 60),
        (int, "+60", 60),
        (int, "060", 60),
        (int, "${var.limit}", "${var.limit}"),
        (int, "${var.limit}0", NOTHING),
        (int, " 60", NOTHING),
        (int, "6_0", NOTHING),
        (int, "0x3c", NOTHING),
        (int, "٦", NOTHING),
        (int, "60.0", NOTHING),
        (int, 60.5, NOTHING),
        (int, math.nan, NOTHING),
        (int, 1e300, NOTHING),
        (int, 2**63 - 1, 2**63 - 1),
        (int, str(2**63), NOTHING),
        (int, True, NOTHING),
        (float, 5, 5.0),
        (float, "5e-1", 0.5),
        (float, "five", NOTHING),
        (float, False, NOTHING),
        (float, 2**53 + 1, NOTHING),
        (bool, "yes", True),
        (bool, "on", True),
        (bool, "true", True),
        (bool, "N", False),
        (bool, "True", NOTHING),
        (bool, "1", NOTHING),
        (bool, 1, NOTHING),
        (bool, None, NOTHING),
    ],
)
def test_a_scalar_is_cast_as_the_cli_casts_it(expected: type, value: Any, sent: Any) -> None:
    if sent is NOTHING:
        with pytest.raises(DoesNotFitError):
            cast_scalar(expected, value)
    else:
        cast = cast_scalar(expected, value)
        assert (cast, type(cast)) == (sent, type(sent))


TOY = """
bundle: {name: b}
variables:
  limit: {default: "60"}
  rate: {default: 1.0}
targets:
  dev:
    default: true
resources:
  jobs:
    a:
      name: 2013
      timeout_seconds: ${var.limit}
      parameters: [{name: p, default: 2.0}, {name: q, default: yes}, {name: r, default: true}]
      queue: {enabled: yes}
      tasks:
        - task_key: 1
          max_retries: 3.0
          condition_task: {op: EQUAL_TO, left: 1.0, right: "${var.rate}"}
        - task_key: two
          depends_on: [{task_key: 1, outcome: true}]
          python_wheel_task: {package_name: p, entry_point: e, named_parameters: {x: 1e3, y: 0.50}}
"""


def test_the_document_that_a_runner_gets_has_the_type_of_every_field(written: Write) -> None:
    job = load_bundle(written(TOY), "dev").jobs["a"]
    assert (job["name"], job["timeout_seconds"], job["queue"]) == ("2013", 60, {"enabled": True})
    assert [parameter["default"] for parameter in job["parameters"]] == ["2", "yes", "true"]
    first, second = job["tasks"]
    assert (first["task_key"], first["max_retries"]) == ("1", 3)
    assert first["condition_task"] == {"op": "EQUAL_TO", "left": "1", "right": "1"}
    assert second["depends_on"] == [{"task_key": "1", "outcome": "true"}]
    assert second["python_wheel_task"]["named_parameters"] == {"x": "1000", "y": "0.5"}


def test_a_field_that_holds_nothing_is_not_there(written: Write) -> None:
    root = written(TOY.replace("parameters: [{name: p,", "tags:\n      health: ~\n      parameters: [{name: p,"))
    assert {"tags", "health"}.isdisjoint(load_bundle(root, "dev").jobs["a"])
    root = written(TOY.replace("depends_on: [{task_key: 1, outcome: true}]", "depends_on:"))
    assert "depends_on" not in load_bundle(root, "dev").jobs["a"]["tasks"][1]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("3.0", "often", "jobs.a.tasks[0].max_retries is the text 'often' and has to be a whole number"),
        ("3.0", "", "jobs.a.tasks[0].max_retries is nothing and has to be a whole number"),
        ("1e3", "", "jobs.a.tasks[1].python_wheel_task.named_parameters.x is nothing and has to be text"),
        ("outcome: true", 'outcome: ""', None),
        ("${var.limit}", '"${var.limit}0"', "jobs.a.timeout_seconds is the text '${var.limit}0' and has to be a whole"),
        ("yes}\n", "True}\n", None),
        ("yes}\n", '"True"}\n', "jobs.a.queue.enabled is the text 'True' and has to be true or false"),
        ('"60"', "1.5", "jobs.a.timeout_seconds is the number 1.5 and has to be a whole number"),
    ],
)
def test_what_the_cli_would_drop_runs_nowhere(written: Write, old: str, new: str, told: str | None) -> None:
    root = written(TOY.replace(old, new, 1))
    if told is None:
        assert load_bundle(root, "dev")
    else:
        with pytest.raises(BundleError, match="has to be") as error:
            load_bundle(root, "dev")
        (problem,) = error.value.problems
        assert problem.summary.startswith(told)


def spellings(value: Any) -> list[Any]:
    """Other scalars of YAML that the CLI takes for the same value of the same field."""
    match value:
        case bool():
            return ["true", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"] if value else ["false", "n", "No", "OFF"]
        case int():
            return [str(value), f"{value:+d}", f"{value:04d}", float(value)]
        case "true" | "false":
            return [value == "true"]
        case str() if re.fullmatch(r"-?(0|[1-9]\d{0,15})", value):
            return [int(value), float(value)] if value != "-0" else [-0.0]
        case str() if re.fullmatch(r"-?(0|[1-9]\d{0,8})\.\d{0,5}[1-9]", value):
            return [float(value)]
    return []


def respelled(node: Node, draw: Callable[[list[Any]], Any], *, typed: bool = False) -> Node:
    """The same bundle with scalars of its resources drawn from their spellings."""
    match node.value:
        case dict() as entries:
            below = {
                key: respelled(child, draw, typed=typed or key == "resources")
                for key, child in entries.items()
            }  # fmt: skip
            return Node(below, node.place)
        case list() as items:
            return Node([respelled(item, draw, typed=typed) for item in items], node.place)
        case value:
            return Node(draw([value, *spellings(value)]) if typed else value, node.place)


@pytest.mark.parametrize("which", ["the toy", "the repository's"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bundle_that_is_spelled_otherwise_is_the_same_document(
    root: Path, tmp_path: Path, which: str, seed: int
) -> None:
    if which == "the toy":
        root = tmp_path
        (root / "databricks.yml").write_text(TOY)
    source = read_source(root)
    target = source.targets[0]
    plain, problems = resolve_target(source, target)
    assert problems == []
    files = tuple(respelled(node, random.Random(seed).choice) for node in source.files)  # noqa: S311 - no secret
    other, problems = resolve_target(merge_files(root, files, source.laptop), target)
    assert (problems, other.misfits) == ([], ())
    assert json.dumps(other.document) == json.dumps(plain.document)


@given(
    expected=st.sampled_from([str, int, float, bool]),
    value=st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=6) | NUMBERS,
)
def test_what_was_cast_once_stays_as_it_is(expected: type, value: Any) -> None:
    try:
        cast = cast_scalar(expected, value)
    except DoesNotFitError:
        return
    assert type(cast) is expected or REFERENCE.fullmatch(str(cast))
    assert json.dumps(cast_scalar(expected, cast)) == json.dumps(cast)
