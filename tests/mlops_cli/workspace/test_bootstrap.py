"""`mlops bootstrap`: what is missing around a target, read through the real SDK from a double of the REST API."""

from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from double import ACCOUNT, TOKEN, WORKSPACE_ID, Double, away, busy, denied

from mlops.contract import ConfigError
from mlops_cli import cli
from mlops_cli.resolved import load_resolved_bundle as read_bundle
from mlops_cli.workspace import account
from mlops_cli.workspace.bootstrap import MissingSteps, list_missing_steps
from mlops_cli.workspace.identities import pipeline_from_options
from mlops_cli.workspace.protection import Environment
from mlops_cli.workspace.requirements import RIGHTS, TargetRequirements

DEPLOY, TRAIN, SERVE = (f"{n * 8}-0000-0000-0000-000000000000" for n in "abc")
JOBS = (
    "sample",
    "ingestion",
    "training",
    "validation",
    "deployment",
    "inference",
    "monitoring",
    "promotion",
    "rollback",
)


def document(**changes: Any) -> dict[str, Any]:
    """A target of two catalogs whose model a group owns; trainer and server are two service principals."""
    run_as = {job: {"service_principal_name": TRAIN if job == "training" else SERVE} for job in JOBS}
    base: dict[str, Any] = {
        "bundle": {"name": "flights", "target": "staging", "mode": "production", "databricks_cli_version": ">=1.13.0"},
        "variables": {
            "deploy_principal": {"value": DEPLOY},
            "train_principal": {"value": TRAIN},
            "run_principal": {"value": SERVE},
            "data_catalog": {"value": "prod"},
            "data_schema": {"value": "flights"},
            "source_model": {"value": "dev.flights.late"},
            "environment_version": {"value": "6"},
            "model_owners": {"value": "model owners"},
        },
        "resources": {
            "schemas": {"lakehouse": {"catalog_name": "staging", "name": "flights", "grants": [
                {"principal": who, "privileges": ["USE_SCHEMA", "SELECT", "MODIFY", "CREATE_TABLE", "EXECUTE"]}
                for who in (TRAIN, SERVE)
            ]}},
            "volumes": {"landing": {"name": "landing", "grants": [
                {"principal": SERVE, "privileges": ["READ_VOLUME", "WRITE_VOLUME"]},
            ]}},
            "registered_models": {"model": {"name": "late", "grants": [
                {"principal": "data scientists", "privileges": ["EXECUTE"]},
            ]}},
            "jobs": {job: {"name": job, "run_as": run_as[job]} for job in JOBS},
        },
    }  # fmt: skip
    base.update(changes)
    return copy.deepcopy(base)


