"""Presets as the CLI applies them: each expected value is what the CLI 1.13.0 printed for the same bundle and user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laptop.bundle import load_bundle, read_source, resolve_target

ROOT = Path(__file__).parents[2]
Written = Callable[..., Path]
BUNDLE = """
bundle: {name: kt}
variables: {p: {default: /Users/x/deep/exp}, n: {default: 7}}
resources:
  jobs:
    a: {name: a, tags: {dev: mine}}
    b:
      name: ${var.n}
      max_concurrent_runs: 1
      schedule: {quartz_cron_expression: "0 0 6 * * ?", timezone_id: UTC}
      parameters: [{name: where, default: "${resources.schemas.s.name}"}, {name: m, default: "${var.model}"}]
  experiments:
    e: {name: "${var.p}"}
    f: {name: "/Shared/${resources.schemas.s.name}"}
    g: {name: plain}
    h: {name: "/x/y//z/"}
    i: {name: /top}
  schemas:
    s: {catalog_name: dev, name: s}
  registered_models:
    m: {catalog_name: dev, schema_name: "${resources.schemas.s.name}", name: "${resources.schemas.s.name}_m"}
  volumes:
    v: {catalog_name: dev, schema_name: "${resources.schemas.s.name}", name: v}
  dashboards:
    d: {display_name: dash}
  model_serving_endpoints:
    ep: {name: ep}
  pipelines:
    p: {name: p, catalog: dev}
targets:
  dev: {mode: development}
  pre: {presets: {name_prefix: "pr${var.n}_"}}
  odd: {presets: {name_prefix: "[x y] "}}
  dot: {mode: development, presets: {name_prefix: "[dev ${workspace.current_user.short_name}]"}}
  none: {}
