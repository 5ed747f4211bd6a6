"""`mlops ci plan`, `same-plan`, `settled` and `drift`: what a deployment would do, and what differs after it."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from mlops_cli import checkout, options
from mlops_cli.ci import estimates, plan_differences, plans
from mlops_cli.ci.options import EXITS, FILE, out_option, stop_if
from mlops_cli.ci.plan_pages import report_drift, summarise_plan

_planner = click.option("--planner", help="Principal that made the plan; its own right is taken as it was deployed.")


@click.command(epilog=EXITS)
@click.argument("plan", type=FILE)
@options.target
@_planner
@click.option(
    "--minutes",
    type=click.Path(dir_okay=False, path_type=Path),
    default="resources/minutes.json",
    show_default=True,
    help="Minutes that a run of each job took.",
)
@out_option
def plan(plan: Path, target: str, planner: str | None, minutes: Path, out: TextIO) -> None:
    """Write a plan as Markdown for its reviewers.

    Costs, rights and what is destroyed come first, then every action, then an estimate of the hours that jobs run.

    Example: mlops ci plan plan.json --target prod --out plan.md
    """
    parsed = _as_deployer(plan, planner)
    measured, known = estimates.parse_minutes(checkout.read_file(minutes)) if minutes.is_file() else ("nowhere", {})
    out.write(summarise_plan(parsed, target) + estimates.estimate_plan(parsed, known, measured))


def _as_deployer(file: Path, planner: str | None) -> plans.Plan:
    parsed = plans.parse_plan(checkout.read_file(file))
    return plans.as_deployer(parsed, planner) if planner else parsed


@click.command("same-plan", epilog=EXITS)
@click.argument("approved", type=FILE)
@click.argument("now", type=FILE)
@click.option("--planner", "planners", multiple=True, help="Who made the approved plan; then who made the other one.")
def same_plan(approved: Path, now: Path, planners: tuple[str, ...]) -> None:
    """Stop unless this plan does what the approved one does.

    Example: mlops ci same-plan approved/plan.json plan.json --planner PLANNER --planner DEPLOYER
    """
    if len(planners) not in (0, 2):
        raise click.UsageError("give --planner twice: who made the approved plan, then who made the other one")
    before, after = (plans.parse_plan(checkout.read_file(file)) for file in (approved, now))
    planner, deployer = planners or (None, None)
    differences = plan_differences.plan_differences(before, after, planner=planner, deployer=deployer)
    stop_if("not the plan that was approved; plan again and have it approved", differences)
    click.echo(f"{len(after.actions)} actions, each as approved")


@click.command("settled", epilog=EXITS)
@click.argument("plan", type=FILE)
@_planner
def check_settled(plan: Path, planner: str | None) -> None:
    """Stop unless the plan after a deployment is empty.

    Example: mlops ci settled after.json
    """
    pending = [f"{entry.action} {entry.key}" for entry in _as_deployer(plan, planner).actions]
    stop_if("deployed, and the next plan is not empty", pending)
    click.echo("the next plan is empty")


@click.command(epilog=EXITS)
@click.argument("plan", type=FILE)
@options.target
@_planner
@out_option
def drift(plan: Path, target: str, planner: str | None, out: TextIO) -> None:
    """Stop if a deployed resource was changed by hand.

    A change of the bundle that waits for its deployment is no drift.

    Example: mlops ci drift plan.json --target prod --out drift.md
    """
    config_drift = plan_differences.config_drift(_as_deployer(plan, planner))
    out.write(report_drift(config_drift, target))
    stop_if(f"target {target} has drifted", [f"{key} {change.path}" for key, change in config_drift.drifted])


COMMANDS = (plan, same_plan, check_settled, drift)
