"""What a target decides stands where nobody who starts a job can change it; so does who started a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy import TOY

from laptop.bundle import load_bundle
from laptop.home import Home
from laptop.summary import write_summary
from mlops import config
from mlops.context import Context
from mlops.contract import ConfigError
from mlops.platform import runtime
from mlops.release import target_settings

ROOT = Path(__file__).parents[3]
STRICT = {"approval": "required", "approval_binding": "digests", "data_catalog": "prod"}


def job(**given):
    base = {"job": "deployment", "run_id": "1", "as_of": "2024-03-02T00:00:00Z", "catalog": "prod", "schema": "toy"}
    base |= {"model_name": "prod.toy.failing", "model_version": 1, "experiment": "/toy", "approval": "required"}
    base |= {"data_catalog": "prod", "data_schema": "toy"}
    return Context(config.parse_arguments([f"--{name}={value}" for name, value in {**base, **given}.items()]), TOY)


@pytest.fixture(params=["laptop", "workspace"])
def deployed(request, home, monkeypatch):
    """Says with which properties the schema is deployed."""

    def deploy(properties):
        if request.param == "laptop":
            schema = {"catalog_name": "prod", "name": "toy", "properties": properties}
            (home / "summary").mkdir(exist_ok=True)
            (home / "summary/prod.json").write_text(json.dumps({"resources": {"schemas": {"lakehouse": schema}}}))
            return
        monkeypatch.delenv("LAPTOP_HOME")
        client = SimpleNamespace(schemas=SimpleNamespace(get=lambda name: SimpleNamespace(properties=properties)))
        monkeypatch.setattr("databricks.sdk.WorkspaceClient", lambda: client)

    return deploy


def test_a_run_with_the_targets_own_settings_passes(deployed):
    deployed(STRICT)
    target_settings.check_settings(job())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"approval": "automatic"}, "approval is 'automatic' and not 'required'"),
        ({"approval_binding": "platform"}, "approval_binding is 'platform' and not 'digests'"),
        ({"data_catalog": "mine"}, "data_catalog is 'mine' and not 'prod'"),
        ({"data_schema": "mine"}, "data_schema is 'mine' and not 'toy'"),
    ],
)
def test_whoever_starts_a_job_with_other_settings_is_refused(deployed, given, said):
    deployed(STRICT)
    with pytest.raises(ConfigError, match=said):
        target_settings.check_settings(job(**given))


def test_a_schema_that_says_nothing_asks_for_a_person(deployed):
    deployed({})
    target_settings.check_settings(job())
    with pytest.raises(ConfigError, match="approval is 'automatic' and not 'required'"):
        target_settings.check_settings(job(approval="automatic"))


def test_a_target_that_approves_by_itself_may(deployed):
    deployed({**STRICT, "approval": "automatic"})
    target_settings.check_settings(job(approval="automatic"))


@pytest.mark.parametrize("given", [{"model_name": "prod.other.failing"}, {"catalog": "mine"}, {"schema": "mine"}])
def test_a_model_lies_beside_its_audit_table(given):
    with pytest.raises(ConfigError, match=r"the model has to be in the schema .*, beside its audit table"):
        job(**given)


def test_who_started_a_run_is_what_the_platform_says(home, monkeypatch):
    monkeypatch.setenv("LAPTOP_IDENTITY", "run")
    with runtime.set_starter("ada"):
        assert runtime.starter("1") == "ada"
    assert runtime.starter("1") not in {"ada", "run"}
    monkeypatch.delenv("LAPTOP_HOME")
    run = SimpleNamespace(creator_user_name="bob@example.com")
    jobs = SimpleNamespace(get_run=lambda number: run if number == 7 else None)
    monkeypatch.setattr("databricks.sdk.WorkspaceClient", lambda: SimpleNamespace(jobs=jobs))
    assert runtime.starter("7") == "bob@example.com"


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
@pytest.mark.parametrize("name", ["validation", "deployment", "integration"])
def test_the_bundles_own_parameters_are_the_settings_of_its_schemas(home, target, name):
    bundle = load_bundle(ROOT, target)
    write_summary(bundle, Home(home))
    given = {p["name"]: p["default"] for p in bundle.jobs[name]["parameters"]}
    fixed = {"job": name, "run_id": "1", "as_of": "2024-03-02T00:00:00Z", "model_version": "1"}
    context = Context(config.parse_arguments([f"--{key}={value}" for key, value in {**given, **fixed}.items()]), TOY)
    assert "approval" in runtime.target_settings(context.config.catalog, context.config.schema_name)
    target_settings.check_settings(context)
