"""`mlops doctor`: what a newcomer has to mend, in which order; against a double of the REST API and a stand-in CLI."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from double import PIPELINE_TOKEN, Double, Refused, denied, missing
from test_bootstrap import DEPLOY, SERVE, document, ready

from mlops_cli import cli
from mlops_cli.workspace import commands
from mlops_cli.workspace.doctor import Facts, run_checks
from mlops_cli.workspace.protection import Environment
from mlops_cli.workspace.requirements import TargetRequirements
from mlops_cli.workspace.state import Principal, WorkspaceState

CHECKS = (
    "cli", "login", "bundle", "metastore", "account", "catalogs", "rights", "serverless", "environment", "registry",
    "aliases", "secrets", "approvals",
)  # fmt: skip
PROTECTED = Environment(reviewers=1, self_review=False, bypass=False, branches=("main",))
GUARDED = {f"staging{role}": PROTECTED for role in ("", "-plan", "-promote")}
_CLI = """#!{python}
import json, sys
given = {{a.split("=")[1]: a.split("=", 2)[2] for a in sys.argv if a.startswith("--var=")}}
if sys.argv[1:2] == ["version"]:
    print(json.dumps({{"Version": "{version}", "Commit": "7bbe2852"}}, indent=2))
    sys.exit(0)
assert sys.argv[1:7] == ["bundle", "validate", "--target", "staging", "--output", "json"], sys.argv
document = json.load(open("{document}"))
for name, variable in document["variables"].items():
    if "value" not in variable and name not in given:
        print(f"Error: no value assigned to required variable {{name}}. Variables are usually assigned in "
              "databricks.yml, and they can be overridden using --var", file=sys.stderr)
        sys.exit(1)
    variable.setdefault("value", given.get(name))
