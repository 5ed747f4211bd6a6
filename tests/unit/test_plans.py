"""Plans as the CLI prints them: drift and waiting changes told apart, approved and present plans compared."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError
from mlops.lifecycle import plans
from mlops.lifecycle.plans import ACTIONS, code, differences, drift, parse, report, summary

PLANNER, DEPLOYER = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"


def change(action: str = "update", **values: Any) -> dict[str, Any]:
    return {"action": action, **values}


def text(plan: dict[str, Any] | None = None, **head: Any) -> str:
    return json.dumps({"plan_version": 2, "lineage": "a-b", "serial": 4, "plan": plan or {}, **head})


def job(action: str = "update", **changes: Any) -> dict[str, Any]:
    return {"resources.jobs.training": {"action": action, "changes": changes}}


def rights(*who: str, action: str = "create") -> dict[str, Any]:
    listed = [
        {"level": "CAN_VIEW", "group_name": "ds"},
        *({"level": "IS_OWNER", "service_principal_name": w} for w in who),
    ]
    return {"resources.jobs.training.permissions": {"action": action, "new_state": {"value": {"__embed__": listed}}}}


@pytest.mark.parametrize(
    "given",
    ["", "no json", "[]", "null", "{}", text(plan_version=1), text(plan=[1]), text({"resources.jobs.a": 1}),
     text({"resources.jobs.a": {"action": "explode"}}), text(job(name=3)),
     text({"resources.jobs.a": {"action": "update", "changes": [1]}})],
)  # fmt: skip
def test_what_is_no_plan_is_refused(given: str) -> None:
    with pytest.raises(ConfigError):
        parse(given)


def test_a_plan_without_lineage_is_the_first_deployment() -> None:
    assert parse(text(lineage="")).first
    assert not parse(text()).first


def test_an_empty_plan_does_nothing() -> None:
    plan = parse(text({"resources.jobs.a": {"action": "skip"}, "resources.jobs.b": {}}))
    assert plan.actions == ()
    assert "Nothing would change." in summary(plan, "prod")


def test_what_the_workspace_holds_beside_what_was_deployed_is_drift() -> None:
    plan = parse(text(job(timeout_seconds=change(old=60, new=60, remote=99))))
    assert [(key, c.path, c.old, c.remote) for key, c in drift(plan).drifted] == [
        ("jobs.training", "timeout_seconds", 60, 99)
    ]
    assert drift(plan).waiting == ()
    assert "60" in report(drift(plan), "prod")
    assert "99" in report(drift(plan), "prod")


def test_what_the_bundle_says_beside_what_was_deployed_only_waits() -> None:
    found = drift(parse(text(job(timeout_seconds=change(old=60, new=90, remote=60)))))
    assert found.drifted == ()
    assert found.waiting == ("update jobs.training",)
    assert "1 changes wait" in report(found, "prod")


def test_a_grant_that_somebody_else_gave_is_drift() -> None:
    entry = {
        "action": "update",
        "changes": {"[principal='x']": change(remote={"principal": "x", "privileges": ["SELECT"]})},
    }
    assert drift(parse(text({"resources.schemas.lakehouse.grants": entry}))).drifted


def test_fields_that_the_cli_skips_are_no_change() -> None:
    plan = parse(
        text(job(name=change("skip", old="a", new="b", remote="c"), timeout_seconds=change(old=1, new=2, remote=1)))
    )
    assert [c.path for e in plan.actions for c in e.changes] == ["timeout_seconds"]


def test_a_clean_target_is_said_to_be_clean() -> None:
    assert report(drift(parse(text())), "prod") == "Target <code>prod</code> is as it was deployed.\n"


# --- the plan that was approved --------------------------------------------------------------------------------------


def test_the_same_plan_has_no_difference() -> None:
    given = text({**job(timeout_seconds=change(old=1, new=2, remote=1)), **rights(PLANNER)})
    assert differences(parse(given), parse(given)) == ()


@pytest.mark.parametrize(
    "now",
    [
        text(job(timeout_seconds=change(old=1, new=3, remote=1))),
        text(job(timeout_seconds=change(old=1, new=2, remote=9))),
        text(job("recreate", timeout_seconds=change(old=1, new=2, remote=1))),
        text({}),
        text({**job(timeout_seconds=change(old=1, new=2, remote=1)), "resources.jobs.b": {"action": "delete"}}),
        text(job(timeout_seconds=change(old=1, new=2, remote=1)), lineage=""),
    ],
    ids=("value", "workspace", "action", "gone", "more", "first"),
)
def test_every_difference_from_what_was_approved_is_told(now: str) -> None:
    approved = parse(text(job(timeout_seconds=change(old=1, new=2, remote=1))))
    assert differences(approved, parse(now))


def test_two_identities_plan_the_same_once_their_own_rights_are_left_out() -> None:
    both = (PLANNER, DEPLOYER)
    mine, theirs = text(rights(PLANNER)), text(rights(DEPLOYER))
    assert differences(parse(mine), parse(theirs))
    assert differences(parse(mine, planners=both), parse(theirs, planners=both)) == ()


def test_a_right_of_somebody_else_is_not_left_out() -> None:
    both = (PLANNER, DEPLOYER)
    mine, theirs = text(rights(PLANNER)), text(rights(DEPLOYER, "somebody"))
    assert differences(parse(mine, planners=both), parse(theirs, planners=both))


def test_a_planner_that_would_only_give_itself_rights_plans_nothing() -> None:
    own = {"level": "CAN_MANAGE", "service_principal_name": PLANNER}
    entry = {"action": "update", "changes": {f"[service_principal_name='{PLANNER}']": change(new=own)}}
    plan = text({"resources.jobs.training.permissions": entry})
    assert parse(plan).actions
    assert parse(plan, planners=(PLANNER,)).actions == ()


def takes_over(planner: str, owner: str) -> str:
    """What the CLI plans for somebody who did not deploy: it owns, and whoever owned may only manage."""
    own = {"level": "IS_OWNER", "service_principal_name": planner}
    changes = {
        f"[service_principal_name='{planner}']": change(new=own),
        f"[service_principal_name='{owner}'].level": change(old="IS_OWNER", new="CAN_MANAGE", remote="IS_OWNER"),
    }
    return text({"resources.jobs.training.permissions": {"action": "update", "changes": changes}})


def test_a_planner_that_would_take_over_from_the_deployer_plans_nothing() -> None:
    given = takes_over(PLANNER, DEPLOYER)
    assert parse(given, planners=(PLANNER,)).actions == ()
    assert parse(given, planners=(PLANNER, DEPLOYER)).actions == ()
    assert len(parse(given).actions[0].changes) == 2


def test_a_deployer_that_loses_a_right_for_another_reason_is_told() -> None:
    changes = {
        f"[service_principal_name='{DEPLOYER}'].level": change(old="IS_OWNER", new="CAN_VIEW", remote="IS_OWNER")
    }
    given = text({"resources.jobs.training.permissions": {"action": "update", "changes": changes}})
    assert parse(given, planners=(PLANNER, DEPLOYER)).actions
    changes = {"[user_name='ada'].level": change(old="IS_OWNER", new="CAN_MANAGE", remote="IS_OWNER")}
    given = text({"resources.jobs.training.permissions": {"action": "update", "changes": changes}})
    assert parse(given, planners=(PLANNER, DEPLOYER)).actions


def test_a_planners_right_that_is_no_management_counts() -> None:
    own = {"level": "CAN_VIEW", "user_name": "ada"}
    entry = {"action": "update", "changes": {"[user_name='ada']": change(new=own)}}
    assert parse(text({"resources.jobs.training.permissions": entry}), planners=("ada",)).actions


# --- for people ------------------------------------------------------------------------------------------------------


def part(page: str, title: str) -> str:
    found = re.search(rf"\*\*{title}\*\*\n\n(.*?)\n\n", page, re.DOTALL)
    return found[1] if found else ""


def test_a_reviewer_is_told_what_costs_what_gives_rights_and_what_is_destroyed() -> None:
    plan = parse(
        text(
            {
                **job(**{"schedule.quartz_cron_expression": change(old="a", new="b", remote="a"),
                         "description": change(old="x", new="y", remote="x")}),
                "resources.schemas.lakehouse": {"action": "delete"},
                "resources.schemas.lakehouse.grants": {"action": "delete"},
                "resources.jobs.old": {"action": "delete"},
                "resources.jobs.new": {"action": "create", "new_state": {"value": {"tasks": [{"timeout_seconds": 5}]}}},
            }
        )
    )  # fmt: skip
    page = summary(plan, "prod")
    assert part(page, "Destroys") == "- <code>schemas.lakehouse</code>"
    assert part(page, "Changes what it costs").splitlines() == [
        "- create <code>jobs.new</code> <code>timeout_seconds</code>",
        "- <code>jobs.training</code> <code>schedule.quartz_cron_expression</code>: <code>a</code> → <code>b</code>",
    ]
    assert part(page, "Changes who may do what") == "- delete <code>schemas.lakehouse.grants</code>"
    assert "1 update, 1 create, 3 delete" in page
    assert "description" in page
    assert "first deployment" not in page


def test_a_first_deployment_is_called_so() -> None:
    assert "first deployment" in summary(parse(text({"resources.jobs.a": {"action": "create"}}, lineage="")), "prod")


def test_what_is_taken_back_is_called_out() -> None:
    page = summary(parse(text(job(tags=change(old=None, new=None, remote={"x": "1"})))), "prod")
    assert part(page, "Takes back what was changed by hand") == "- <code>jobs.training</code> <code>tags</code>"


@given(st.text())
def test_a_value_is_shown_as_nothing_but_text(value: str) -> None:
    shown = code(value)
    assert re.fullmatch(r"<code>([A-Za-z0-9 _.,/=+-]|&#\d+;|…)*</code>", shown)
    assert "##" not in shown
    assert "::" not in shown


def test_a_long_value_is_cut() -> None:
    assert len(code("x" * 10_000)) < 250
    assert code("x" * 200) == f"<code>{'x' * 200}</code>"


@given(st.sampled_from(ACTIONS), st.integers(), st.integers(), st.integers())
def test_drift_is_the_workspace_against_what_was_deployed_and_nothing_else(
    action: str, old: int, new: int, remote: int
) -> None:
    found = drift(parse(text(job(action, x=change(old=old, new=new, remote=remote)))))
    assert bool(found.drifted) == (action != "skip" and old != remote)


def test_the_modules_words_for_actions_are_the_clis() -> None:
    assert ACTIONS[-2:] == plans.DESTRUCTIVE
