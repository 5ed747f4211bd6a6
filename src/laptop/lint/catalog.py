"""Rules about what stands in the catalog, and about what no longer should."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laptop.document import Problem
from laptop.lint.view import Rule, View, items, text

DESCRIBED = ("schemas", "volumes", "registered_models")
NAMING = ("catalog_name", "schema_name", "name", "default")
"""Keys whose values may name something in a catalog; `default` is that of a parameter."""
NOT_YET = {
    "model_serving_endpoints": "the model version that it serves does not exist at the first deployment",
    "quality_monitors": "the table that it watches does not exist at the first deployment",
}
NAME = re.compile(r"\w{1,255}|.*\$\{.*")
"""One part of a name in the catalog; a reference that could not be resolved is reported elsewhere."""
LEGACY = re.compile(
    r"dbfs:/(?!Volumes/)|^/(?:dbfs|mnt)/|FileStore|hive_metastore|^models:/[^@]+/(?:Production|Staging)$"
)


def described(view: View) -> Iterator[Problem]:
    """What stands in the catalog says what it is, under a name of one part."""
    for kind in DESCRIBED:
        for key, node in view.resources(kind):
            if isinstance(node.value, dict) and not text(node, "comment"):
                what = f"{kind}.{key} has no comment"
                yield Problem("catalog", node.place, what, "the catalog shows it without a word", "add comment")
            name = node.get("name")
            if name and isinstance(name.value, str) and not NAME.fullmatch(name.value):
                what = f"{kind}.{key} is called {name.value!r}"
                why = "a name is letters, digits and underscores; catalog and schema have their own keys"
                yield Problem("catalog", name.place, what, why, "write the last part only")


def hard_coded(view: View) -> Iterator[Problem]:
    """No resource names the catalog of one target: it would be wrong in all others."""
    targets = view.source.targets
    values = (view.source.tree.get("targets", target, "variables", "catalog") for target in targets)
    catalogs = {str(value.value) for value in values if value}
    resources = view.source.tree.get("resources")
    for node in resources.walk() if resources else ():
        for key, value in node.items():
            if (
                key in NAMING
                and not (key == "name" and node.get("default"))
                and str(value.value).partition(".")[0] in catalogs
            ):
                what = f"{value.value!r} names the catalog of one target"
                yield Problem("hard-coded", value.place, what, "it is wrong in the others", "write ${var.catalog}")


def first_deployment(view: View) -> Iterator[Problem]:
    """Nothing in the bundle needs what only a run makes."""
    for kind, why in NOT_YET.items():
        for key, node in view.resources(kind):
            what = f"{kind}.{key} is declared in the bundle"
            yield Problem("first-deployment", node.place, what, why, "let a task create it once there is a champion")


def legacy(view: View) -> Iterator[Problem]:
    """No DBFS root, no mounts, no hive_metastore, no stages: new workspaces have none."""
    for node in view.texts:
        if found := LEGACY.search(node.value):
            what = f"{node.value!r} speaks of {found[0]}"
            yield Problem(
                "legacy", node.place, what, "new workspaces have no such thing", "use a volume and the catalog"
            )


def rights(view: View) -> Iterator[Problem]:
    """Nobody is given everything, and in production no person is given anything."""
    for node in view.tree.walk():
        listed = node.get("privileges")
        for privilege in items(node, "privileges"):
            if privilege.value == "ALL_PRIVILEGES":
                why = "who has it can do what nobody thought of"
                yield Problem("rights", privilege.place, "ALL_PRIVILEGES is granted", why, "name what is needed")
        person = node.get("user_name") or (node.get("principal") if listed else None)
        if text(view.tree, "bundle", "mode") == "production" and person and "@" in str(person.value):
            what = f"{person.value} is a person"
            yield Problem("rights", person.place, what, "people leave", "name a group or a service principal")


RULES: tuple[Rule, ...] = (rights, described, hard_coded, first_deployment, legacy)