print(json.dumps(document))
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a CLI on the PATH that answers as the real one: version, and the resolved bundle or what it lacks."""

    def put(given: dict[str, Any] | None = None, version: str = "1.13.0") -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (tmp_path / "document.json").write_text(json.dumps(given or document()))
        script = _CLI.format(python=sys.executable, version=version, document=tmp_path / "document.json")
        (folder / "databricks").write_text(script)
        (folder / "databricks").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return put


@pytest.fixture
def without_secret(double: Double, monkeypatch: pytest.MonkeyPatch) -> Double:
    """The login of a pipeline: its own short token, exchanged for one of the workspace."""
    ready(double)
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "env-oidc")
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN", PIPELINE_TOKEN)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", DEPLOY)
    return double


@pytest.fixture
def ask(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[int, dict[str, dict[str, str]]]]:
    """Run the command; its exit code and findings by check."""

    monkeypatch.setattr(commands, "_read_environments", lambda repository, token: GUARDED)

    def run() -> tuple[int, dict[str, dict[str, str]]]:
        code = cli.run_args(["doctor", "-t", "staging", "--output", "json", "--github", "octo/flights"])
        findings = json.loads(capsys.readouterr().out)
        assert [finding["check"] for finding in findings] == [*CHECKS]
        return code, {finding["check"]: finding for finding in findings}

    return run


Ask = Callable[[], tuple[int, dict[str, dict[str, str]]]]


def states(findings: dict[str, dict[str, str]], state: str) -> list[str]:
    return [name for name, finding in findings.items() if finding["state"] == state]


def test_a_complete_workspace_is_healthy(without_secret: Double, install: Install, ask: Ask) -> None:
    install()
    code, findings = ask()
    assert (code, states(findings, "good")) == (0, [*CHECKS])


def test_an_empty_machine_is_told_to_install_the_cli_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    code, findings = ask()
    assert (code, states(findings, "bad")) == (1, ["cli", "login"])
    assert findings["login"]["cure"].startswith("databricks auth login")
    assert states(findings, "unknown") == [*CHECKS[2:-1]]


def test_an_old_cli_is_told_by_the_bundle_s_own_floor(without_secret: Double, install: Install, ask: Ask) -> None:
    install(version="1.9.2")
    code, findings = ask()
    assert (code, states(findings, "bad")) == (1, ["cli"])
    assert findings["cli"]["what"] == "the Databricks CLI is 1.9.2, the bundle needs 1.13.0"
    install(version="2.0.0-dev+7bbe2852")
    assert ask()[0] == 0


def test_a_token_that_has_ended_is_a_matter_of_the_login(without_secret: Double, install: Install, ask: Ask) -> None:
    install()
    without_secret.refuse("GET", "/scim/v2/Me", Refused(401, "UNAUTHENTICATED", "Token is expired"))
    code, findings = ask()
    assert (code, states(findings, "bad")) == (1, ["login"])
    assert "Token is expired" in findings["login"]["what"]


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        ("Source IP address: 1.2.3.4 is blocked by Databricks IP ACL for workspace: 7", "IP access list"),
        ("Unauthorized network access to workspace: 7", "use its network or VPN"),
        ("Failed to resolve 'adb-7.azuredatabricks.net' ([Errno -2] Name or service not known)", "Private Link"),
        ("User is not a member of this workspace", "databricks auth login"),
    ],
)
def test_a_network_that_lets_nobody_in_is_no_matter_of_the_login(
    without_secret: Double, install: Install, ask: Ask, answer: str, cure: str
) -> None:
    install()
    without_secret.refuse("GET", "/scim/v2/Me", Refused(403, "PERMISSION_DENIED", answer))
    code, findings = ask()
    assert (code, states(findings, "bad")) == (1, ["login"])
    assert answer.partition(" (")[0] in findings["login"]["what"]
    assert cure in findings["login"]["cure"]


def test_a_target_of_people_alone_needs_no_account() -> None:
    needs = TargetRequirements(document())
    state = WorkspaceState(host="", workspace_id=1, account_id="", me=Principal("ada", "1"))
    facts = Facts(target="dev", needs=needs, state=state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetRequirements, "identities", ())
        checks = {check.check: check for check in run_checks(facts)}
    assert checks["account"].state == "good"
    assert "Free Edition" in checks["account"].what


def _no_catalog(double: Double) -> None:
    del double.catalogs["prod"]


def _no_metastore(double: Double) -> None:
    double.metastore = None


def _no_right(double: Double) -> None:
    double.permissions["catalog", "staging"][DEPLOY] = []


def _old_environments(double: Double) -> None:
    double.environments = [f"databricks_ml_v{n}" for n in (3, 4, 5)] + ["databricks_ai_v9"]


def _no_model(double: Double) -> None:
    del double.models["staging.flights.late"]


def _secret(double: Double) -> None:
    double.secrets["3"] = [{"id": f"secret-{n}", "status": "ACTIVE"} for n in range(3)]


def _foreign_owner(double: Double) -> None:
    double.models["staging.flights.late"]["owner"] = "somebody else"


@pytest.mark.parametrize(
    ("spoil", "lack"),
    [
        (_no_metastore, (["metastore", "serverless"], "an account admin assigns one")),
        (_no_catalog, (["catalogs"], "mlops bootstrap --target staging")),
        (_no_right, (["rights"], "mlops bootstrap --target staging")),
        (_old_environments, (["environment"], "set environment_version to 5")),
        (_no_model, (["registry"], "databricks bundle deploy --target staging")),
        (_foreign_owner, (["rights", "aliases"], "mlops bootstrap --target staging")),
        (_secret, (["secrets"], "databricks service-principal-secrets-proxy delete 3 secret-0")),
    ],
)
def test_each_lack_is_found_with_its_cure(
    without_secret: Double, install: Install, ask: Ask, spoil: Callable[[Double], None], lack: tuple[list[str], str]
) -> None:
    bad, cure = lack
    install()
    spoil(without_secret)
    code, findings = ask()
    assert (code, states(findings, "bad")) == (1, bad)
    assert cure in findings[bad[0]]["cure"]


def test_a_person_who_may_read_little_is_told_what_is_unknown_and_not_what_is_not(
    without_secret: Double, install: Install, ask: Ask
) -> None:
    install()
    for path in (
        "/effective-permissions/",
        "/credentials/secrets",
        "/environments/",
        "/federationPolicies",
        "rule-sets",
    ):
        without_secret.refuse("GET", path, denied("that right"))
    code, findings = ask()
    assert code == 0
    assert states(findings, "unknown") == ["account", "rights", "serverless", "environment", "secrets"]
    assert "without one, work in target dev" in findings["account"]["cure"]


def test_a_workspace_without_the_environments_api_is_unknown(
    without_secret: Double, install: Install, ask: Ask
) -> None:
    install()
    without_secret.refuse("GET", "/environments/", missing("No API found for 'GET /environments'"))
    code, findings = ask()
    assert (code, findings["serverless"]["state"]) == (0, "unknown")
    assert findings["serverless"]["cure"] == "databricks bundle run sample --target staging"


@pytest.mark.usefixtures("double")
def test_a_personal_access_token_is_a_secret_that_should_not_exist(install: Install, ask: Ask) -> None:
    install()
    code, findings = ask()
    assert code == 1
    assert findings["secrets"]["what"] == "you are logged in with a personal access token, which can be copied"


def test_principals_without_a_value_are_asked_for_and_the_rest_is_still_looked_at(
    without_secret: Double, install: Install, ask: Ask
) -> None:
    given = document()
    for name in ("deploy_principal", "run_principal"):
        del given["variables"][name]["value"]
    install(given)
    code, findings = ask()
    assert (code, findings["bundle"]["state"], findings["catalogs"]["state"]) == (1, "good", "good")
    assert "deploy_principal of target staging has no value" in findings["rights"]["what"]


def test_the_text_says_what_to_mend_in_order(
    without_secret: Double, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    _no_model(without_secret)
    assert cli.run_args(["doctor", "-t", "staging"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok   cli: the Databricks CLI is 1.13.0"
    at = lines.index("MEND registry: there is no model staging.flights.late, or you lack EXECUTE on it")
    assert lines[at + 1] == "     -> databricks bundle deploy --target staging"


def test_who_moves_aliases_holds_management_where_nobody_owns(
    without_secret: Double, install: Install, ask: Ask
) -> None:
    given = document()
    del given["variables"]["model_owners"]
    install(given)
    without_secret.models["staging.flights.late"]["owner"] = DEPLOY
    without_secret.permissions["function", "staging.flights.late"][SERVE] = ["MANAGE", "EXECUTE", "APPLY_TAG"]
    assert ask()[1]["aliases"]["state"] == "good"