def ready(double: Double) -> None:
    """Fill the double with all that the document takes."""
    owners = [{"display": "model owners", "value": "900"}]
    double.service_principals = [
        {"id": "1", "applicationId": DEPLOY, "displayName": "flights-staging-deploy", "groups": owners},
        {"id": "2", "applicationId": TRAIN, "displayName": "flights-staging-train", "groups": []},
        {"id": "3", "applicationId": SERVE, "displayName": "flights-staging-run", "groups": owners},
    ]
    double.groups = [
        {"id": "900", "displayName": "model owners", "meta": {"resourceType": "Group"}},
        {"id": "901", "displayName": "data scientists", "meta": {"resourceType": "Group"}},
    ]
    double.catalogs = {
        "staging": {"owner": "platform", "isolation_mode": "ISOLATED"},
        "prod": {"owner": "platform", "isolation_mode": "ISOLATED"},
        "dev": {"owner": "platform", "isolation_mode": "OPEN"},
    }
    double.bindings["staging"] = [
        *({"workspace_id": n, "binding_type": "BINDING_TYPE_READ_ONLY"} for n in range(5)),
        {"workspace_id": WORKSPACE_ID, "binding_type": "BINDING_TYPE_READ_WRITE"},
    ]
    double.bindings["prod"] = [{"workspace_id": WORKSPACE_ID, "binding_type": "BINDING_TYPE_READ_ONLY"}]
    for name in ("staging.flights", "prod.flights", "dev.flights"):
        double.schemas[name] = {"owner": DEPLOY}
    double.volumes["staging.flights.landing"] = {"owner": DEPLOY}
    double.models = {name: {"owner": "model owners"} for name in ("staging.flights.late", "dev.flights.late")}
    double.permissions = {
        ("catalog", "staging"): {
            DEPLOY: ["USE_CATALOG", "CREATE_SCHEMA"],
            **{who: ["USE_CATALOG"] for who in (TRAIN, SERVE, "data scientists")},
        },
        ("catalog", "prod"): {"account users": ["USE_CATALOG"]},
        ("schema", "prod.flights"): {who: ["USE_SCHEMA", "SELECT"] for who in (TRAIN, SERVE)},
        ("catalog", "dev"): {SERVE: ["USE_CATALOG"]},
        ("schema", "dev.flights"): {SERVE: ["USE_SCHEMA", "SELECT"]},
        ("function", "staging.flights.late"): {TRAIN: ["CREATE_MODEL_VERSION", "APPLY_TAG"]},
    }
    double.policies["1"] = [
        {"oidc_policy": {"issuer": "https://other", "subject": str(n), "audiences": [ACCOUNT]}} for n in range(3)
    ]
    double.policies["1"].append(
        {"oidc_policy": {
            "issuer": "https://token.actions.githubusercontent.com",
            "subject": "repo:octo@1/flights@2:environment:staging",
            "audiences": [ACCOUNT],
        }}
    )  # fmt: skip
    for who in (TRAIN, SERVE):
        name = f"accounts/{ACCOUNT}/servicePrincipals/{who}/ruleSets/default"
        rule = {"role": "roles/servicePrincipal.user", "principals": [f"servicePrincipals/{DEPLOY}"]}
        double.rule_sets[name] = {"name": name, "etag": "e7", "grant_rules": [rule]}


def look(given: dict[str, Any] | None = None, github: str | None = "octo@1/flights@2") -> MissingSteps:
    wanted = TargetRequirements(given or document())
    found = account.read_state(wanted)
    return list_missing_steps(wanted, found, pipeline_from_options(github, None, found.account_id))


def commands(answer: MissingSteps) -> list[str]:
    return [step.command for step in answer.steps]


def test_nothing_is_missing_where_everything_is_there(double: Double) -> None:
    ready(double)
    assert look() == MissingSteps((), ())


def test_looking_changes_nothing(double: Double) -> None:
    ready(double)
    double.catalogs.clear()
    look()
    assert {method for method, _ in double.calls} == {"GET"}


def test_an_empty_account_is_told_to_make_everything_in_order(double: Double) -> None:
    answer = look()
    made = commands(answer)
    kinds = [
        next(k for k in ("service-principals", "groups", "workspace-assignment", "CATALOG") if k in c) for c in made
    ]
    assert kinds[:3] == ["service-principals"] * 3
    assert [c for c in made if c.startswith("CREATE")] == ["CREATE CATALOG IF NOT EXISTS `staging`;"]
    assert "catalog prod, which target staging reads: whoever writes there makes it" in answer.later
    assert made.index("CREATE CATALOG IF NOT EXISTS `staging`;") < made.index(
        f"GRANT CREATE SCHEMA ON CATALOG `staging` TO `{DEPLOY}`;"
    )
    assert "MANAGE on function staging.flights.late" not in " ".join(answer.later)  # its owner's members may
    assert f"CREATE_MODEL_VERSION on function staging.flights.late for {TRAIN}" in answer.later


