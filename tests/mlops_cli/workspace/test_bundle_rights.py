"""What the bundle itself gives to whom, in a workspace: held against RIGHTS and against docs/reference/rights.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from names import BUNDLE, MODEL, SCHEMA

from laptop.bundle import read_source, resolve_target
from mlops_cli.workspace.requirements import TargetRequirements

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/rights.md").read_text()
ROLES = ("deploy", "run", "train", "plan", "promote")
SOURCE = f"dev.dev_ada_{SCHEMA}.dev_ada_{MODEL}"
NAMED = {f"{role}_principal": f"the-{role}-principal" for role in ROLES} | {"alert_email": "ml@example.com"}
GROUPS = ("data-scientists", "ml-engineers", "consumers", "model-owners", "job-runners")


def document(target: str) -> dict[str, Any]:
    """As a workspace has it: with principals of its own, and without the laptop's data of prod."""
    named = {"dev": {}, "staging": {**NAMED, "source_model": SOURCE}, "prod": NAMED}[target]
    bundle, problems = resolve_target(read_source(ROOT), target, variables=named, overrides=False)
    assert problems == []
    return bundle.document


@pytest.fixture(params=["staging", "prod"])
def target(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document(request.param)


def things(found: dict[str, Any], what: str) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Kind, key and entries of every resource that has grants or permissions."""
    kinds = found["resources"].items()
    return [(kind, key, body[what]) for kind, group in kinds for key, body in group.items() if body.get(what)]


def called(principal: str) -> str:
    return principal.removeprefix("the-").removesuffix("-principal").removeprefix(f"{BUNDLE}-").replace("-", " ")


def test_what_the_jobs_need_on_their_own_schema_the_bundle_gives_but_for_two_things(target: dict[str, Any]) -> None:
    """A bundle has no words for CREATE MODEL VERSION; what its catalog's owner grants stands outside."""
    left = {(need.privilege, need.who) for need in TargetRequirements(target).grants_needed() if need.kind != "catalog"}
    readers = ("the-run-principal", "the-promote-principal")
    below = {(privilege, who) for privilege in ("USE_SCHEMA", "EXECUTE") for who in readers}  # on the target below
    below.add(("SELECT", "the-run-principal"))  # on its audit table
    assert left == {("CREATE_MODEL_VERSION", who) for who in ("the-train-principal", "the-run-principal")} | below


def test_nobody_gets_everything_and_no_person_anything(target: dict[str, Any]) -> None:
    for _, key, grants in things(target, "grants"):
        for grant in grants:
            assert "ALL_PRIVILEGES" not in grant["privileges"], key
            assert grant["principal"] in {*NAMED.values(), *(f"{BUNDLE}-{group}" for group in GROUPS)}, key
    for _, key, permissions in [*things(target, "permissions"), ("", "the bundle", target["permissions"])]:
        for permission in permissions:
            assert "user_name" not in permission, key
            assert permission["level"] != "CAN_MANAGE" or called(permission["service_principal_name"]) == "deploy"


def test_only_its_owners_move_the_model(target: dict[str, Any]) -> None:
    holders = {
        (key, grant["principal"])
        for kind, key, grants in things(target, "grants")
        for grant in grants
        if "MANAGE" in grant["privileges"]
    }
    assert holders == {("model", f"{BUNDLE}-model-owners"), ("trial_model", "the-run-principal")}


def test_who_trains_is_not_who_deploys(target: dict[str, Any]) -> None:
    runs = {key: job["run_as"]["service_principal_name"] for key, job in target["resources"]["jobs"].items()}
    assert runs.pop("training") == "the-train-principal"
    assert set(runs.values()) == {"the-run-principal"}


def test_a_principal_stands_once_for_a_thing_since_the_cli_warns_of_two(target: dict[str, Any]) -> None:
    """`bundle validate --strict` fails where the bundle and a resource of it name the same principal."""
    levels = {"jobs": {"CAN_MANAGE", "CAN_VIEW", "CAN_RUN"}, "experiments": {"CAN_MANAGE", "CAN_VIEW"}}
    for kind, key, permissions in things(target, "permissions"):
        above = [each for each in target["permissions"] if each["level"] in levels[kind]]
        names = [name for each in [*above, *permissions] for what, name in each.items() if what != "level"]
        assert len(names) == len(set(names)), key


def test_a_job_may_start_those_that_it_starts(target: dict[str, Any]) -> None:
    jobs = target["resources"]["jobs"]
    starts = {"training": "deployment", "promotion": "deployment", "monitoring": "training"}
    for job, other in starts.items():
        starter = jobs[job]["run_as"]["service_principal_name"]
        given = [each for each in jobs[other]["permissions"] if each["service_principal_name"] == starter]
        assert [each["level"] for each in given] == ["CAN_MANAGE_RUN"], (job, other)


def test_dev_grants_nothing_so_that_its_first_deployment_needs_nobody(target: dict[str, Any]) -> None:
    dev = document("dev")
    assert things(dev, "grants") == things(dev, "permissions") == []
    assert "permissions" not in dev


def test_only_prod_keeps_its_data_from_being_destroyed() -> None:
    kept = {
        name: {
            key for group in document(name)["resources"].values() for key, body in group.items() if "lifecycle" in body
        }
        for name in ("dev", "staging", "prod")
    }
    assert kept == {"dev": set(), "staging": set(), "prod": {"lakehouse", "landing", "model", "experiment"}}


def rows_of(heading: str) -> list[str]:
    start = PAGE.index(heading)
    return PAGE[start:].split("\n\n")[0].splitlines()[2:]


def test_the_page_shows_every_grant(target: dict[str, Any]) -> None:
    rows = [
        f"| {called(grant['principal'])} | {key} | {', '.join(grant['privileges']).replace('_', ' ')} |"
        for _, key, grants in things(target, "grants")
        for grant in grants
    ]
    assert sorted(rows_of("| who | on | privileges that the bundle grants |")) == sorted(rows)


def test_the_page_shows_every_permission(target: dict[str, Any]) -> None:
    given = [("everything deployed", target["permissions"])]
    given += [(f"{kind.removesuffix('s')} {key}", found) for kind, key, found in things(target, "permissions")]
    rows = []
    for on, found in given:
        for each in found:
            who = called(each.get("group_name") or each["service_principal_name"])
            rows.append(f"| {who} | {on} | {each['level'].replace('_', ' ')} |")
    assert sorted(rows_of("| who | on | permission that the bundle gives |")) == sorted(rows)
