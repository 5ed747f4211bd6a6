"""A real MLflow server with three identities: what one may not do gets a 403, a sentence, and changes nothing."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import requests
from inmemory import Audit, World, keep_audit
from life import Life

from mlops.contract import ApprovalPending, Forbidden, ModelError
from mlops.platform import runtime
from mlops.platform.registry import Registry
from mlops.platform.uc_limits import translate_permission_errors
from mlops.release import aliases

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]
WORD = secrets.token_urlsafe(16)
TRAIN = "prod-train"
"""May make versions of prod's model and set tags and aliases: more than Unity Catalog gives to whoever trains."""
OWNERS = {"dev": "scientist", "staging": "staging-run", "prod": "prod-run"}


class Remote(Registry):
    """The registry of a server, as whoever the environment says."""

    def __init__(self, uri):
        import mlflow

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._artifacts = self._file = None
        self._client = translate_permission_errors(mlflow.MlflowClient(), None)


@contextmanager
def identity(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", WORD)
        patch.setenv("LAPTOP_IDENTITY", name)
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with basic-auth on this machine only; who is not granted more may read."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 60\n"
    )
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
        "--app-name", "basic-auth",
    ]  # fmt: skip
    environment = {
        **os.environ, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": WORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        until_healthy(f"http://127.0.0.1:{port}", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def until_healthy(uri, process, log):
    deadline = time.monotonic() + 240
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            requests.get(f"{uri}/health", timeout=1).raise_for_status()
        except requests.RequestException:
            time.sleep(0.5)
        else:
            return


def ask(server, path, **given):
    requests.post(f"{server}/api/{path}", json=given, auth=("admin", WORD), timeout=60).raise_for_status()


class Remotely(Life):
    """Life on a server, with the audit tables in memory: a laptop's tables know no rights."""

    world = World()

    def job(self, job, target, **given):
        context = super().job(job, target, **given)
        context.__dict__.update(own=Audit(self.world), source=Audit(self.world))
        return context

    def state(self, target):
        versions = self.registry.list_versions(self.model(target))
        rows = [row for row in self.world.rows if row["model_name"] == self.model(target)]
        return [(v.number, sorted(v.aliases), dict(v.tags)) for v in versions], rows


@pytest.fixture(scope="module")
def life(server, tmp_path_factory):
    """Each identity owns the model of its target, whose champion is version 2, the one before it and the next one 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_HOME", str(tmp_path_factory.mktemp("tables")))
        patch.setattr(runtime, "set_task_value", lambda *_: None)
        keep_audit(patch)
        life = Remotely(Remote(server))
        with identity("admin"):
            for target, name in OWNERS.items():
                ask(server, "2.0/mlflow/users/create", username=name, password=WORD)
                life.registry._client.create_registered_model(life.model(target))
                grant = {"resource_type": "registered_model", "resource_id": life.model(target), "permission": "MANAGE"}
                ask(server, "3.0/mlflow/users/permissions/grant", username=name, **grant)
            ask(server, "2.0/mlflow/users/create", username=TRAIN, password=WORD)
            edit = {"resource_type": "registered_model", "resource_id": life.model("prod"), "permission": "EDIT"}
            ask(server, "3.0/mlflow/users/permissions/grant", username=TRAIN, **edit)
        for target, name in OWNERS.items():
            with identity(name):
                for number in (1, 2):
                    made = life.trained if target == "dev" else life.promoted
                    made(*(("dev", number) if target == "dev" else ("dev", target, number)))
                    life.deployed(target, number)
        with identity("scientist"):
            life.trained("dev", seed=3)
        for target, name in OWNERS.items():
            with identity(name):
                life.accepted(target, 1)
        yield life


def promote(life, target):
    life.run("promotion", life.promotion(target, *((2, "staging") if target == "dev" else (3, "dev"))))


def deploy(life, target):
    life.run("deployment", life.deployment(target, 1))


def roll_back(life, target):
    life.run("rollback", life.rollback(target))


def tag(life, target):
    life.registry.set_tags(life.version(target, 1), {"verdict": "rejected"})


def point(life, target):
    life.registry.set_alias(life.version(target, 1), "champion")


def unpoint(life, target):
    life.registry.drop_alias(life.model(target), "champion")


def delete(life, target):
    life.registry._client.delete_model_version(life.model(target), "1")


def describe(life, target):
    life.registry.set_description(life.version(target, 1), "mine")


MOVES = (promote, deploy, roll_back, tag, point, unpoint, delete, describe)


@pytest.mark.parametrize("target", OWNERS)
@pytest.mark.parametrize("name", OWNERS.values())
def test_a_forbidden_move_gets_a_403_and_a_sentence_and_changes_nothing(life, name, target):
    if OWNERS[target] == name:
        return
    with identity(OWNERS[target]):
        before = life.state(target)
    for move in MOVES:
        with identity(name), pytest.raises(Forbidden) as refused:
            move(life, target)
        wanted = r"you may not [^;]*: the registry refuses it [^;]*; docs/reference/rights\.md .*"
        assert re.fullmatch(wanted, str(refused.value))
        assert refused.value.__context__.get_http_status_code() == 403, move
    with identity(OWNERS[target]):
        assert life.state(target) == before


@pytest.mark.parametrize("target", OWNERS)
def test_an_identity_may_do_all_of_it_in_its_own_target(life, target):
    with identity(OWNERS[target]):
        version = life.version(target, 2)
        assert version.aliases == ("champion",)
        about = [row["sequence"] for row in life.state(target)[1] if row["to_version"] == 2]
        assert version.tags["record"] == str(max(about))
        for move in (promote, deploy, roll_back, describe):
            move(life, target)
        assert life.version(target, 2).aliases == ("champion",)


FORGED = {
    "verdict": "accepted", "verdict_digest": "0" * 64, "judged_against": "2", "verdict_case": "c",
    "approval": "Approved", "approved_by": "ada", "approval_by": "ada", "approval_expires": "2999-01-01T00:00:00Z",
    "trained_by": "nobody", "trained_until": "2024-01-01T00:00:00Z", "record": "1",
}  # fmt: skip


def forge(life, tags):
    """A version of prod that whoever trains has made, with the files and any tags of an honest one."""
    with identity(TRAIN):
        honest = life.version("prod", 1)
        return life.registry.copy_version(honest, honest.model, {**honest.tags, **tags}).number


@pytest.mark.parametrize("task", ["approval", "deployment"])
def test_who_trains_gets_no_version_deployed_by_any_tag(life, task):
    number = forge(life, FORGED)
    with identity(OWNERS["prod"]):
        before = life.version("prod", 2).aliases
        for given in ({"approval": "required"}, {"approval": "automatic"}):
            if (task, given["approval"]) != ("approval", "automatic"):
                with pytest.raises(ModelError, match="has no accepting verdict in the audit table"):
                    life.run(task, life.deployment("prod", number, **given))
        assert life.version("prod", 2).aliases == before == ("champion",)


def test_who_trains_approves_nothing_by_a_tag(life):
    with identity(OWNERS["prod"]):
        life.accepted("prod", 1)
    with identity(TRAIN):
        life.registry.set_tags(
            life.version("prod", 1), {name: FORGED[name] for name in FORGED if name.startswith("approv")}
        )
    with identity(OWNERS["prod"]):
        for task in ("approval", "deployment"):
            with pytest.raises(ApprovalPending, match="waits for approval"):
                life.run(task, life.deployment("prod", 1, approval="required"))


def test_who_trains_is_not_promoted_by_a_tag(life):
    with identity("scientist"):
        number = life.trained("dev", seed=4).number
        life.accepted("dev", number, verdict="refused")
        life.registry.set_tags(life.version("dev", number), {"verdict": "accepted"})
    with (
        identity(OWNERS["staging"]),
        pytest.raises(ModelError, match=r"was not accepted where it comes from \(refused\)"),
    ):
        life.run("promotion", life.promotion("staging", number, "dev"))


def test_an_alias_that_who_trains_has_moved_serves_nobody_until_it_is_mended(life):
    number = forge(life, FORGED)
    with identity(TRAIN):
        life.registry.set_alias(life.version("prod", number), "champion")
    with identity(OWNERS["prod"]):
        with pytest.raises(ModelError, match=rf"points at version {number}, and the audit table says version 2"):
            aliases.load_serving(life.deployment("prod", 2))
        life.run("validation", life.deployment("prod", 2))
        assert aliases.load_serving(life.deployment("prod", 2)).number == 2
        assert life.version("prod", number).aliases == ()


def test_tags_of_the_champion_that_who_trains_has_changed_change_nothing(life, server):
    with identity("admin"):
        before = life.version("prod", 2)
        experiment = life.registry._client.get_run(before.run_id).info.experiment_id
        edit = {"resource_type": "experiment", "resource_id": experiment, "permission": "EDIT"}
        ask(server, "3.0/mlflow/users/permissions/grant", username=TRAIN, **edit)
    with identity(TRAIN):
        claimed = life.claims(before)
        forged = {"trained_as_of": "1999-01-01T00:00:00Z", "artifact_digest": "0" * 64}
        life.registry.set_tags(before, forged)
        for name, text in forged.items():
            life.registry._client.set_tag(before.run_id, name, text)
    with identity(OWNERS["prod"]):
        served = aliases.load_serving(life.deployment("prod", 2))
        assert served.facts == claimed
        life.registry.load_model(served, life.deployment("prod", 2).use_case.model)