@pytest.mark.parametrize(
    ("on", "who", "privilege", "expected"),
    [
        (("catalog", "staging"), DEPLOY, "CREATE_SCHEMA", f"GRANT CREATE SCHEMA ON CATALOG `staging` TO `{DEPLOY}`;"),
        (("catalog", "staging"), TRAIN, "USE_CATALOG", f"GRANT USE CATALOG ON CATALOG `staging` TO `{TRAIN}`;"),
        (("catalog", "staging"), "data scientists", "USE_CATALOG",
         "GRANT USE CATALOG ON CATALOG `staging` TO `data scientists`;"),
        (("schema", "prod.flights"), TRAIN, "SELECT", f"GRANT SELECT ON SCHEMA `prod`.`flights` TO `{TRAIN}`;"),
        (("schema", "dev.flights"), SERVE, "USE_SCHEMA", f"GRANT USE SCHEMA ON SCHEMA `dev`.`flights` TO `{SERVE}`;"),
        (("function", "staging.flights.late"), TRAIN, "CREATE_MODEL_VERSION",
         f"GRANT CREATE MODEL VERSION ON FUNCTION `staging`.`flights`.`late` TO `{TRAIN}`;"),
        (("function", "staging.flights.late"), TRAIN, "APPLY_TAG",
         f"GRANT APPLY TAG ON FUNCTION `staging`.`flights`.`late` TO `{TRAIN}`;"),
    ],
)  # fmt: skip
def test_each_right_that_is_gone_is_granted_again_and_nothing_else(
    double: Double, on: tuple[str, str], who: str, privilege: str, expected: str
) -> None:
    ready(double)
    double.permissions[on][who].remove(privilege)
    (step,) = look().steps
    assert step.command == expected
    assert step.undo == expected.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")
    assert step.right
    assert not step.unsure


def test_a_privilege_that_the_sdk_does_not_know_is_seen(double: Double) -> None:
    from databricks.sdk.service.catalog import Privilege

    assert "CREATE_MODEL_VERSION" not in {p.value for p in Privilege}  # or plain JSON is no longer needed
    ready(double)
    assert look().steps == ()


def test_all_privileges_hold_everything_but_management(double: Double) -> None:
    ready(double)
    double.permissions["catalog", "staging"] = {who: ["ALL_PRIVILEGES"] for who in (DEPLOY, TRAIN, "account users")}
    assert look().steps == ()
    bare = document()
    del bare["variables"]["model_owners"]
    double.models["staging.flights.late"] = {"owner": DEPLOY}
    double.permissions["function", "staging.flights.late"] = {who: ["ALL_PRIVILEGES"] for who in (TRAIN, SERVE)}
    assert commands(look(bare)) == [f"GRANT MANAGE ON FUNCTION `staging`.`flights`.`late` TO `{SERVE}`;"]


def test_what_the_bundle_does_not_grant_inside_is_granted_beside_it(double: Double) -> None:
    ready(double)
    given = document()
    grants = given["resources"]["volumes"]["landing"]["grants"]
    grants[0]["principal"] = "data scientists"  # what somebody else gets is nothing to the runner
    assert commands(look(given)) == [
        f"GRANT {privilege} VOLUME ON VOLUME `staging`.`flights`.`landing` TO `{SERVE}`;"
        for privilege in ("READ", "WRITE")
    ]


def test_membership_in_the_model_s_owner_is_told_with_its_undo(double: Double) -> None:
    ready(double)
    double.service_principals[2]["groups"] = []
    step = look().steps[0]
    words = shlex.split(step.command)
    assert words[:5] == ["databricks", "account", "groups", "patch", "900"]
    assert json.loads(words[-1])["Operations"] == [{"op": "add", "path": "members", "value": [{"value": "3"}]}]
    assert json.loads(shlex.split(step.undo)[-1])["Operations"] == [{"op": "remove", "path": 'members[value eq "3"]'}]


def test_a_service_principal_that_has_no_name_yet_is_made_then_named(double: Double) -> None:
    ready(double)
    given = document()
    given["variables"]["train_principal"]["value"] = "unset-train_principal"
    given["resources"]["jobs"]["training"]["run_as"]["service_principal_name"] = "unset-train_principal"
    there = double.service_principals.pop(1)
    made = look(given)
    assert commands(made)[0] == "databricks service-principals create --display-name flights-staging-train"
    assert not [c for c in commands(made) if "unset" in c]
    assert any(line.endswith("for unset-train_principal") for line in made.later)
    double.service_principals.append(there)
    assert commands(look(given))[0] == f"export BUNDLE_VAR_train_principal={TRAIN}"


