"""Golden plans: the resolved resources of each target, as files for reviewers.

They show a change of YAML in every target that it reaches. `{{...}}` stays, since a run fills it in; for values that
only a workspace knows, they hold the laptop's.
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
    # The plan of dev has the name of no person, and a file that holds its own commit could never be committed.
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
