"""Reading, merging and resolving on small bundles: what the CLI does with the same text (its sources are named)."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laptop.bundle import BundleError, list_targets, load_bundle
from laptop.document import Location, Node, merge_nodes
from laptop.yaml_loader import parse_yaml

Write = Callable[..., Path]
HEAD = "bundle: {name: b}\n"


def problems(root: Path, target: str = "dev", **options: Any) -> list[str]:
    with pytest.raises(BundleError) as error:
        load_bundle(root, target, **options)
    return [str(problem) for problem in error.value.problems]


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_are_included_by_pattern_and_each_node_keeps_its_file_and_line(written: Write) -> None:
    root = written(
        HEAD + "include: [resources/*.yml]\ntargets: {dev: {}}\n",
        {"resources/a.yml": "\nresources:\n  jobs:\n    a:\n      name: one\n"},
    )
    bundle = load_bundle(root, "dev")
    assert bundle.jobs == {"a": {"name": "one"}}
    assert bundle.locate("resources", "jobs", "a", "name") == Location(Path("resources/a.yml"), 5)
    assert bundle.locate("resources", "jobs", "a", "tags", "x") == Location(Path("resources/a.yml"), 4)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("bundle: [\n", 2, "cannot be read"),
        ("bundle: {name: b}\ntargets:\n  dev: {}\n  dev: {}\n", 4, "key 'dev' stands twice (line 3 says it already"),
        ("a: &x\n  b: *x\n", 2, "an anchor contains itself"),
        ("a: !secret x\n", 1, "tag !secret is unknown"),
        ("a: 1\n---\nb: 2\n", 3, "a second document begins"),
        (HEAD + "include: [no/such.yml]\ntargets: {dev: }\n", 2, "include 'no/such.yml' matches no file"),
        (HEAD + "include: [/etc/*.yml]\ntargets: {dev: }\n", 2, "the CLI reads files by relative paths"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_line(written: Write, text: str, line: int, words: str) -> None:
    found = problems(written(text))
    assert any(each.startswith(f"databricks.yml:{line}: ") and words in each for each in found), found


def test_a_file_that_is_no_utf8_is_reported_with_its_line(written: Write) -> None:
    root = written(HEAD)
    (root / "databricks.yml").write_bytes(b"bundle:\n  name: caf\xe9\n")
    assert problems(root)[0].startswith("databricks.yml:2: the YAML cannot be read")


def test_a_missing_bundle_is_one_sentence(tmp_path: Path) -> None:
    assert "No such file" in problems(tmp_path)[0]


def test_an_unknown_target_names_the_known_ones(written: Write) -> None:
    root = written(HEAD + "targets: {staging: {}, prod: {}}\n")
    assert list_targets(root) == ("staging", "prod")
    assert problems(root, "stagin") == [
        "databricks.yml:2: there is no target 'stagin' (nothing can be resolved; did you mean 'staging'?)"
    ]


def test_one_resource_key_in_two_files_is_reported(written: Write) -> None:
    """bundle/config/validate/unique_resource_keys.go: whatever the kinds."""
    root = written(
        HEAD + "include: ['*.yaml']\ntargets: {dev: {}}\n",
        {"a.yaml": "resources: {jobs: {x: {name: a}}}\n", "b.yaml": "resources: {schemas: {x: {name: a}}}\n"},
    )
    why = "a.yaml:1 has it, and the CLI wants each key once, whatever the kind, scripts included"
    assert problems(root) == [f"b.yaml:1: resource key 'x' is taken ({why}; rename one)"]


def test_merge_keys_of_yaml_work(written: Write) -> None:
    root = written(HEAD + "x: &x {p: 1, q: 1}\ny: {<<: *x, q: 2}\ntargets: {dev: {}}\n")
    assert load_bundle(root, "dev").document["y"] == {"p": 1, "q": 2}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text("abcxyz _-:#\"'{}[]\n01é", max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text("abcxyz_", min_size=1), below, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcxyz_", min_size=1), plain, max_size=5))
def test_what_is_written_is_what_is_read_and_every_key_stands_in_its_line(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = json.dumps(value, indent=1)  # JSON is YAML
    (folder / "any.yml").write_text(text)
    node, found = parse_yaml(folder, Path("any.yml"))
    assert (node.plain(), found) == (value, [])
    lines = text.split("\n")
    for below in node.walk():
        for key, child in below.items():
            assert f'"{key}":' in lines[child.place.line - 1]


def nodes(value: Any, file: str) -> Node:
    place = Location(Path(file), 1)
    match value:
        case dict():
            return Node({key: nodes(child, file) for key, child in value.items()}, place)
        case list():
            return Node([nodes(child, file) for child in value], place)
        case _:
            return Node(value, place)


@given(plain)
def test_merging_nothing_changes_nothing(value: Any) -> None:
    assert merge_nodes(nodes(value, "a"), nodes(None, "b"), []).plain() == value
    assert merge_nodes(nodes(None, "a"), nodes(value, "b"), []).plain() == value


# --- targets ---------------------------------------------------------------------------------------------------------

JOBS = """
bundle: {name: b}
resources:
  jobs:
    j:
      name: base
      tags: {a: base, b: base}
      parameters: [{name: p, default: base}]
      environments: [{environment_key: e}]
      tasks:
        - task_key: z
          timeout_seconds: 1
        - task_key: a