def test_a_group_of_the_workspace_only_is_no_group_for_unity_catalog(double: Double) -> None:
    ready(double)
    double.groups[1]["meta"]["resourceType"] = "WorkspaceGroup"
    answer = look()
    assert "local to the workspace" in answer.steps[0].what
    assert commands(answer) == [
        "GROUP_ID=$(databricks account groups create --display-name 'data scientists' --output json | jq -r .id)",
        (
            f'databricks account workspace-assignment update {WORKSPACE_ID} "$GROUP_ID" '
            """--json '{"permissions": ["USER"]}'"""
        ),
    ]


@pytest.mark.parametrize(
    "subject", ["repo:octo@1/flights@2:environment:staging", "repo:octo/flights:environment:staging"]
)
def test_both_forms_of_github_s_subject_are_accepted_and_the_immutable_is_made(double: Double, subject: str) -> None:
    ready(double)
    double.policies["1"][-1]["oidc_policy"]["subject"] = subject
    assert look().steps == ()
    del double.policies["1"][-1]
    (step,) = look().steps
    assert json.loads(shlex.split(step.command)[-1]) == {
        "oidc_policy": {
            "issuer": "https://token.actions.githubusercontent.com",
            "audiences": [ACCOUNT],
            "subject": "repo:octo@1/flights@2:environment:staging",
        }
    }
    assert "repo:octo/flights:environment:staging" in step.what
    assert shlex.split(step.undo)[3:5] == ["delete", "1"]


def test_another_environment_of_the_same_repository_is_not_trusted(double: Double) -> None:
    ready(double)
    double.policies["1"][-1]["oidc_policy"]["subject"] = "repo:octo@1/flights@2:environment:prod"
    assert len(look().steps) == 1


@pytest.mark.parametrize(
    ("source", "subject"),
    [
        (("octo@1/flights@2", None), "repo:octo@1/flights@2:environment:staging-plan"),
        ((None, f"{ACCOUNT}/octo/ml/staging"), "p://octo/ml/staging-plan"),
    ],
)
def test_who_plans_browses_the_catalog_and_logs_in_from_a_place_of_its_own(
    double: Double, source: tuple[str | None, str | None], subject: str
) -> None:
    ready(double)
    double.policies["1"] = []
    given = document()
    given["variables"]["plan_principal"] = {"value": (plan := "d" * 8 + DEPLOY[8:])}
    double.service_principals.append({"id": "4", "applicationId": plan, "displayName": "flights-staging-plan"})
    wanted = TargetRequirements(given)
    found = account.read_state(wanted)
    _, trust, browse = list_missing_steps(wanted, found, pipeline_from_options(*source, ACCOUNT)).steps
    assert browse.command == f"GRANT BROWSE ON CATALOG `staging` TO `{plan}`;"
    assert json.loads(shlex.split(trust.command)[-1])["oidc_policy"]["subject"] == subject


def test_who_promotes_reads_the_version_of_the_target_below(double: Double) -> None:
    """The job copies it, and before that the command looks at it, under the identity of the pipeline."""
    ready(double)
    given = document()
    given["variables"]["promote_principal"] = {"value": (promote := "d" * 8 + DEPLOY[8:])}
    double.service_principals.append({"id": "4", "applicationId": promote, "displayName": "flights-staging-promote"})
    _, *rights = commands(look(given))
    assert rights == [
        f"GRANT USE CATALOG ON CATALOG `dev` TO `{promote}`;",
        f"GRANT USE SCHEMA ON SCHEMA `dev`.`flights` TO `{promote}`;",
        f"GRANT EXECUTE ON FUNCTION `dev`.`flights`.`late` TO `{promote}`;",
    ]


def test_azure_devops_is_trusted_per_pipeline(double: Double) -> None:
    ready(double)
    organisation = "12345678-aaaa-bbbb-cccc-1234567890ab"
    wanted = TargetRequirements(document())
    found = account.read_state(wanted)
    (step,) = list_missing_steps(
        wanted, found, pipeline_from_options(None, f"{organisation}/octo/ml/deploy flights", ACCOUNT)
    ).steps
    assert json.loads(shlex.split(step.command)[-1])["oidc_policy"] == {
        "issuer": f"https://vstoken.dev.azure.com/{organisation}",
        "audiences": ["api://AzureADTokenExchange"],
        "subject": "p://octo/ml/deploy flights",
    }


