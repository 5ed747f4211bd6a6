"""Rules about resources of the catalog, and about storage that new workspaces lack."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laptop.cli_keys import load_privileges
from laptop.document import Diagnostic, suggest_name
from laptop.lint.model import LintTarget, Rule, list_items, text_at

DESCRIBED = ("schemas", "volumes", "registered_models")
NAMING = ("catalog_name", "schema_name", "name", "default")
"""Keys whose values may be names in a catalog; `default` is the default of a parameter."""
NOT_YET = {
    "model_serving_endpoints": "the model version that it serves does not exist at the first deployment",
    "quality_monitors": "the table that it watches does not exist at the first deployment",
}
GRANTED = (*load_privileges(), "external_locations", "vector_search_indexes")
WHO = ("user_name", "group_name", "service_principal_name")
NAME = re.compile(r"[^\s./\x00-\x1f\x7f]{1,255}|.*\$\{.*")
"""One part of a name in the catalog; a reference that could not be resolved is reported elsewhere."""
LEGACY = re.compile(
    r"dbfs:/(?!Volumes/)|^/(?:dbfs|mnt)/|FileStore|hive_metastore|^models:/[^@]+/(?:Production|Staging)$"
)


def check_comments(view: LintTarget) -> Iterator[Diagnostic]:
    """Schemas, volumes and models have a comment, and a name of one part."""
    for kind in DESCRIBED:
        for key, node in view.resources(kind):
            if isinstance(node.value, dict) and not text_at(node, "comment"):
                what = f"{kind}.{key} has no comment"
                yield Diagnostic("catalog", node.place, what, "the catalog shows no description", "add comment")
            name = node.get("name")
            if name and isinstance(name.value, str) and not NAME.fullmatch(name.value):
                what = f"{kind}.{key} is called {name.value!r}"
                why = "a name has no dot, slash or blank; catalog and schema have their own keys"
                yield Diagnostic("catalog", name.place, what, why, "write the last part only")


def check_experiments(view: LintTarget) -> Iterator[Diagnostic]:
    """An experiment has a path for a name: one that begins at the workspace's root."""
    for key, node in view.resources("experiments"):
        if (name := node.get("name")) and not text_at(name).startswith(("/", "${")):
            what = f"experiments.{key} is called {text_at(name)!r}"
            yield Diagnostic(
                "catalog", name.place, what, "the workspace wants an absolute path", "begin it with /Users/"
            )


def check_literal_catalogs(view: LintTarget) -> Iterator[Diagnostic]:
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
                and str(value.value).removeprefix("/Volumes/").replace("/", ".").partition(".")[0] in catalogs
            ):
                what = f"{value.value!r} names the catalog of one target"
                yield Diagnostic("hard-coded", value.place, what, "it is wrong in the others", "write ${var.catalog}")


def check_first_deployment(view: LintTarget) -> Iterator[Diagnostic]:
    """No resource of the bundle needs a table or model version that only a run creates."""
    for kind, why in NOT_YET.items():
        for key, node in view.resources(kind):
            what = f"{kind}.{key} is declared in the bundle"
            yield Diagnostic("first-deployment", node.place, what, why, "let a task create it once there is a champion")


def check_legacy(view: LintTarget) -> Iterator[Diagnostic]:
    """No DBFS root, no mounts, no hive_metastore, no stages: new workspaces have none."""
    for node in view.texts:
        if match := LEGACY.search(node.value):
            what = f"{node.value!r} uses {match[0]}"
            yield Diagnostic(
                "legacy", node.place, what, "new workspaces have no such thing", "use a volume and the catalog"
            )


def check_rights(view: LintTarget) -> Iterator[Diagnostic]:
    """No grant gives ALL_PRIVILEGES, and in production none is given to a person."""
    for node in view.tree.walk():
        listed = node.get("privileges")
        for privilege in list_items(node, "privileges"):
            if privilege.value == "ALL_PRIVILEGES":
                why = "it includes privileges that no job needs"
                yield Diagnostic("rights", privilege.place, "ALL_PRIVILEGES is granted", why, "name what is needed")
        person = node.get("user_name") or (node.get("principal") if listed else None)
        if text_at(view.tree, "bundle", "mode") == "production" and person and "@" in str(person.value):
            what = f"{person.value} is a person"
            yield Diagnostic("rights", person.place, what, "a person may leave", "name a group or a service principal")


def check_grants(view: LintTarget) -> Iterator[Diagnostic]:
    """A grant names a principal and privileges."""
    for kind in GRANTED:
        for key, node in view.resources(kind):
            for grant in list_items(node, "grants"):
                for wanted in ("principal", "privileges"):
                    if not (value := grant.get(wanted)) or not value.value:
                        what = f"a grant on {kind}.{key} has no {wanted}"
                        yield Diagnostic("grant", grant.place, what, "the deployment stops at it", f"add {wanted}")


def check_privileges(view: LintTarget) -> Iterator[Diagnostic]:
    """A grant gives privileges that its kind of thing has: the CLI takes any word of its long list."""
    for kind, known in load_privileges().items():
        for key, node in view.resources(kind):
            for grant in list_items(node, "grants"):
                for privilege in list_items(grant, "privileges"):
                    if isinstance(privilege.value, str) and privilege.value not in {*known, "ALL_PRIVILEGES"}:
                        what, cure = (
                            f"{privilege.value} is granted on {kind}.{key}",
                            suggest_name(privilege.value, known),
                        )
                        yield Diagnostic("grant", privilege.place, what, "nothing of that kind has it", cure)


def check_identities(view: LintTarget) -> Iterator[Diagnostic]:
    """A permission and a run_as name exactly one identity."""
    for node in view.tree.walk():
        for what, holder in (("a permission", node if node.get("level") else None), ("run_as", node.get("run_as"))):
            named = [key for key in WHO if holder and text_at(holder, key)]
            if holder and isinstance(holder.value, dict) and len(named) != 1 and node is not view.tree:
                has = f"{what} names {' and '.join(named) or 'nobody'}"
                yield Diagnostic(
                    "identity", holder.place, has, "exactly one is needed", f"write one of {', '.join(WHO)}"
                )


RULES: tuple[Rule, ...] = (check_grants, check_identities)
HOUSE_RULES: tuple[Rule, ...] = (
    check_privileges,
    check_rights,
    check_comments,
    check_experiments,
    check_literal_catalogs,
    check_first_deployment,
    check_legacy,
)
