"""Permission lists as two identities plan them: the same bundle passes, a true change of somebody's rights never does.

`Cli` below plans as the CLI does (fix_permissions.go and the diff of its direct engine). The files in plans/ are what
the CLI 1.13.0 itself printed, reduced to one job and one experiment, and hold `Cli` to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.ci import permission_rows
from mlops_cli.ci.permission_rows import Row, add_user, read_rows
from mlops_cli.ci.plan_differences import ConfigDrift, config_drift, plan_differences
from mlops_cli.ci.plan_pages import summarise_plan
from mlops_cli.ci.plans import Plan, as_deployer, parse_plan
from mlops_cli.cli import run_args

PLANS = Path(__file__).parent / "plans"
DEPLOYER, PLANNER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
KINDS = {"resources.jobs.a": "/jobs/1", "resources.experiments.e": "/experiments/2"}
Levels = dict[tuple[str, str], str]
Lists = dict[str, Levels]
RIGHTS = (None, "CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER")
OTHER = ("group_name", "analysts")


def user(name: str) -> tuple[str, str]:
    return ("user_name" if "@" in name else "service_principal_name", name)


def fixed(levels: Levels, kind: str, who: str) -> Levels:
    """What the CLI makes of a list for the one who plans."""
    mine = [key for key in levels if key[0] != "group_name" and key[1] == who]
    if any(levels[key] == "IS_OWNER" for key in mine):
        return levels
    if "jobs" in kind and "IS_OWNER" not in levels.values():
        target = next((key for key in mine if levels[key] == "CAN_MANAGE"), user(who))
        return {**levels, target: "IS_OWNER"}
    return levels if any(levels[key] == "CAN_MANAGE" for key in mine) else {**levels, user(who): "CAN_MANAGE"}


def listed(levels: Levels) -> list[dict[str, str]]:
    return [{"level": level, key: name} for (key, name), level in levels.items()]


@dataclass
class Cli:
    """A workspace with what was deployed, and what somebody changed there by hand since."""

    deployed: Lists = field(default_factory=dict)
    remote: Lists = field(default_factory=dict)
    parameter: str | None = None

    def deploy(self, who: str, bundle: Lists, parameter: str = "1") -> Cli:
        lists = {kind: fixed(levels, kind, who) for kind, levels in bundle.items()}
        return Cli(lists, lists, parameter)

    def by_hand(self, kind: str, **levels: Any) -> Cli:
        return Cli(self.deployed, {**self.remote, kind: levels["levels"]}, self.parameter)

    def plan(self, who: str, bundle: Lists, parameter: str = "1") -> str:
        entries: dict[str, Any] = {"resources.jobs.a": self._job(parameter)}
        for kind, levels in bundle.items():
            entries[f"{kind}.permissions"] = self._permissions(kind, fixed(levels, kind, who))
        head = {"lineage": "a", "serial": 1} if self.deployed else {}
        return json.dumps({"plan_version": 2, **head, "plan": entries})

    def _job(self, parameter: str) -> dict[str, Any]:
        state = {"value": {"parameters": [{"name": "p", "default": parameter}]}}
        if self.parameter is None:
            return {"action": "create", "new_state": state}
        if parameter == self.parameter:
            return {"action": "skip"}
        values = {"old": self.parameter, "new": parameter, "remote": self.parameter}
        change = {"action": "update", **values}
        return {"action": "update", "new_state": state, "changes": {"parameters[name='p'].default": change}}

    def _permissions(self, kind: str, new: Levels) -> dict[str, Any]:
        if kind not in self.deployed:
            state = {"value": {"object_id": "", "__embed__": listed(new)}, "vars": {"object_id": "${x.id}"}}
            return {"action": "create", "new_state": state}
        old, remote = self.deployed[kind], self.remote[kind]
        changes: dict[str, Any] = {}
        for key in {**old, **new, **remote}:
            sides = {"old": old.get(key), "new": new.get(key), "remote": remote.get(key)}
            if len(set(sides.values())) > 1:
                action = "skip" if sides["new"] == sides["remote"] else "update"
                changes |= self._change(key, action, sides)
        entry = {"action": "skip", "remote_state": {"object_id": KINDS[kind], "__embed__": listed(remote)}}
        if changes:
            entry["changes"] = changes
        if any(change["action"] == "update" for change in changes.values()):
            state = {"value": {"object_id": KINDS[kind], "__embed__": listed(new)}}
            entry |= {"action": "update", "new_state": state}
        return entry

    @staticmethod
    def _change(key: tuple[str, str], action: str, sides: Mapping[str, str | None]) -> dict[str, Any]:
        path = f"[{key[0]}='{key[1].replace(chr(39), chr(39) * 2)}']"
        if all(sides.values()):
            return {f"{path}.level": {"action": action, **sides}}
        rows = {side: {"level": level, key[0]: key[1]} for side, level in sides.items() if level}
        return {path: {"action": action, **rows}}


def bundle(right: str | None, *, deployer: str = DEPLOYER, planner: str = PLANNER, **others: str | None) -> Lists:
    """A bundle that gives the planner a right, and the deployer the right to manage unless `others` say otherwise."""
    levels: Levels = {OTHER: "CAN_VIEW", user(deployer): "CAN_MANAGE"}
    for name, level in others.items():
        key = OTHER if name == "other" else user(deployer)
        levels |= {key: level} if level else {}
        if not level:
            levels.pop(key, None)
    own = {user(planner): right} if right else {}
    reads = {user(planner): {"CAN_VIEW": "CAN_READ", "CAN_MANAGE_RUN": "CAN_EDIT"}.get(right, right)} if right else {}
    job = {**levels, **own}
    experiment = {**levels, **({} if right == "IS_OWNER" else reads)}
    return {"resources.jobs.a": job, "resources.experiments.e": experiment}


def compared(approved: str, now: str, *, planner: str = PLANNER, deployer: str = DEPLOYER) -> tuple[str, ...]:
    return plan_differences(parse_plan(approved), parse_plan(now), planner=planner, deployer=deployer)


NAMES = [(DEPLOYER, PLANNER), ("deployer@example.com", PLANNER), (DEPLOYER, "o'neil@example.com")]
every_case = pytest.mark.parametrize(
    ("deployer", "planner", "right", "own"),
    [(*names, right, own) for names in NAMES for right in RIGHTS for own in ("CAN_MANAGE", None)],
)


@every_case
def test_one_bundle_gives_one_plan_whoever_plans_it(
    deployer: str, planner: str, right: str | None, own: str | None
) -> None:
    who: dict[str, Any] = {"deployer": deployer, "planner": planner}
    same, other = bundle(right, own=own, **who), bundle(right, own=own, other="CAN_MANAGE_RUN", **who)
    first, again = Cli(), Cli().deploy(deployer, same)
    for place in (first, again):
        assert compared(place.plan(planner, same), place.plan(deployer, same), **who) == ()
        assert compared(place.plan(planner, same, "2"), place.plan(deployer, same, "2"), **who) == ()
        assert compared(place.plan(planner, other), place.plan(deployer, other), **who) == ()
        assert compared(place.plan(planner, same), place.plan(deployer, same, "2"), **who)
        assert compared(place.plan(planner, same), place.plan(deployer, other), **who)
        assert compared(place.plan(planner, other), place.plan(deployer, same), **who)
    assert parse_plan(again.plan(deployer, same)).actions == ()
    assert as_deployer(parse_plan(again.plan(deployer, same)), deployer).actions == ()
    if own or right != "CAN_MANAGE":  # else a planner that may manage passes for the deployer, and both are told
        assert as_deployer(parse_plan(again.plan(planner, same)), planner).actions == ()


@every_case
def test_a_first_deployment_with_another_right_is_not_blamed_on_the_planner(
    deployer: str, planner: str, right: str | None, own: str | None
) -> None:
    who: dict[str, Any] = {"deployer": deployer, "planner": planner}
    same, other = bundle(right, own=own, **who), bundle(right, own=own, other="CAN_MANAGE_RUN", **who)
    told = compared(Cli().plan(planner, same), Cli().plan(deployer, other), **who)
    assert told
    assert all("create was approved with other values than it would have now" in line for line in told), told


@every_case
def test_a_change_of_the_planners_own_right_is_never_approved_by_its_own_plan(
    deployer: str, planner: str, right: str | None, own: str | None
) -> None:
    who: dict[str, Any] = {"deployer": deployer, "planner": planner}
    before = bundle(right, own=own, **who)
    place = Cli().deploy(deployer, before)
    for becomes in RIGHTS:
        after = bundle(becomes, own=own, **who)
        if becomes == right:
            continue
        for approved in (before, after):
            told = compared(place.plan(planner, approved), place.plan(deployer, after), **who)
            assert told
            hidden = f"the right of {planner}, which made the approved plan, changes from {right or 'no right'} to"
            assert any(hidden in line for line in told)
        assert plan_differences(parse_plan(place.plan(deployer, after)), parse_plan(place.plan(deployer, after))) == ()


@every_case
def test_a_right_given_by_hand_is_drift_in_each_plan(
    deployer: str, planner: str, right: str | None, own: str | None
) -> None:
    who: dict[str, Any] = {"deployer": deployer, "planner": planner}
    same = bundle(right, own=own, **who)
    clean = Cli().deploy(deployer, same)
    kind = "resources.jobs.a"
    for name, level in ((planner, "CAN_MANAGE"), (planner, "IS_OWNER"), ("ada@example.com", "CAN_MANAGE")):
        held = dict(clean.remote[kind])
        if held.get(user(name)) in (level, "IS_OWNER"):
            continue
        if level == "IS_OWNER":
            held = {key: "CAN_MANAGE" if had == "IS_OWNER" else had for key, had in held.items()}
        place = clean.by_hand(kind, levels={**held, user(name): level})
        both = [place.plan(planner, same), place.plan(deployer, same)]
        for text in both:
            assert [key for key, _ in config_drift(parse_plan(text)).drifted]
        if own or right != "CAN_MANAGE":
            assert (
                config_drift(as_deployer(parse_plan(both[0]), planner)).drifted
                == config_drift(parse_plan(both[1])).drifted
            )
        assert compared(*both, **who) == ()
        assert compared(clean.plan(planner, same), both[1], **who)


def test_a_deployment_by_somebody_else_is_told_to_the_deployer_and_to_the_reviewer() -> None:
    same = bundle("CAN_VIEW")
    place = Cli().deploy(DEPLOYER, same).deploy("ada@example.com", same)
    for name in (DEPLOYER, PLANNER):
        seen = as_deployer(parse_plan(place.plan(name, same)), name)
        assert seen == parse_plan(place.plan(DEPLOYER, same))
        assert len(seen.actions) == len(KINDS)
    assert compared(place.plan(PLANNER, same), place.plan(DEPLOYER, same)) == ()


levels_of_others = st.dictionaries(
    st.sampled_from([OTHER, ("group_name", PLANNER), ("user_name", "ada@example.com"), user(DEPLOYER), user(PLANNER)]),
    st.sampled_from(["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE"]),
)
lists = st.fixed_dictionaries(dict.fromkeys(KINDS, levels_of_others))


@given(before=lists, approved=lists, now=lists)
def test_only_what_the_approved_plan_shows_is_deployed(before: Lists, approved: Lists, now: Lists) -> None:
    place = Cli().deploy(DEPLOYER, before)
    told = compared(place.plan(PLANNER, approved), place.plan(DEPLOYER, now))

    def without_planner(bundle: Lists) -> Lists:
        """What a deployment of it writes, apart from the right that the planner's plan cannot show."""
        written = {kind: fixed(levels, kind, DEPLOYER) for kind, levels in bundle.items()}
        return {kind: {k: v for k, v in own.items() if k != user(PLANNER)} for kind, own in written.items()}

    def own(bundle: Lists) -> Levels:
        return {(kind, ""): levels[user(PLANNER)] for kind, levels in bundle.items() if user(PLANNER) in levels}

    assert (not told) == (without_planner(approved) == without_planner(now) and own(now) == own(before))


