"""Assigns each variable its value for a target, in the CLI's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from laptop.document import Diagnostic, Node, suggest_name
from laptop.includes import LAPTOP
from laptop.normalize import is_full_definition
from laptop.resolution import job_id

Layer = Mapping[str, Node]


def assign_values(
    tree: Node, assigned: Node | None, first: Iterable[Layer], last: Iterable[Layer], problems: list[Diagnostic]
) -> Node:
    """Set every variable's `value`; a variable without one becomes a problem.

    Args:
        tree: the bundle with the target merged in.
        assigned: the variables of the target.
        first: values by name that override those of the bundle.
        last: values by name for variables without a value in the bundle.
        problems: where to note them.
    """
    declared = tree.get("variables")
    known = dict(declared.items()) if declared else {}
    own = dict(assigned.items()) if assigned else {}
    for name, node in [item for layer in (*first, own, *last) for item in layer.items()]:
        if name not in known:
            what, why = f"variable {name!r} is not declared", "a value for it reaches nothing"
            problems.append(Diagnostic("variables", node.place, what, why, suggest_name(name, known)))
    for name, variable in known.items():
        values = [layer[name] for layer in first if name in layer]
        values += _own_values(variable, own.get(name)) + [layer[name] for layer in last if name in layer]
        if not isinstance(variable.value, dict | None):
            continue
        if values:
            known[name] = Node({**(variable.value or {}), "value": values[0]}, variable.place)
        else:
            what = f"variable {name!r} has no value"
            cure = (
                f"give it a default, a value in the target or in BUNDLE_VAR_{name}, or for the laptop one in {LAPTOP}"
            )
            problems.append(Diagnostic("variables", variable.place, what, "the CLI stops without one", cure))
    return tree.with_value("variables", Node(known, declared.place)) if declared else tree


def _own_values(variable: Node, assigned: Node | None) -> list[Node]:
    """Return the bundle's value: the target's value or lookup, else the root's; at most one."""
    if assigned and not is_full_definition(assigned):
        return [assigned] if assigned.value is not None else _own_values(variable, None)
    if written := variable.get("value"):
        return [written]
    for node in filter(None, (assigned, variable)):
        if sought := node.get("lookup"):  # the CLI looks its id up in the workspace, which a laptop does not need
            return [_make_lookup_id(what, name) for what, name in sought.items()]
        if (default := node.get("default")) and default.value is not None:
            return [default]
    return []


def _make_lookup_id(what: str, name: Node) -> Node:
    """Make a substitute for an id that only a workspace can look up; digits where the id must be a number."""
    text = job_id("lookup", str(name.value)) if what == "job" else f"id of {what} {name.value}"
    return Node(text, name.place)
