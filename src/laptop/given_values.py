"""Values of variables from outside the bundle's files, where the Databricks CLI looks for them, in its order.

First the environment variable `BUNDLE_VAR_<name>`, the name spelled as the bundle spells it, then the file
`.databricks/bundle/<target>/variable-overrides.json`. Both override databricks.yml
(bundle/config/mutator/set_variables.go).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from laptop.document import Diagnostic, Location, Node, describe_kind
from laptop.yaml_loader import parse_yaml

PREFIX = "BUNDLE_VAR_"


def read_given_values(
    root: Path, target: str, variables: Node | None, problems: list[Diagnostic]
) -> list[dict[str, Node]]:
    """Read the values as two mappings of variable to value; the first overrides the second.

    Args:
        root: folder of databricks.yml.
        target: whose values.
        variables: the bundle's; the environment may hold values for other bundles.
        problems: receives what the CLI refuses.
    """
    declared = dict(variables.items()) if variables else {}
    file = Path(".databricks/bundle") / target / "variable-overrides.json"
    return [_from_environment(declared, problems), _from_file(root, file, declared, problems)]


def _from_environment(declared: Mapping[str, Node], problems: list[Diagnostic]) -> dict[str, Node]:
    values = {}
    for name, variable in declared.items():
        text = os.environ.get(PREFIX + name)
        if text is not None and _is_complex(variable):
            what = f"variable {name!r} is complex, and {PREFIX}{name} is set"
            why = "the CLI takes no complex value from the environment"
            problems.append(Diagnostic("variables", variable.place, what, why, f"unset {PREFIX}{name}"))
        elif text is not None:
            values[name] = Node(text, Location(Path(PREFIX + name), 1))
    return values


def _from_file(root: Path, file: Path, declared: Mapping[str, Node], problems: list[Diagnostic]) -> dict[str, Node]:
    if not (root / file).exists():
        return {}
    node, file_problems = parse_yaml(root, file)  # JSON is YAML, and so each value keeps its line
    problems += file_problems
    values = {}
    for name, value in node.items():
        variable = declared.get(name)
        if variable and variable.get("lookup"):
            continue  # the CLI looks it up in the workspace nevertheless
        if variable and _is_complex(variable) != isinstance(value.value, dict | list):
            what = f"{describe_kind(value)} stands for the variable {name!r}"
            why = "the CLI takes a mapping or a list for a complex variable, and for no other"
            problems.append(Diagnostic("variables", value.place, what, why, "write the other"))
        elif value.value is not None:
            values[name] = value
    return values


def _is_complex(variable: Node) -> bool:
    written = variable.get("type")
    return bool(written and written.value == "complex")
