"""The committed bundle: nothing to report, and the facts of it that other parts rest on."""

from __future__ import annotations

import json
import re
import tomllib
import zlib
from pathlib import Path

import pytest
from names import BUNDLE, MODEL, SCHEMA

from laptop.bundle import Bundle, BundleSource, load_bundle, resolve_target
from laptop.lint import lint_bundle, lint_source
from laptop.lint.project import Project
from laptop.resolution import short_name

TARGETS = ("dev", "staging", "prod")


@pytest.fixture(scope="module", params=TARGETS)
def bundle(request: pytest.FixtureRequest, root: Path) -> Bundle:
    return load_bundle(root, request.param)


def parameters(bundle: Bundle, job: str) -> dict[str, str]:
    return {each["name"]: each["default"] for each in bundle.jobs[job]["parameters"]}


def test_three_targets_have_no_problem(root: Path) -> None:
    assert [str(problem) for problem in lint_bundle(root)] == []


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_alone_has_no_problem(source: BundleSource, project: Project, target: str) -> None:
    assert lint_source(source, project, [target]) == ()


def test_the_targets_are_dev_staging_and_prod(source: BundleSource) -> None:
    assert source.targets == TARGETS


def own(bundle: Bundle) -> str:
    """What stands before names in a deployment that is somebody's own."""
    return f"dev_{short_name()}_" if bundle.target == "dev" else ""


def test_each_target_writes_to_its_own_catalog(bundle: Bundle) -> None:
    for job in bundle.jobs:
        given = parameters(bundle, job)
        schema = own(bundle) + (f"{SCHEMA}_integration" if job == "integration" else SCHEMA)
        assert (given["catalog"], given["schema"]) == (bundle.target, schema)
        assert given.get("model_name") in {None, f"{bundle.target}.{schema}.{own(bundle)}{MODEL}"}


def test_a_laptop_reads_prods_data_in_every_target(bundle: Bundle) -> None:
    readers = [job for job in bundle.jobs if "data_catalog" in parameters(bundle, job) and job != "integration"]
    assert readers == ["deployment", "inference", "monitoring", "rollout", "streaming", "training", "validation"]
    assert {(parameters(bundle, job)["data_catalog"], parameters(bundle, job)["data_schema"]) for job in readers} == {
        ("prod", SCHEMA)
    }


def test_the_integration_job_reads_only_what_it_wrote(bundle: Bundle) -> None:
    given = parameters(bundle, "integration")
    assert (given["data_catalog"], given["data_schema"]) == (given["catalog"], given["schema"])
    assert given["landing"] == f"/Volumes/{given['catalog']}/{given['schema']}/landing"


def test_a_workspace_reads_the_targets_own_data(source: BundleSource) -> None:
    bundle, problems = resolve_target(source, "staging", overrides=False)
    assert parameters(bundle, "training")["data_catalog"] == "staging"
    assert parameters(bundle, "training")["data_schema"] == SCHEMA
    missing = {problem.summary.split("'")[1] for problem in problems}
    principals = {f"{role}_principal" for role in ("deploy", "run", "train", "plan", "promote")}
    assert missing == {"alert_email", "source_model", *principals}


def test_dev_needs_no_value_from_anybody(source: BundleSource) -> None:
    assert resolve_target(source, "dev", overrides=False)[1] == []


def test_each_target_promotes_from_the_one_below(root: Path) -> None:
    sources = {target: parameters(load_bundle(root, target), "promotion")["source_model"] for target in TARGETS}
    assert sources == {
        "dev": f"prod.{SCHEMA}.{MODEL}",
        "staging": parameters(load_bundle(root, "dev"), "deployment")["model_name"],
        "prod": f"staging.{SCHEMA}.{MODEL}",
    }


def test_only_prod_waits_for_a_person(root: Path) -> None:
    approvals = {target: parameters(load_bundle(root, target), "deployment")["approval"] for target in TARGETS}
    assert approvals == {"dev": "automatic", "staging": "automatic", "prod": "required"}


def test_the_platforms_bare_tag_counts_nowhere_until_somebody_says_so(root: Path) -> None:
    found = [parameters(load_bundle(root, target), "deployment") for target in TARGETS]
    assert [each["approval_binding"] for each in found] == ["digests"] * 3
    assert [each["target"] for each in found] == list(TARGETS)


def test_schedules_fire_only_in_prod(bundle: Bundle) -> None:
    fires = {key: job["schedule"]["pause_status"] for key, job in bundle.jobs.items() if "schedule" in job}
    wanted = "UNPAUSED" if bundle.target == "prod" else "PAUSED"
    assert fires == dict.fromkeys(("inference", "ingestion", "monitoring", "rollout", "streaming"), wanted)


def test_training_and_promotion_know_the_deployment_job(bundle: Bundle) -> None:
    wanted = str(zlib.crc32(f"{bundle.target}.deployment".encode()))
    assert {parameters(bundle, job)["deployment_job_id"] for job in ("training", "promotion")} == {wanted}


def test_files_land_in_the_targets_volume(bundle: Bundle) -> None:
    for job in ("sample", "ingestion"):
        assert parameters(bundle, job)["landing"] == f"/Volumes/{bundle.target}/{own(bundle)}{SCHEMA}/landing"


def test_production_runs_as_its_own_identity(bundle: Bundle) -> None:
    identities = {key: job.get("run_as", {}).get("service_principal_name") for key, job in bundle.jobs.items()}
    trainer, others = identities.pop("training"), set(identities.values())
    wanted = (None, None) if bundle.target == "dev" else (f"sp-train-{bundle.target}", f"sp-run-{bundle.target}")
    assert (trainer, others) == (wanted[0], {wanted[1]})


def test_every_job_is_paid_for_by_somebody(bundle: Bundle) -> None:
    personal = {"dev": short_name()} if bundle.target == "dev" else {}
    wanted = {"project": BUNDLE, "target": bundle.target, "cost_center": BUNDLE, **personal}
    assert [job["tags"] for job in bundle.jobs.values()] == [wanted] * len(bundle.jobs)


def test_nothing_unresolved_is_left(bundle: Bundle) -> None:
    assert "${" not in str(bundle.document)


def test_the_environment_has_the_mlflow_that_is_tested(root: Path, bundle: Bundle) -> None:
    lock = tomllib.loads((root / "uv.lock").read_text())
    locked = {package["name"]: package["version"] for package in lock["package"]}
    for job in bundle.jobs.values():
        pins = [name.split("==") for name in job["environments"][0]["spec"]["dependencies"] if "==" in name]
        assert {name: locked[name] for name, _ in pins} == dict(pins)


def test_every_node_of_the_resolved_bundle_knows_its_file(bundle: Bundle, root: Path) -> None:
    lines: dict[Path, list[str]] = {}
    for job in bundle.jobs:
        place = bundle.locate("resources", "jobs", job)
        lines.setdefault(place.file, (root / place.file).read_text().splitlines())
        assert place.file == Path(f"resources/{job}.job.yml")
        assert lines[place.file][place.line - 1].strip() == f"{job}:"


def test_the_bundle_names_no_cloud(bundle: Bundle) -> None:
    """Only resources/extras/classic.py, which is off by default, has a node type and attributes of Azure."""
    words = re.compile(r"azure|abfss|aws|s3://|gcp|gs://|google|node_type|instance_pool|Standard_", re.IGNORECASE)
    assert sorted(set(words.findall(json.dumps(bundle.jobs, default=str)))) == []