@pytest.mark.parametrize("github", ["octo/flights", "octo@1/flights", "octo@1/fli'ghts@2", "@1/x@2", ""])
def test_a_repository_without_its_ids_is_refused_with_the_command_that_tells_them(github: str) -> None:
    with pytest.raises(ConfigError, match=r"gh api repos/OWNER/REPO"):
        pipeline_from_options(github, None, ACCOUNT)


def test_without_a_pipeline_the_question_is_asked(double: Double) -> None:
    ready(double)
    double.policies.clear()
    (step,) = look(github=None).steps
    assert step.command.startswith("mlops bootstrap --target staging --github ")


def test_the_deployer_becomes_user_of_who_the_jobs_run_as_beside_who_is_already(double: Double) -> None:
    ready(double)
    name = f"accounts/{ACCOUNT}/servicePrincipals/{SERVE}/ruleSets/default"
    manager = {"role": "roles/servicePrincipal.manager", "principals": ["groups/platform"]}
    double.rule_sets[name] = {"name": name, "etag": "e9", "grant_rules": [manager]}
    (step,) = look().steps
    body = json.loads(shlex.split(step.command)[-1])
    assert body["name"] == name
    assert body["rule_set"]["etag"] == "e9"
    assert body["rule_set"]["grant_rules"] == [
        manager,
        {"role": "roles/servicePrincipal.user", "principals": [f"servicePrincipals/{DEPLOY}"]},
    ]


def test_catalogs_are_bound_for_what_they_are_used_for(double: Double) -> None:
    ready(double)
    double.bindings.clear()
    double.catalogs["staging"]["isolation_mode"] = "OPEN"
    steps = {step.what.split(" is ")[0].split(" that")[0]: step for step in look().steps}
    assert {step.command.split("--json")[0] for step in look().steps} == {
        "databricks workspace-bindings update-bindings catalog prod ",
        "databricks workspace-bindings update-bindings catalog staging ",
        "databricks catalogs update staging --isolation-mode ISOLATED",
    }
    assert '"BINDING_TYPE_READ_ONLY"' in steps["catalog prod"].command
    assert '"BINDING_TYPE_READ_WRITE"' in steps["catalog staging"].command


def test_a_catalog_that_is_read_may_be_bound_for_writing_too(double: Double) -> None:
    ready(double)
    double.bindings["prod"] = [{"workspace_id": WORKSPACE_ID, "binding_type": "BINDING_TYPE_READ_WRITE"}]
    assert look() == MissingSteps((), ())


def test_a_catalog_of_a_person_goes_to_the_group(double: Double) -> None:
    ready(double)
    double.catalogs["staging"]["owner"] = "ada@example.com"
    (step,) = look().steps
    assert step.command == "ALTER CATALOG `staging` OWNER TO `model owners`;"
    assert step.undo == "ALTER CATALOG `staging` OWNER TO `ada@example.com`;"


def test_a_model_that_changed_hands_goes_back_to_whom_the_bundle_gives_it(double: Double) -> None:
    ready(double)
    double.models["staging.flights.late"]["owner"] = "ada@example.com"
    step = look().steps[0]
    assert step.command == "databricks registered-models update staging.flights.late --owner 'model owners'"
    assert step.undo == "databricks registered-models update staging.flights.late --owner ada@example.com"


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        ("/bindings/catalog/staging", "update-bindings catalog staging"),
        ("/federationPolicies", "service-principal-federation-policy create 1"),
        ("/access-control/rule-sets", "update-rule-set"),
        ("/effective-permissions/catalog/staging", "ON CATALOG `staging` TO"),
        ("/unity-catalog/catalogs/staging", "CREATE CATALOG IF NOT EXISTS `staging`"),
        ("/scim/v2/Groups", "groups create --display-name 'model owners'"),
    ],
)
def test_what_may_not_be_read_is_printed_and_marked_as_unsure(double: Double, path: str, touched: str) -> None:
    ready(double)
    double.refuse("GET", path, denied("the right to read it"))
    steps = [step for step in look().steps if touched in step.command]
    assert steps
    assert all("does not have the right to read it" in step.unsure for step in steps)