@given(before=lists, after=lists)
def test_a_reviewer_sees_what_the_deployer_would_do_but_for_the_planners_own_right(before: Lists, after: Lists) -> None:
    place = Cli().deploy(DEPLOYER, before)
    kept = {
        kind: {k: v for k, v in levels.items() if k != user(PLANNER)}
        | {k: v for k, v in before[kind].items() if k == user(PLANNER)}
        for kind, levels in after.items()
    }
    seen = as_deployer(parse_plan(place.plan(PLANNER, after)), PLANNER, DEPLOYER)
    assert seen == parse_plan(place.plan(DEPLOYER, kept))


# --- what the CLI itself printed -------------------------------------------------------------------------------------

REAL = {
    "first": ("aaaaaaaa-bbbb-4ccc-dddd-eeeeeeeeeeee", "tester@databricks.com"),
    "again_without_planner_rights": ("aaaaaaaa-bbbb-4ccc-dddd-eeeeeeeeeeee", "tester@databricks.com"),
    "again": (PLANNER, DEPLOYER),
}


def real(name: str, role: str) -> str:
    return (PLANS / f"{name}_as_{role}.json").read_text()


def changed(text: str) -> str:
    document = json.loads(text)
    job = document["plan"]["resources.jobs.deployment"]
    parameters = [{"name": "target", "default": "another"}]
    return json.dumps(
        {**document, "plan": {**document["plan"], "resources.jobs.deployment": {
            **job, "action": "update" if job["action"] == "skip" else job["action"],
            "new_state": {"value": {"parameters": parameters}},
        }}}
    )  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_plans_of_one_bundle_are_the_same_and_a_changed_parameter_is_not(name: str, tmp_path: Path) -> None:
    planner, deployer = REAL[name]
    approved, now = real(name, "planner"), real(name, "deployer")
    files = {"approved": approved, "now": now, "changed": changed(now)}
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    who = [f"--planner={planner}", f"--planner={deployer}"]
    assert run_args(["ci", "same-plan", f"{tmp_path}/approved", f"{tmp_path}/now", *who]) == 0
    assert run_args(["ci", "same-plan", f"{tmp_path}/approved", f"{tmp_path}/changed", *who]) == 1
    assert run_args(["ci", "same-plan", f"{tmp_path}/approved", f"{tmp_path}/now", *who[:1]]) == 2
    if name != "first":
        assert run_args(["ci", "settled", f"{tmp_path}/approved", who[0]]) == 0
        assert run_args(["ci", "settled", f"{tmp_path}/now", who[1]]) == 0
        page = summarise_plan(as_deployer(parse_plan(approved), planner), "staging")
        assert "Nothing would change." in page
        assert config_drift(as_deployer(parse_plan(approved), planner)) == ConfigDrift((), ())


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("role", [0, 1])
def test_the_generator_plans_as_the_cli_does(name: str, role: int) -> None:
    """The lists that both identities planned follow from one declared list by the rule that `fixed` states."""
    who = REAL[name][role]
    document = json.loads(real(name, ("planner", "deployer")[role]))
    for key, entry in document["plan"].items():
        if not key.endswith(".permissions"):
            continue
        state = (entry.get("new_state") or {}).get("value") or entry["remote_state"]
        levels = {(k, row[k]): row["level"] for row in state["__embed__"] for k in row if k != "level"}
        assert fixed(levels, key, who) == levels
        if entry.get("changes"):
            rows = entry["remote_state"]["__embed__"]
            held = {(k, row[k]): row["level"] for row in rows for k in row if k != "level"}
            kind = key.removesuffix(".permissions")
            place = Cli({kind: held}, {kind: held}, "1")
            KINDS.setdefault(kind, state["object_id"])
            assert place._permissions(kind, levels)["changes"] == entry["changes"]


