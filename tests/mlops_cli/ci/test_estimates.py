"""The estimate beside a plan: runs of a schedule, and the hours that a change adds or saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError
from mlops_cli.ci import estimates, plans
from mlops_cli.cli import run_args

ROOT = Path(__file__).parents[3]
JOBS = {
    name: job
    for file in (ROOT / "resources").glob("*.job.yml")
    for name, job in yaml.safe_load(file.read_text())["resources"]["jobs"].items()
}


def cron(expression: str, **more: Any) -> dict[str, Any]:
    return {"schedule": {"quartz_cron_expression": expression, "timezone_id": "UTC", **more}}


@pytest.mark.parametrize(
    ("job", "runs"),
    [
        ({}, 0),
        (cron("0 0 * * * ?"), 730),
        (cron("0 0 * * * ?", pause_status="PAUSED"), 0),
        (cron("0 0/15 * * * ?"), 2920),
        (cron("0 30 6 * * ?"), 365 / 12),
        (cron("0 0 6 ? * MON-FRI"), 261 / 12),
        (cron("0 0 6 ? * FRI-MON"), 209 / 12),
        (cron("0 0 0,12 L * ?"), 2),
        (cron("0 0 0 ? * 2#1"), 1),
        (cron("0 0 0 ? * 6L"), 1),
        (cron("0 0 0 1 1/3 ?"), 4 / 12),
        (cron("0 0 0 1 JAN,JUL ?"), 2 / 12),
        (cron("never"), None),
        ({"trigger": {"periodic": {"interval": 2, "unit": "DAYS"}}}, 730 / 48),
        ({"trigger": {"pause_status": "UNPAUSED", "file_arrival": {"url": "/Volumes/a/b/c/"}}}, None),
        ({"continuous": {"pause_status": "UNPAUSED"}}, None),
    ],
)
def test_the_runs_of_a_mean_month(job: dict[str, Any], runs: float | None) -> None:
    assert estimates.count_monthly_runs(job) == (runs if runs is None else pytest.approx(runs))


def steps(high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(0, high)
    return st.one_of(
        st.just("*"), numbers.map(str), st.integers(1, high).map("*/{}".format),
        st.lists(numbers, min_size=1, max_size=4).map(lambda values: ",".join(map(str, values))),
        st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}"),
    )  # fmt: skip


@given(steps(59), steps(23))
def test_a_day_has_as_many_runs_as_minutes_that_the_fields_allow(minute: str, hour: str) -> None:
    def fits(field: str, value: int) -> bool:
        if field.startswith("*"):
            return value % int(field[2:] or 1) == 0
        low, dash, high = field.partition("-")
        return int(low) <= value <= int(high) if dash else str(value) in field.split(",")

    runs = sum(fits(minute, m) and fits(hour, h) for m in range(60) for h in range(24))
    assert estimates.count_monthly_runs(cron(f"0 {minute} {hour} * * ?")) == pytest.approx(runs * 365 / 12)


def plan_of(action: str, value: dict[str, Any], **changes: Any) -> plans.Plan:
    entry = {"action": action, "new_state": {"value": value}, "changes": changes}
    document = {"plan_version": 2, "lineage": "a", "plan": {"resources.jobs.ingestion": entry}}
    return plans.parse_plan(json.dumps(document))


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (
            plan_of(
                "update",
                cron("0 0/15 * * * ?"),
                **{
                    "schedule.quartz_cron_expression": {
                        "action": "update", "old": "0 0 * * * ?", "new": "0 0/15 * * * ?", "remote": "0 0 * * * ?"
                    }
                },
            ),
            "730 runs of 3 min = 36.5 h → 2920 runs of 3 min = 146.0 h",
        ),
        (plan_of("create", cron("0 0 * * * ?")), "0 runs → 730 runs of 3 min = 36.5 h"),
        (
            plan_of("update", {}, schedule={"action": "update", "remote": cron("0 0 * * * ?")["schedule"]}),
            "730 runs of 3 min = 36.5 h → 0 runs",
        ),
        (
            plan_of(
                "update",
                {"trigger": {"file_arrival": {"url": "/Volumes/a/b/c/"}}},
                trigger={"action": "update", "new": {"file_arrival": {"url": "/Volumes/a/b/c/"}}},
            ),
            "0 runs → as often as something arrives, which nothing here can know",
        ),
        (plan_of("delete", {}), "no run any more"),
        (plan_of("update", cron("0 0 * * * ?"), name={"action": "update", "new": "a", "remote": "b"}), None),
    ],
)  # fmt: skip
def test_the_hours_before_and_after(plan: plans.Plan, line: str | None) -> None:
    page = estimates.estimate_plan(plan, {"ingestion": 3}, "here")
    assert page == "" if line is None else f"- <code>jobs.ingestion</code>: {line}" in page.splitlines()
    assert line is None or "An estimate" in page
    unknown = estimates.estimate_plan(plan, {}, "nowhere")
    assert (
        " h" not in unknown.split("An estimate")[0]
        or line is None
        or "of unknown length" in unknown
        or "min" not in line
    )


def test_the_page_for_reviewers_ends_with_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(
        json.dumps({"plan_version": 2, "plan": {"resources.jobs.inference": {
            "action": "create", "new_state": {"value": cron("0 30 * * * ?")}}}})
    )  # fmt: skip
    page = tmp_path / "plan.md"
    given = [str(tmp_path / "plan.json"), "--target", "prod", "--out", str(page)]
    assert run_args(["ci", "plan", *given, "--minutes", str(ROOT / "resources/minutes.json")]) == 0
    assert "0 runs → 730 runs of 0.06 min = 0.7 h" in page.read_text()
    assert run_args(["ci", "plan", *given, "--minutes", str(tmp_path / "none.json")]) == 0
    assert "0 runs → 730 runs of unknown length" in page.read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured": "here", "minutes": {"a": "long"}}', '{"minutes": 3}'])
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the file of minutes has another form"):
        estimates.parse_minutes(text)


def test_minutes_are_known_of_jobs_that_there_are() -> None:
    _, minutes = estimates.parse_minutes((ROOT / "resources/minutes.json").read_text())
    assert minutes.keys() <= JOBS.keys()
    assert {name for name, job in JOBS.items() if "schedule" in job} <= minutes.keys()


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_job_that_nobody_waits_for_takes_the_cheaper_mode(job: str) -> None:
    waited = not ("schedule" in JOBS[job] or job == "sample")
    assert JOBS[job]["performance_target"] == ("PERFORMANCE_OPTIMIZED" if waited else "STANDARD")