targets:
  dev:
    resources:
      jobs:
        j:
          tags: {b: over}
          parameters: [{name: q, default: over}, {name: p, default: over}]
          environments: [{environment_key: f}]
          tasks:
            - task_key: z
              timeout_seconds: 2
"""


def test_a_target_is_laid_over_the_base_by_the_keys_of_its_lists(written: Write) -> None:
    """libs/dyn/merge/merge.go, and merge_job_{tasks,parameters}.go in bundle/config/mutator/resourcemutator."""
    bundle = load_bundle(written(JOBS), "dev")
    assert bundle.jobs["j"] == {
        "name": "base",
        "tags": {"a": "base", "b": "over"},
        "parameters": [{"name": "p", "default": "over"}, {"name": "q", "default": "over"}],
        "environments": [{"environment_key": "e"}, {"environment_key": "f"}],
        "tasks": [{"task_key": "a"}, {"task_key": "z", "timeout_seconds": 2}],
    }


def test_each_part_of_a_merged_node_keeps_the_line_it_came_from(written: Write) -> None:
    root = written(JOBS)
    lines = (root / "databricks.yml").read_text().splitlines()
    bundle = load_bundle(root, "dev")
    at = {path: lines[bundle.locate("resources", "jobs", "j", *path).line - 1].strip() for path in [
        ("tags", "a"), ("tags", "b"), ("tasks", 1), ("tasks", 1, "timeout_seconds"), ("parameters", 1),
    ]}  # fmt: skip
    assert at == {
        ("tags", "a"): "tags: {a: base, b: base}",
        ("tags", "b"): "tags: {b: over}",
        ("tasks", 1): "- task_key: z",
        ("tasks", 1, "timeout_seconds"): "timeout_seconds: 2",
        ("parameters", 1): "parameters: [{name: q, default: over}, {name: p, default: over}]",
    }


JOB = "resources: {jobs: {a: {name: a, timeout_seconds: %s}}}\ntargets: {dev: {resources: {jobs: {a: \n{%s}}}}}\n"


@pytest.mark.parametrize("number", ["60", "60.0", "'60'"])
def test_a_number_laid_over_a_reference_is_refused_however_it_is_spelled(written: Write, number: str) -> None:
    """libs/dyn/merge: cannot merge string with int"""
    variable = "variables: {limit: {default: 5}}\n"
    root = written(HEAD + variable + JOB % ("'${var.limit}'", f"timeout_seconds: {number}"))
    (problem,) = problems(root)
    assert problem.startswith("databricks.yml:5: the number 60 stands where databricks.yml:3 has the text")


def test_numbers_of_one_field_are_merged_however_they_are_spelled(written: Write) -> None:
    root = written(HEAD + JOB % ("60.0", "timeout_seconds: '70', name: 7"))
    assert load_bundle(root, "dev").jobs["a"] == {"name": "7", "timeout_seconds": 70}


def test_a_list_laid_over_a_mapping_is_dropped_and_reported_where_it_stands(written: Write) -> None:
    root = written(HEAD + "presets:\n  tags: {a: b}\ntargets:\n  dev:\n    presets:\n      tags: [a]\n")
    assert problems(root)[0].startswith("databricks.yml:7: targets.dev.presets.tags is a list and has to be a mapping")


@pytest.mark.parametrize(
    ("target", "pause"),
    [
        ("mode: development", "PAUSED"),
        ("presets: {trigger_pause_status: PAUSED}", "PAUSED"),
        ("mode: production", None),
    ],
)
def test_mode_and_presets_say_whether_schedules_fire(written: Write, target: str, pause: str | None) -> None:
    """bundle/config/mutator/resourcemutator/apply_{target_mode,presets}.go"""
    jobs = "resources: {jobs: {a: {schedule: {timezone_id: UTC}}, b: {schedule: {pause_status: UNPAUSED}}}}\n"
    bundle = load_bundle(written(HEAD + jobs + f"targets: {{dev: {{{target}}}}}\n"), "dev")
    assert bundle.jobs["a"]["schedule"].get("pause_status") == pause
    assert bundle.jobs["b"]["schedule"]["pause_status"] == "UNPAUSED"


def test_run_as_of_the_target_holds_for_jobs_that_name_nobody(written: Write) -> None:
    jobs = "resources: {jobs: {a: {name: a}, b: {run_as: {user_name: u}}}}\n"
    root = written(HEAD + jobs + "run_as: {user_name: base}\ntargets: {dev: {run_as: {service_principal_name: sp}}}\n")
    found = {key: job["run_as"] for key, job in load_bundle(root, "dev").jobs.items()}
    assert found == {"a": {"service_principal_name": "sp"}, "b": {"user_name": "u"}}


# --- variables and references ----------------------------------------------------------------------------------------

VARIABLES = """
bundle: {name: b}
variables:
  a: {default: base}
  b: {default: "<${var.a}>"}
  n: {default: 7}
  c: {type: complex, default: {k: ["${var.a}", 2]}}