def test_a_plan_without_permissions_is_left_alone() -> None:
    plan = Plan(first=True, entries=())
    assert as_deployer(plan, PLANNER) == plan


def test_a_deleted_list_has_no_rows_and_a_change_of_something_else_makes_none() -> None:
    state = {"value": {"__embed__": [{"user_name": "ada", "level": "CAN_VIEW"}]}}
    assert read_rows({"action": "delete", "new_state": state}) == {}
    changes = {"object_id": {"old": "1", "new": "2"}, "[user_name='bob'].level": {"new": "CAN_RUN"}}
    assert read_rows({"action": "update", "new_state": state, "changes": changes}) == {
        ("user_name", "ada"): Row("CAN_VIEW", "CAN_VIEW", "CAN_VIEW"),
        ("user_name", "bob"): Row(None, "CAN_RUN", None),
    }


def test_a_user_who_owns_a_resource_already_is_not_added_to_its_list() -> None:
    levels = {("user_name", "ada"): "IS_OWNER", OTHER: "CAN_VIEW"}
    assert add_user(levels, "jobs", "ada") == levels
    assert add_user(levels, "jobs", "bob") == {**levels, ("user_name", "bob"): "CAN_MANAGE"}


def test_where_nobody_knows_the_deployer_the_planners_own_row_goes_and_nothing_is_added() -> None:
    planner, other = ("service_principal_name", PLANNER), ("user_name", "ada@example.com")
    rows = {planner: Row(None, "IS_OWNER", None), other: Row("CAN_VIEW", "CAN_VIEW", "CAN_VIEW")}
    assert permission_rows.as_deployer(rows, "jobs", PLANNER, None) == {
        planner: Row(None, None, None),
        other: Row("CAN_VIEW", "CAN_VIEW", "CAN_VIEW"),
    }
