"""Golden plans: the resolved resources of each target, as files for reviewers.

A reviewer sees in them what a change of YAML changes in each target. `{{...}}` stays, since a run fills it in. Values
that only a workspace knows are replaced by the laptop's.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from laptop.bundle import list_targets, load_bundle
from laptop.home import set_environment, write_atomically

FOLDER = Path("tests/bundle/golden")
HEAD = "# Written by `uv run laptop validate --write-plans`; tests/bundle/test_bundle_plans.py compares.\n"


def render_plan(root: Path, target: str) -> str:
    """A target's resources and permissions as YAML, keys in alphabetical order.

    Raises:
        BundleError: something cannot be resolved.
    """
    # The plan of dev must not depend on the person, and a file cannot contain the hash of its own commit.
    with set_environment(LOGNAME="you", GIT_DIR="/nowhere"):
        document = load_bundle(root, target).document
    emitter, text = YAML(typ="safe", pure=True), StringIO()
    emitter.default_flow_style, emitter.width = False, 120
    emitter.dump({"permissions": document.get("permissions", []), **document["resources"]}, text)
    return HEAD + text.getvalue().replace(str(root), ".")


def write_golden_plans(root: Path) -> None:
    """Write the plan of every target.

    Raises:
        BundleError: something cannot be resolved.
    """
    for target in list_targets(root):
        write_atomically(root / FOLDER / f"{target}.yml", render_plan(root, target))
