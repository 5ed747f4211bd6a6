"""Plans as the CLI prints them: drift and waiting changes told apart, approved and present plans compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError
from mlops_cli.ci.plan_differences import config_drift, plan_differences
from mlops_cli.ci.plan_pages import escape_html, report_drift, summarise_plan, truncate_markdown
from mlops_cli.ci.plans import ACTIONS, DESTRUCTIVE, Change, Plan, PlanEntry, parse_plan
from mlops_cli.cli import run_args


def change(action: str = "update", **values: Any) -> dict[str, Any]:
    return {"action": action, **values}


def text(plan: dict[str, Any] | None = None, **head: Any) -> str:
    return json.dumps({"plan_version": 2, "lineage": "a-b", "serial": 4, "plan": plan or {}, **head})


def job(action: str = "update", **changes: Any) -> dict[str, Any]:
    return {"resources.jobs.training": {"action": action, "changes": changes}}


GIVE = "give what `databricks bundle plan -o json` printed"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", f"this is no plan: {GIVE}"),
        ("no json", f"this is no plan: {GIVE}"),
        *(
            (given, "plan_version is None, not 2: use the CLI that databricks.yml names")
            for given in ("[]", "null", "{}")
        ),
        (text(plan_version=1), "plan_version is 1, not 2: use the CLI that databricks.yml names"),
        (text(plan=[1]), f"the plan holds no resources by name: {GIVE}"),
        (text({"resources.jobs.a": {}, "resources.jobs.b": 1}), f"the plan holds no resources by name: {GIVE}"),
        (
            text({"resources.jobs.a": {"action": "explode"}}),
            "the plan does 'explode' to resources.jobs.a; known are " + ", ".join(ACTIONS),
        ),
        *(
            (text(given), "the plan lists no changes by field: give what `bundle plan -o json` printed")
            for given in (job(name=3), {"resources.jobs.a": {"action": "update", "changes": [1]}})
        ),
    ],
)
def test_what_is_no_plan_is_refused(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_plan(given)
    assert str(told.value) == said


def test_a_plan_is_read_with_all_its_values_in_the_order_of_its_names() -> None:
    changes = {"b": change(old=1, new=2, remote=3), "a": change("recreate", new=[4])}
    plan = {
        "resources.jobs.z": {"action": "update", "changes": changes},
        "resources.jobs.a": {"action": "skip", "changes": None, "new_state": {"value": {"name": "a"}}},
    }
    assert parse_plan(text(plan)) == Plan(
        first=False,
        entries=(
            PlanEntry("jobs.a", "skip", (), {"value": {"name": "a"}}),
            PlanEntry(
                "jobs.z", "update", (Change("a", "recreate", None, [4], None), Change("b", "update", 1, 2, 3)), None
            ),
        ),
    )
    assert parse_plan(text(plan=None)).entries == ()


def test_a_plan_without_lineage_is_the_first_deployment() -> None:
    assert parse_plan(json.dumps({"plan_version": 2})) == Plan(first=True, entries=())
    assert parse_plan(text(lineage="")).first
    assert not parse_plan(text()).first


def test_an_empty_plan_does_nothing() -> None:
    plan = parse_plan(text({"resources.jobs.a": {"action": "skip"}, "resources.jobs.b": {}}))
    assert plan.actions == ()
    assert summarise_plan(plan, "prod") == "### Plan for target <code>prod</code>\n\nNothing would change.\n"


def test_what_the_workspace_holds_beside_what_was_deployed_is_drift() -> None:
    plan = parse_plan(text(job(timeout_seconds=change(old=60, new=60, remote=99))))
    assert [(key, c.path, c.old, c.remote) for key, c in config_drift(plan).drifted] == [
        ("jobs.training", "timeout_seconds", 60, 99)
    ]
    assert config_drift(plan).waiting == ()
    assert report_drift(config_drift(plan), "prod").splitlines() == [
        "Target <code>prod</code> is not as it was deployed. Deploying again takes these changes back.",
        "",
        "| resource | field | deployed | workspace |",
        "|---|---|---|---|",
        "| <code>jobs.training</code> | <code>timeout_seconds</code> | <code>60</code> | <code>99</code> |",
    ]


def test_what_the_bundle_says_beside_what_was_deployed_only_waits() -> None:
    found = config_drift(parse_plan(text(job(timeout_seconds=change(old=60, new=90, remote=60)))))
    assert found.drifted == ()
    assert found.waiting == ("update jobs.training",)
    waits = " 1 changes wait for deployment: <code>update jobs.training</code>.\n"
    assert report_drift(found, "prod") == f"Target <code>prod</code> is as it was deployed.{waits}"


def test_a_grant_that_somebody_else_gave_is_drift() -> None:
    entry = {
        "action": "update",
        "changes": {"[principal='x']": change(remote={"principal": "x", "privileges": ["SELECT"]})},
    }
    assert config_drift(parse_plan(text({"resources.schemas.lakehouse.grants": entry}))).drifted


def test_fields_that_the_cli_skips_are_no_change() -> None:
    plan = parse_plan(
        text(job(name=change("skip", old="a", new="b", remote="c"), timeout_seconds=change(old=1, new=2, remote=1)))
    )
    assert [c.path for e in plan.actions for c in e.changes] == ["timeout_seconds"]


def test_a_clean_target_is_said_to_be_clean() -> None:
    assert report_drift(config_drift(parse_plan(text())), "prod") == "Target <code>prod</code> is as it was deployed.\n"


# --- the plan that was approved --------------------------------------------------------------------------------------


def test_the_same_plan_has_no_difference() -> None:
    given = text(job(timeout_seconds=change(old=1, new=2, remote=1)))
    assert plan_differences(parse_plan(given), parse_plan(given)) == ()


OTHER_VALUES = "jobs.training: update was approved with other values than it would have now"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (text(job(timeout_seconds=change(old=1, new=3, remote=1))), [OTHER_VALUES]),
        (text(job(timeout_seconds=change(old=1, new=2, remote=9))), [OTHER_VALUES]),
        (text(job(timeout_seconds=change("recreate", old=1, new=2, remote=1))), [OTHER_VALUES]),
        (
            text(job("recreate", timeout_seconds=change(old=1, new=2, remote=1))),
            ["jobs.training: approved is update, now it would be recreate"],
        ),
        (
            text({"resources.jobs.b": {"action": "delete"}}, lineage=""),
            [
                "the first deployment came in between: plan again",
                "jobs.b: approved is skip, now it would be delete",
                "jobs.training: approved is update, now it would be skip",
            ],
        ),
    ],
    ids=("value", "workspace", "field's action", "action", "all"),
)
def test_every_difference_from_what_was_approved_is_told(now: str, said: list[str]) -> None:
    approved = parse_plan(text(job(timeout_seconds=change(old=1, new=2, remote=1))))
    assert plan_differences(approved, parse_plan(now)) == tuple(said)


# --- for people ------------------------------------------------------------------------------------------------------


def part(page: str, title: str) -> str:
    found = re.search(rf"\*\*{title}\*\*\n\n(.*?)\n\n", page, re.DOTALL)
    return found[1] if found else ""


def test_a_reviewer_is_told_what_costs_what_gives_rights_and_what_is_destroyed() -> None:
    plan = parse_plan(
        text(
            {
                **job(**{"trigger.type": change(old="a", new="b", remote="a"),
                         "description": change(old="x", new="y", remote="x")}),
                "resources.schemas.lakehouse": {"action": "delete"},
                "resources.schemas.lakehouse.grants": {"action": "delete"},
                "resources.jobs.old": {"action": "delete"},
                "resources.jobs.new": {"action": "create", "new_state": {"value": {"tasks": [{"timeout_seconds": 5}]}}},
            }
        )
    )  # fmt: skip
    assert (
        summarise_plan(plan, "prod")
        == """### Plan for target <code>prod</code>