def test_pages_throttling_and_outages_are_waited_out(double: Double) -> None:
    ready(double)
    double.page = 1
    double.fail("GET", "/effective-permissions/", busy(0), away(0))
    double.fail("GET", "/scim/v2/Groups", busy(0))
    double.fail("GET", "/federationPolicies", away(0))
    assert look() == MissingSteps((), ())


# --- people and names ------------------------------------------------------------------------------------------------


def test_in_development_everybody_is_deployer_and_runner(double: Double) -> None:
    me = "ada@example.com"
    given = document()
    given["bundle"] |= {"target": "dev", "mode": "development"}
    given["variables"] = {"deploy_principal": {"value": me}, "run_principal": {"value": me}}
    given["resources"]["schemas"]["lakehouse"] |= {"name": "dev_ada_flights", "grants": []}
    given["resources"]["volumes"]["landing"]["grants"] = given["resources"]["registered_models"]["model"]["grants"] = []
    for job in given["resources"]["jobs"].values():
        del job["run_as"]
    double.catalogs["staging"] = {"owner": "platform", "isolation_mode": "OPEN"}
    answer = look(given)
    assert commands(answer) == [
        f"GRANT {privilege} ON CATALOG `staging` TO `{me}`;" for privilege in ("USE CATALOG", "CREATE SCHEMA")
    ]
    double.me["groups"] = [{"display": "team"}]
    double.permissions["catalog", "staging"] = {"team": ["USE_CATALOG", "CREATE_SCHEMA"]}
    double.schemas["staging.dev_ada_flights"] = {"owner": me}
    double.volumes["staging.dev_ada_flights.landing"] = {"owner": me}
    double.models["staging.dev_ada_flights.late"] = {"owner": me}
    assert look(given) == MissingSteps((), ())


@pytest.mark.parametrize(
    "name", ["a`; DROP CATALOG prod; --", "x' || curl evil", 'a"b', "line\nbreak", "back\\slash", "n" * 256]
)
def test_a_principal_that_could_leave_its_quotes_is_refused(name: str) -> None:
    given = document()
    given["resources"]["registered_models"]["model"]["grants"][0]["principal"] = name
    with pytest.raises(ConfigError, match="cannot name a principal"):
        TargetRequirements(given).grants_needed()


@pytest.mark.parametrize("name", ["a b", "x'; DROP TABLE t;--", "a-b", "", "n" * 256])
def test_a_name_that_unity_catalog_refuses_is_refused(name: str) -> None:
    given = document()
    given["resources"]["schemas"]["lakehouse"]["name"] = name
    with pytest.raises(ConfigError, match="is no name of Unity Catalog"):
        TargetRequirements(given).grants_needed()


def test_every_command_is_one_line_that_the_shell_or_sql_can_parse(double: Double) -> None:
    for step in look().steps:
        assert "\n" not in step.command
        if step.language == "sql":
            assert re.fullmatch(r"(GRANT|CREATE CATALOG|ALTER CATALOG) [^;]+;", step.command)
        else:
            assert shlex.split(step.command)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def resolved(tmp_path: Path) -> Path:
    file = tmp_path / "staging.json"
    file.write_text(json.dumps(document()))
    return file