out: {a: "${var.a}", b: "${var.b}", n: "${var.n}", text: "n=${var.n}", c: "${var.c}", deep: "${var.c.k[0]}"}
targets:
  dev:
  over: {variables: {a: target}}
  full: {variables: {a: {default: full}}}
"""


@pytest.mark.parametrize(
    ("target", "overrides", "argument", "wanted"),
    [
        ("dev", "", None, "base"),
        ("over", "", None, "target"),
        ("full", "", None, "full"),
        ("over", "{all: {a: laptop}}", None, "laptop"),
        ("over", "{all: {a: laptop}, over: {a: mine}}", None, "mine"),
        ("dev", "{all: {a: laptop}, over: {a: mine}}", None, "laptop"),
        ("over", "{over: {a: mine}}", "argument", "argument"),
    ],
)
def test_the_nearest_value_of_a_variable_wins(
    written: Write, target: str, overrides: str, argument: str | None, wanted: str
) -> None:
    root = written(VARIABLES, {"laptop.yml": f"variables: {overrides}"})
    out = load_bundle(root, target, variables={"a": argument} if argument else {}).document["out"]
    assert (out["a"], out["b"], out["c"]["k"][0]) == (wanted, f"<{wanted}>", wanted)


def test_overrides_can_be_left_out(written: Write) -> None:
    root = written(VARIABLES, {"laptop.yml": "variables: {all: {a: laptop}}"})
    assert load_bundle(root, "dev", overrides=False).document["out"]["a"] == "base"


def test_a_whole_value_keeps_its_type_and_inside_a_text_it_is_text(written: Write) -> None:
    out = load_bundle(written(VARIABLES), "dev").document["out"]
    assert out == {"a": "base", "b": "<base>", "n": 7, "text": "n=7", "c": {"k": ["base", 2]}, "deep": "base"}


def test_every_reference_that_names_nothing_is_reported_where_it_stands(written: Write) -> None:
    root = written(
        HEAD + "variables:\n  catalog: {default: x}\n  bad: {default: '${var.none}'}\n"
        "targets: {dev: }\nout:\n  - ${var.catlog}\n  - ${var.catlog} again\n  - ${var.bad}\n"
        "  - ${resources.jobs.no.id}\n  - ${nowhere.x}\n  - ${var.}\n"  # the last two are plain text to the CLI
    )
    found = problems(root)
    assert [(int(each.split(":")[1]), each.split(": ", 1)[1].split(" (")[0]) for each in found] == [
        (4, "${var.none} cannot be resolved: there is no 'none'"),
        (7, "${var.catlog} cannot be resolved: there is no 'catlog'"),
        (8, "${var.catlog} cannot be resolved: there is no 'catlog'"),
        (10, "${resources.jobs.no.id} cannot be resolved: there is no 'resources'"),
    ]
    assert "did you mean 'catalog'?" in found[1]


def test_what_is_looked_up_is_not_asked_for_and_has_words_for_a_value(written: Write) -> None:
    rest = "variables: {a: {lookup: {warehouse: w}}}\nout: ['${var.a}']\n"
    assert load_bundle(written(HEAD + "targets: {dev: }\n" + rest), "dev").document["out"] == ["id of warehouse w"]


def test_references_in_a_circle_are_reported(written: Write) -> None:
    root = written(HEAD + "variables:\n  a: {default: '${var.b}'}\n  b: {default: '${var.a}'}\ntargets: {dev: }\n")
    assert any("it names itself: var.b -> var.a -> var.b" in each for each in problems(root))


@pytest.mark.parametrize(
    ("rest", "options", "words"),
    [
        ("variables: {a: {}}\n", {}, "variable 'a' has no value"),
        ("variables: {abc: {default: 1}}\n", {"variables": {"abd": "1"}}, "yml:3: variable 'abd' is not declared"),
        ("variables: {abc: {default: 1}}\n", {"variables": {"abd": "1"}}, "did you mean 'abc'?"),
        ("variables: {c: {default: [1]}}\nout: 'x ${var.c}'\n", {}, "it is a list inside a text"),
    ],
)
def test_what_is_wrong_with_a_variable_is_said(written: Write, rest: str, options: dict[str, Any], words: str) -> None:
    found = problems(written(HEAD + "targets: {dev: }\n" + rest), **options)
    assert any(words in each for each in found), found


def test_what_a_workspace_would_know_has_a_laptops_answer(written: Write) -> None:
    root = written(
        HEAD + "targets: {dev: }\nresources:\n"
        "  jobs: {j: {name: x}}\n  schemas: {s: {catalog_name: c, name: n}}\n"
        "  volumes: {v: {catalog_name: c, schema_name: '${resources.schemas.s.name}', name: v}}\n"
        "  registered_models: {m: {catalog_name: c, schema_name: n, name: m}}\n"
        "out: ['${resources.jobs.j.id}', '${resources.volumes.v.volume_path}',"
        " '${resources.registered_models.m.full_name}', '${resources.registered_models.m.id}',"
        " '${resources.schemas.s.full_name}', '${bundle.name}-${bundle.target}',"
        " '${workspace.current_user.userName}', '${workspace.file_path}']\n"
    )
    out = load_bundle(root, "dev").document["out"]
    assert out[0].isdigit()
    assert out[1:] == ["/Volumes/c/n/v", "c.n.m", "c.n.m", "c.n", "b-dev", getpass.getuser(), str(root)]


RIGHT = {
    "a parameter that is called as the catalog of a target": (
        "variables: {catalog: {description: d}}\ntargets: {dev: {variables: {catalog: catalog}}}\n"
        "resources: {jobs: {j: {parameters: [{name: catalog, default: '${var.catalog}'}]}}}\n"
    ),
    "the name of a parameter in brackets": (
        "targets: {dev: }\nresources: {jobs: {j: {parameters: [{name: p, default: x}], tasks: [{task_key: t, "
        "spark_python_task: {python_file: f, parameters: ['{{ job.parameters.[p] }}']}}]}}}\n"
    ),
    "an alert that a file holds": (
        "targets: {dev: }\nresources: {alerts: {a: {file_path: f, warehouse_id: w, display_name: d}}}\n"
    ),
    "what only a workspace knows": (
        "targets: {dev: }\nresources: {genie_spaces: {g: {title: t}}, apps: {a: {name: '${bundle.git.origin_url}', "
        "description: '${resources.genie_spaces.g.space_id} ${workspace.current_user.displayName}'}}}\n"
    ),
    "jobs without a wheel": (
        "targets: {dev: }\nresources: {jobs: {j: {tasks: [{task_key: t, notebook_task: {notebook_path: n}}]}}}\n"
    ),
    "a wheel that a task has as its library": (
        "artifacts: {w: {type: whl, build: b}}\ntargets: {dev: }\nresources: {jobs: {j: {tasks: [{task_key: t, "
        "notebook_task: {notebook_path: n}, libraries: [{whl: dist/*.whl}]}]}}}\n"
    ),
}
"""What public bundles rightly do and this one does not."""
RULES = {"hard-coded", "dynamic", "required", "reference", "wheel"}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_is_right_elsewhere_raises_no_alarm(written: Write, text: str) -> None:
    from laptop.lint import lint_bundle

    assert [str(each) for each in lint_bundle(written(HEAD + text)) if each.rule in RULES] == []
