"""Compares two plans of a deployment, and a plan with what was deployed last. All functions are pure."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.ci.plans import Change, Plan, PlanEntry, as_deployer


def plan_differences(
    approved: Plan, now: Plan, *, planner: str | None = None, deployer: str | None = None
) -> tuple[str, ...]:
    """List what two plans do differently; empty if both do the same.

    Args:
        approved: the plan that somebody approved.
        now: the plan that the deployment would carry out, made by the deployer.
        planner: who made the approved plan. None: the same identity made both.
        deployer: who made the other one.
    """
    if planner:
        approved = as_deployer(approved, planner, deployer, now=now)
    differences = []
    if approved.first != now.first:
        differences.append("the first deployment came in between: plan again")
    before, after = ({entry.key: entry for entry in plan.actions} for plan in (approved, now))
    for key in sorted(before.keys() | after.keys()):
        action_before, action_after = (side[key].action if key in side else "skip" for side in (before, after))
        if before.get(key) == after.get(key):
            continue
        # What is created takes the planner's right from the deployer's plan, so that it never makes a difference there.
        if action_before != "create" and (hidden := _find_hidden_change(after.get(key), planner)):
            differences.append(f"{key}: {hidden}")
        elif action_before != action_after:
            differences.append(f"{key}: approved is {action_before}, now it would be {action_after}")
        else:
            differences.append(f"{key}: {action_before} was approved with other values than it would have now")
    return tuple(differences)


def _find_hidden_change(entry: PlanEntry | None, planner: str | None) -> str:
    """Find the change of the planner's own right, which the planner's plan does not show."""
    rows = (entry.rows if entry else None) or {}
    for (key, name), row in rows.items():
        if key != "group_name" and name == planner and row.new != row.old:
            was, becomes = row.old or "no right", row.new or "no right"
            return (
                f"the right of {name}, which made the approved plan, changes from {was} to {becomes}; "
                "its own plan cannot show that, so the deployer has to plan and deploy it by hand"
            )
    return ""


@dataclass(frozen=True)
class ConfigDrift:
    """What differs between the last deployment and the workspace, and what waits for the next deployment."""

    drifted: tuple[tuple[str, Change], ...]
    waiting: tuple[str, ...]


def config_drift(plan: Plan) -> ConfigDrift:
    """Find what was changed outside of deployments.

    A resource that would be created is new in the bundle, or was deleted by hand; the plan does not show which. It
    counts as waiting. `mlops ci settled`, which allows no action right after a deployment, finds a deletion.
    """
    # The CLI skips a row that the workspace holds as it would plan it, and it plans its own user as owner.
    checked = [e for e in plan.entries if e.action != "skip" or e.rows]
    drifted = [(e.key, change) for e in checked for change in e.changes if change.is_drift]
    touched = {key for key, _ in drifted}
    return ConfigDrift(tuple(drifted), tuple(f"{e.action} {e.key}" for e in plan.actions if e.key not in touched))