""".replace("${var.model}", "${resources.registered_models.m.full_name}")


def names(root: Path, target: str) -> dict[str, list[Any]]:
    resources = load_bundle(root, target).document["resources"]
    return {kind: [r.get("name", r.get("display_name")) for r in group.values()] for kind, group in resources.items()}


@pytest.mark.parametrize(
    ("user", "target", "before", "plain"),
    [
        ("ada.love-lace@example.com", "dev", "[dev ada_love_lace] ", "dev_ada_love_lace_"),
        ("o'neil+x@e.com", "dev", "[dev o_neil_x] ", "dev_o_neil_x_"),
        ("__A__@e.com", "dev", "[dev a] ", "dev_a_"),
        ("Zoë@e.com", "dev", "[dev zoë] ", "dev_zoë_"),
        ("Zoë@e.com", "dot", "[dev zoë]", "dev_zoë_"),
        ("ada", "pre", "pr7_", "pr7"),
        ("ada", "odd", "[x y] ", "x_y_"),
        ("ada", "none", "", ""),
    ],
)
def test_names_have_the_prefix_that_the_cli_gives_them(
    written: Written, monkeypatch: pytest.MonkeyPatch, user: str, target: str, before: str, plain: str
) -> None:
    monkeypatch.setenv("LOGNAME", user)
    root = written(BUNDLE)
    assert names(root, target) == {
        "jobs": [f"{before}a", f"{before}7"],
        "experiments": [
            f"/Users/x/deep/{before}exp",
            f"/Shared/{before}{plain}s",
            f"{before}plain",
            f"/x/y/z/{before}z" if before else "/x/y//z/",
            f"//{before}top" if before else "/top",
        ],
        "schemas": [f"{plain}s"],
        "registered_models": [f"{plain}{plain}s_m"],
        "volumes": ["v"],
        "dashboards": [f"{before}dash"],
        "model_serving_endpoints": [f"{plain}ep"],
        "pipelines": [f"{before}p"],
    }
    values = {p["name"]: p["default"] for p in load_bundle(root, target).jobs["b"]["parameters"]}
    assert values == {"where": f"{plain}s", "m": f"dev.{plain}s.{plain}{plain}s_m"}
    assert load_bundle(root, target).document["resources"]["volumes"]["v"]["schema_name"] == f"{plain}s"


def test_development_pauses_tags_and_lets_runs_overlap(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    jobs = load_bundle(written(BUNDLE), "dev").jobs
    assert [(job.get("max_concurrent_runs"), job["tags"]) for job in jobs.values()] == [
        (4, {"dev": "mine"}),
        (1, {"dev": "ada"}),
    ]
    assert jobs["b"]["schedule"]["pause_status"] == "PAUSED"
    assert "tags" not in load_bundle(written(BUNDLE), "none").jobs["b"]


def test_a_bundle_may_keep_its_schemas_without_prefix(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    root = written(BUNDLE + "experimental: {skip_name_prefix_for_schema: true}\n")
    assert names(root, "dev")["schemas"] == ["s"]
    assert names(root, "dev")["registered_models"] == ["dev_ada_s_m"]


@pytest.mark.parametrize("user", ["ada", "Grace.Hopper@example.com"])
def test_staging_promotes_from_the_dev_deployment_of_this_laptop(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("LOGNAME", user)
    mine = load_bundle(ROOT, "dev").jobs["deployment"]["parameters"]
    source = {p["name"]: p["default"] for p in load_bundle(ROOT, "staging").jobs["promotion"]["parameters"]}[
        "source_model"
    ]
    assert source == next(p["default"] for p in mine if p["name"] == "model_name")
    assert source.split(".")[1].startswith("dev_")


def test_a_team_that_has_not_said_where_staging_promotes_from_is_asked_for_it() -> None:
    _, found = resolve_target(read_source(ROOT), "staging", overrides=False)
    assert any("variable 'source_model' has no value" in problem.summary for problem in found)


def test_tasks_of_one_key_are_merged_when_their_references_are_resolved(written: Written) -> None:
    task = "{jobs: {a: {tasks: [{task_key: t, max_retries: %s}]}}}"
    for below, above, retries in (("${var.n}", 6, 6), (6, "${var.n}", 7)):
        root = written(
            "bundle: {name: b}\nvariables: {n: {default: 7}}\n"
            f"resources: {task % repr(below)}\ntargets: {{dev: {{resources: {task % repr(above)}}}}}\n"
        )
        assert load_bundle(root, "dev").jobs["a"]["tasks"] == [{"task_key": "t", "max_retries": retries}]


@pytest.mark.parametrize(
    ("user", "short", "friendly"),
    [
        ("Jörg.Müller@Exämple.com", "jörg_müller", "jorg-muller"),
        ("İpek@x", "ipek", "ipek"),
        ("ЖД½²x@y", "жд_x", "---x"),
        ("日本@x", "日本", "--"),
        ("_a_@b", "a", "a"),
    ],
)
def test_the_user_has_the_names_that_the_cli_gives(
    written: Written, monkeypatch: pytest.MonkeyPatch, user: str, short: str, friendly: str
) -> None:
    monkeypatch.setenv("LOGNAME", user)
    who = "${workspace.current_user"
    text = f"bundle: {{name: b}}\ntargets: {{dev: }}\nvariables:\n  s: {{default: '{who}.short_name}}'}}\n"
    text += f"  f: {{default: '{who}.domain_friendly_name}}'}}\n"
    variables = load_bundle(written(text), "dev").document["variables"]
    assert (variables["s"]["value"], variables["f"]["value"]) == (short, friendly)


@pytest.mark.parametrize(
    ("presets", "runs"), [("{}", 4), ("{jobs_max_concurrent_runs: 0}", 4), ("{jobs_max_concurrent_runs: 2}", 2)]
)
def test_no_runs_at_all_are_as_good_as_not_said(written: Written, presets: str, runs: int) -> None:
    text = f"bundle: {{name: b}}\ntargets: {{dev: {{mode: development, presets: {presets}}}}}\n"
    text += (
        "resources: {jobs: {j: {name: j, max_concurrent_runs: 0}, k: {name: k}, l: {name: l, max_concurrent_runs: 1}}}"
    )
    jobs = load_bundle(written(text), "dev").jobs
    assert [jobs[key]["max_concurrent_runs"] for key in "jkl"] == [runs, runs, 1]