1 update, 1 create, 3 delete

**Destroys**

- <code>schemas.lakehouse</code>

**Changes what it costs**

- create <code>jobs.new</code> <code>timeout_seconds</code>
- <code>jobs.training</code> <code>trigger.type</code>: <code>a</code> → <code>b</code>

**Changes who may do what**

- delete <code>schemas.lakehouse.grants</code>

<details><summary>Everything</summary>

| resource | action | field | deployed | bundle | workspace |
|---|---|---|---|---|---|
| <code>jobs.new</code> | create | | | | |
| <code>jobs.old</code> | delete | | | | |
| <code>jobs.training</code> | update | <code>description</code> | <code>x</code> | <code>y</code> | <code>x</code> |
| <code>jobs.training</code> | update | <code>trigger.type</code> | <code>a</code> | <code>b</code> | <code>a</code> |
| <code>schemas.lakehouse</code> | delete | | | | |
| <code>schemas.lakehouse.grants</code> | delete | | | | |

</details>
"""
    )


def test_a_first_deployment_is_called_so() -> None:
    page = summarise_plan(parse_plan(text({"resources.jobs.a": {"action": "create"}}, lineage="")), "prod")
    assert page.splitlines()[2:6] == ["1 create", "", "This is the first deployment to this target.", ""]


@pytest.mark.parametrize(
    ("key", "action", "destroys"),
    [
        ("schemas.a", "delete", True),
        ("schemas.a", "recreate", True),
        ("schemas.a", "update", False),
        ("schemas.a.grants", "delete", False),
        ("jobs.a", "delete", False),
    ],
)
def test_what_destroys_is_deleting_what_holds_data_or_history(key: str, action: str, destroys: bool) -> None:
    entry = PlanEntry(key, action, (), None)
    assert (entry.destroys, entry.kind) == (destroys, key.partition(".")[0])


def test_a_reviewer_is_told_each_thing_once_and_what_the_workspace_holds_now() -> None:
    wanted = {"a": [{"timeout_seconds": 1}, {"max_retries": {"x": {"timeout_seconds": 2}}}], "run_as": "x"}
    there = job(timeout_seconds=change(old=1, new=2, remote=3), tags=change(old=None, new={"y": 1}, remote="z"))
    there["resources.jobs.training"]["new_state"] = {"max_retries": 3}
    plan = parse_plan(
        text(
            {
                **there,
                "resources.jobs.new": {"action": "create", "new_state": wanted},
                "resources.jobs.training.permissions": {
                    "action": "update",
                    "changes": {"[group_name='ds']": change(new="CAN_VIEW"), "[user_name='x']": change(new="CAN_RUN")},
                },
            }
        )
    )
    page = summarise_plan(
        plan, "prod"
    )  # of a job that is there only its changes are told, though its whole state is known
    assert part(page, "Changes what it costs").splitlines() == [
        "- create <code>jobs.new</code> <code>timeout_seconds</code> <code>max_retries</code>",
        "- <code>jobs.training</code> <code>timeout_seconds</code>: <code>3</code> → <code>2</code>",
    ]
    who, ds, x = part(page, "Changes who may do what").splitlines()
    assert who == "- create <code>jobs.new</code> <code>run_as</code>"
    assert ds.endswith(": <code>null</code> → <code>CAN_VIEW</code>")
    assert x.endswith(": <code>null</code> → <code>CAN_RUN</code>")
    assert part(page, "Takes back what was changed by hand").splitlines() == [
        "- <code>jobs.training</code> <code>tags</code>",
        "- <code>jobs.training</code> <code>timeout_seconds</code>",
    ]


def test_what_is_taken_back_is_called_out() -> None:
    page = summarise_plan(parse_plan(text(job(tags=change(old=None, new=None, remote={"x": "1"})))), "prod")
    assert part(page, "Takes back what was changed by hand") == "- <code>jobs.training</code> <code>tags</code>"


def test_what_was_changed_by_hand_to_what_the_bundle_says_now_is_not_taken_back() -> None:
    plan = parse_plan(text(job(timeout_seconds=change(old=60, new=99, remote=99))))
    assert config_drift(plan).drifted
    assert "Takes back" not in summarise_plan(plan, "prod")


@given(st.text())
def test_a_value_is_shown_as_nothing_but_text(value: str) -> None:
    shown = escape_html(value)
    assert re.fullmatch(r"<code>([A-Za-z0-9 _.,/=+-]|&#\d+;|…)*</code>", shown)
    assert "##" not in shown
    assert "::" not in shown


def test_a_long_value_is_cut() -> None:
    assert escape_html("x" * 201) == escape_html("x" * 10_000) == f"<code>{'x' * 200}…</code>"
    assert escape_html("x" * 200) == f"<code>{'x' * 200}</code>"


def test_other_values_are_shown_as_json_with_their_keys_in_order() -> None:
    assert escape_html({"b": 1, "a": None}) == escape_html('{"a": null, "b": 1}')
    assert escape_html("é|A-z_9") == "<code>&#233;&#124;A-z_9</code>"


@given(st.sampled_from(ACTIONS), st.integers(), st.integers(), st.integers())
def test_drift_is_the_workspace_against_what_was_deployed_and_nothing_else(
    action: str, old: int, new: int, remote: int
) -> None:
    found = config_drift(parse_plan(text(job(action, x=change(old=old, new=new, remote=remote)))))
    assert bool(found.drifted) == (action != "skip" and old != remote)


def test_the_modules_words_for_actions_are_the_clis() -> None:
    assert ACTIONS[-2:] == DESTRUCTIVE


@given(st.lists(st.text("ab|", min_size=9, max_size=30), max_size=30), st.integers(100, 150))
def test_a_page_that_is_too_long_is_cut_between_lines_and_says_so(lines: list[str], longest: int) -> None:
    page = "\n".join(lines)
    shown = truncate_markdown(page, longest)
    assert len(shown) <= longest
    kept, cut, _ = shown.partition("\n\n</details>")
    assert (kept == page) if not cut else page.startswith(f"{kept}\n") or not kept
    assert ("Cut here" in shown) == (len(page) > longest) == bool(cut)


@pytest.mark.parametrize(
    "command", [["settled"], ["drift", "-t", "dev"], ["plan", "-t", "dev"]], ids=lambda words: words[0]
)
def test_a_plan_of_powershell_is_read_if_it_is_utf_8_and_told_in_a_sentence_if_not(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = '{"plan_version": 2, "lineage": "a", "plan": {}}'
    (tmp_path / "marked.json").write_text(plan, encoding="utf-8-sig")
    (tmp_path / "wide.json").write_text(plan, encoding="utf-16")
    assert run_args(["ci", *command, str(tmp_path / "marked.json")]) == 0
    assert run_args(["ci", *command, str(tmp_path / "wide.json")]) == 1
    assert "wide.json is no UTF-8 text" in capsys.readouterr().err