def test_the_command_prints_what_is_missing_and_exits_with_1(
    double: Double, resolved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(double)
    double.permissions["catalog", "staging"][DEPLOY].remove("CREATE_SCHEMA")
    arguments = ["bootstrap", "-t", "staging", "--bundle", str(resolved), "--github", "octo@1/flights@2"]
    assert cli.run_args(arguments) == 1
    printed = capsys.readouterr().out
    assert f"\nGRANT CREATE SCHEMA ON CATALOG `staging` TO `{DEPLOY}`;\n" in printed
    assert "undo:  REVOKE CREATE SCHEMA" in printed
    assert "needs: owner of the catalog" in printed
    assert cli.run_args([*arguments, "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["steps"][0]["language"] == "sql"
    double.permissions["catalog", "staging"][DEPLOY].append("CREATE_SCHEMA")
    capsys.readouterr()
    assert cli.run_args(arguments) == 1
    left = capsys.readouterr().out
    assert "3 commands are missing" in left
    assert left.count("it could not be read: no token was given to read it with: export GH_TOKEN") == 3
    protected = Environment(reviewers=0, self_review=True, bypass=True, branches=("main",))
    known = {f"staging{role}": protected for role in ("", "-plan", "-promote")}
    monkeypatch.setattr("mlops_cli.workspace.commands._read_environments", lambda repository, token: known)
    assert cli.run_args(arguments) == 0


def test_what_the_cli_leaves_for_the_deployment_is_filled_in(tmp_path: Path) -> None:
    """`databricks bundle validate -o json` names other resources by reference; ids come with the deployment."""
    given, schema = document(), "${resources.schemas.lakehouse.name}"
    given["variables"]["data_schema"]["value"] = schema
    trial = {"catalog_name": "staging", "schema_name": schema, "name": "late"}
    given["resources"]["registered_models"]["trial_model"] = trial
    given["resources"]["volumes"]["landing"]["volume_path"] = f"/Volumes/staging/{schema}/landing"
    given["resources"]["jobs"]["sample"]["parameters"] = [
        {"name": "landing", "default": "${resources.volumes.landing.volume_path}"},
        {"name": "model", "default": "${resources.registered_models.trial_model.full_name}"},
        {"name": "job", "default": "${resources.jobs.training.id}"},
    ]
    asks = {"level": "CAN_MANAGE", "user_name": "eve@example.com"}
    given["resources"]["experiments"] = {
        "experiment": {"permissions": [asks, {"level": "CAN_READ", "group_name": "x"}]}
    }
    file = tmp_path / "staging.json"
    file.write_text(json.dumps(given))
    wanted = TargetRequirements(read_bundle("staging", file))
    assert wanted.securable_names["data schema"] == ("schema", "prod.flights")
    assert wanted.securable_names["trial model"] == ("function", "staging.flights.late")
    assert [each["default"] for each in wanted.document["resources"]["jobs"]["sample"]["parameters"]] == [
        "/Volumes/staging/flights/landing",
        "staging.flights.late",
        "${resources.jobs.training.id}",
    ]
    assert not {need.who for need in wanted.grants_needed()} & {"eve@example.com", "x"}


def test_the_wrong_target_s_document_is_refused(
    double: Double, resolved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_args(["bootstrap", "-t", "prod", "--bundle", str(resolved)]) == 1
    assert "is about target 'staging', not 'prod'" in capsys.readouterr().err


def test_no_secret_is_printed_whatever_the_platform_says(
    double: Double, resolved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [TOKEN, "dose" + "f" * 32, "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "abc8Q~" + "d" * 34, "s3cr3t-value"]
    double.refuse("GET", "/unity-catalog/", denied(
        f"anything. Authorization: Bearer {secrets[0]}, {secrets[1]}, {secrets[2]}, {secrets[3]}, "
        f"client_secret={secrets[4]}"
    ))  # fmt: skip
    cli.run_args(["bootstrap", "-t", "staging", "--bundle", str(resolved)])
    cli.run_args(["doctor", "-t", "staging", "--bundle", str(resolved)])
    double.refuse("GET", "/scim/v2/Me", denied(f"a valid token: {secrets[0]}"))
    cli.run_args(["bootstrap", "-t", "staging", "--bundle", str(resolved), "--output", "json"])
    printed = "".join(capsys.readouterr())
    assert "[redacted]" in printed
    assert not [secret for secret in secrets if secret in printed]


# --- the bundle ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_the_bundle_s_own_targets_are_understood(target: str) -> None:
    from laptop.bundle import load_bundle

    wanted = TargetRequirements(load_bundle(Path(__file__).parents[3], target).document)
    assert wanted.target == target
    assert {need.kind for need in wanted.grants_needed()} >= {"catalog"}
    jobs = set(wanted.document["resources"]["jobs"]) - {"connection"}
    assert {job for right in RIGHTS for job in right.jobs} == jobs
    assert {identity.role for identity in wanted.identities} >= {"deploy"} | (set() if target == "dev" else {"run"})
