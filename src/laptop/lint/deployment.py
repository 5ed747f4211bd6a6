"""Rules of the CLI about a whole deployment: its place, identity, mode and CLI version."""

from __future__ import annotations

import getpass
import posixpath
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from laptop.document import Diagnostic, describe_kind
from laptop.lint.cron import cron_error as cron_wrong
from laptop.lint.model import TRIGGERS, LintTarget, Rule, list_items, text_at
from laptop.resolution import REFERENCE, VARIABLE, short_name

PATHS = ("root_path", "file_path", "resource_path", "artifact_path", "state_path")
FACTS = ("name", "engine", "databricks_cli_version")
"""Keys of `bundle` that the CLI reads before it resolves references."""
LOGIN = (
    "host", "profile", "auth_type", "metadata_service_url", "client_id", "google_service_account", "azure_client_id",
    "azure_tenant_id", "azure_environment", "azure_login_app_id", "account_id", "workspace_id",
)  # fmt: skip
"""Keys of `workspace` that the CLI reads before it resolves references."""
_VERSION = r"(\d+\.\d+\.\d+(-\w+)?|\d+\.\d+\.\*|\d+\.\*)"
CONSTRAINT = re.compile(rf"(>=|<=|>|<|!=)? ?{_VERSION}(, (>=|<=|>|<|!=)? {_VERSION})?")
PINNED = (1, 13, 0)
"""Version of the CLI whose behaviour these rules describe."""
NO_RUN_AS = ("model_serving_endpoints", "quality_monitors", "apps")
"""Kinds of resource that act with the identity that deploys them."""


def check_resource_keys(view: LintTarget) -> Iterator[Diagnostic]:
    """A resource's key is a name, without a reference; so is the bundle's name."""
    if (name := view.tree.get("bundle", "name")) and name.value == "":
        yield Diagnostic("keys", name.place, "the bundle's name is empty", "the CLI stops without one", "write a name")
    if (written := view.source.tree.get("resources")) and written.value is None:
        what = "resources is nothing and has to be a mapping"
        yield Diagnostic("type", written.place, what, "the CLI stops at it", "write it or remove its key")
    trees = [view.source.tree, *(node for _, node in (view.source.tree.get("targets") or view.source.tree).items())]
    for tree in trees:
        resources = tree.get("resources")
        for group_name, group in resources.items() if resources else ():
            for key, node in group.items():
                if not key:
                    what, why = f"{group_name} has an empty key", "the CLI stops at it"
                    yield Diagnostic("keys", node.place, what, why, "write a name")
                elif REFERENCE.search(key):
                    what, why = f"{group_name} has the key {key!r}", "the CLI resolves no reference in a key"
                    yield Diagnostic("keys", node.place, what, why, "write a name; its `name` may hold references")


def check_scripts(view: LintTarget) -> Iterator[Diagnostic]:
    """A script has content, and takes values of the bundle only from its environment."""
    scripts = view.source.tree.get("scripts")
    for key, script in scripts.items() if scripts else ():
        content = script.get("content")
        if not text_at(script, "content"):
            yield Diagnostic(
                "script", script.place, f"script {key!r} has no content", "the CLI refuses it", "add content"
            )
        elif content and REFERENCE.search(text_at(content)):
            what, why = f"the content of script {key!r} holds a reference", "the CLI does not resolve it there"
            yield Diagnostic("script", content.place, what, why, "give it a name in `env` and use $NAME")
        env = script.get("env")
        for name, value in env.items() if env else ():
            for match in REFERENCE.finditer(text_at(value)):
                if match[1].partition(".")[0] not in {"bundle", "workspace", "var", "variables"}:
                    what = f"env {name} of script {key!r} holds {match[0]}"
                    why = "scripts run before resources are known"
                    yield Diagnostic(
                        "script", value.place, what, why, "use ${var.name}, ${bundle...} or ${workspace...}"
                    )


def check_apps(view: LintTarget) -> Iterator[Diagnostic]:
    """An app has its code in a folder of its own, or in a repository."""
    owners: dict[str, str] = {}
    for key, app in view.resources("apps"):
        given = [name for name in ("source_code_path", "git_source") if text_at(app, name)]
        if len(given) != 1:
            what = f"app {key!r} names {' and '.join(given) or 'no code'}"
            yield Diagnostic(
                "app", app.place, what, "the CLI refuses it", "write one of source_code_path and git_source"
            )
        folder = posixpath.normpath(app.place.file.parent / text_at(app, "source_code_path"))
        if "source_code_path" in given and owners.setdefault(folder, key) != key:
            what, why = f"apps {owners[folder]!r} and {key!r} have the folder {folder!r}", "the CLI refuses it"
            yield Diagnostic("app", app.place, what, why, "give each its own folder")


def check_artifacts(view: LintTarget) -> Iterator[Diagnostic]:
    """An artifact has a build command or files; for a wheel the CLI knows both."""
    artifacts = view.tree.get("artifacts")
    for key, artifact in artifacts.items() if artifacts else ():
        if text_at(artifact, "type") != "whl" and not text_at(artifact, "build") and not list_items(artifact, "files"):
            what = f"artifact {key!r} has neither build nor files"
            yield Diagnostic("wheel", artifact.place, what, "the CLI refuses it", "add build or files")


def check_early_references(view: LintTarget) -> Iterator[Diagnostic]:
    """Keys that the CLI reads before it resolves references hold none."""
    root, target = view.source.tree, view.source.tree.get("targets", view.bundle.target)
    for path in (*(("bundle", key) for key in FACTS), *(("workspace", key) for key in LOGIN)):
        node = (target.get(*path) if target else None) or root.get(*path)
        if node and REFERENCE.search(text_at(node)):
            what, why = f"{'.'.join(path)} holds a reference", "the CLI does not resolve it there"
            yield Diagnostic("reference", node.place, what, why, "write the value")


def check_cli_version(view: LintTarget) -> Iterator[Diagnostic]:
    """The constraint on the CLI's version has the CLI's syntax and includes the pinned version."""
    node = view.tree.get("bundle", "databricks_cli_version")
    if not node or REFERENCE.search(text_at(view.source.tree, "bundle", "databricks_cli_version")):
        return
    if text_at(node) and not CONSTRAINT.fullmatch(text_at(node)):
        what = f"databricks_cli_version is {text_at(node)!r}"
        yield Diagnostic("cli", node.place, what, "the CLI cannot read it", 'write as in ">=1.13.0, < 2.0.0"')
    elif not all(map(_holds, text_at(node).split(","))):
        version = ".".join(map(str, PINNED))
        what = f"databricks_cli_version {text_at(node)!r} leaves out {version}"
        yield Diagnostic("cli", node.place, what, f"CLI {version} refuses the bundle", "name a range that holds it")


def _holds(constraint: str) -> bool:
    """Whether the pinned CLI satisfies one constraint; `1.*` means any version 1."""
    operator, numbers = re.fullmatch(r"\s*([<>=!]*)\s*(.*)", constraint).groups()  # type: ignore[union-attr]
    wanted = tuple(int(part) for part in re.findall(r"\d+", numbers.partition("-")[0]))[:3]
    ours = PINNED[: len(wanted)]
    compare = {">=": ours >= wanted, "<=": ours <= wanted, ">": ours > wanted, "<": ours < wanted, "!=": ours != wanted}
    return not wanted or compare.get(operator, ours == wanted)


def check_lookups(view: LintTarget) -> Iterator[Diagnostic]:
    """A lookup names one thing, and does not depend on another lookup."""
    declared = view.source.tree.get("variables")
    assigned = view.source.tree.get("targets", view.bundle.target, "variables")
    variables = {**dict(declared.items() if declared else ()), **dict(assigned.items() if assigned else ())}
    sought = {name: lookup for name, node in variables.items() if (lookup := node.get("lookup")) and lookup.value}
    for name, lookup in sought.items():
        sorts = [key for key, _ in lookup.items() if text_at(lookup, key)]
        if len(sorts) != 1:
            what = f"the lookup of variable {name!r} asks for {' and '.join(sorts) or 'nothing'}"
            yield Diagnostic("variables", lookup.place, what, "the CLI looks up one thing", "name one")
        for _, node in lookup.items():  # noqa: PERF102  # a Node has no values()
            for variable in {*VARIABLE.findall(text_at(node))} & sought.keys():
                what = f"the lookup of variable {name!r} uses {variable!r}, which is looked up, too"
                yield Diagnostic("variables", node.place, what, "the CLI refuses it", "write the name itself")


def check_target_mappings(view: LintTarget) -> Iterator[Diagnostic]:
    """A target is a mapping: the CLI does not resolve a reference to a whole target."""
    node = view.source.tree.get("targets", view.bundle.target)
    if node and not isinstance(node.value, dict | None):
        what = f"target {view.bundle.target!r} is {describe_kind(node)} and has to be a mapping"
        yield Diagnostic("type", node.place, what, "the CLI stops at it", "write the target out")
    values = node.get("variables") if node else None
    if values and not isinstance(values.value, dict | None):
        what = f"the variables of target {view.bundle.target!r} are {describe_kind(values)} and have to be a mapping"
        yield Diagnostic("type", values.place, what, "the CLI stops at it", "write them out")


def check_volume_paths(view: LintTarget) -> Iterator[Diagnostic]:
    """Only artifacts may lie in a volume."""
    for key in PATHS:
        node = view.tree.get("workspace", key)
        if node and key != "artifact_path" and f"{text_at(node)}/".startswith("/Volumes/"):
            what = f"workspace.{key} is {text_at(node)!r}"
            yield Diagnostic("home", node.place, what, "only artifact_path may lie in a volume", "use a workspace path")


def check_development(view: LintTarget) -> Iterator[Diagnostic]:
    """In mode development no trigger fires, and all names and paths contain the name of the person."""
    if text_at(view.tree, "bundle", "mode") != "development":
        return
    pause = view.tree.get("presets", "trigger_pause_status")
    if pause and text_at(pause) == "UNPAUSED":
        what, why = "presets.trigger_pause_status is UNPAUSED in mode development", "the CLI refuses it"
        yield Diagnostic("development", pause.place, what, why, "remove it; a job may say pause_status itself")
    prefix = view.tree.get("presets", "name_prefix")
    if prefix and text_at(prefix) and not _is_own(text_at(prefix)):
        what = f"presets.name_prefix {text_at(prefix)!r} does not hold the user's name"
        cure = "write ${workspace.current_user.short_name} into it, or remove it"
        yield Diagnostic("development", prefix.place, what, "the CLI refuses it in mode development", cure)
    for key in PATHS:
        node, written = view.tree.get("workspace", key), _as_written(view, key)
        path = text_at(node) if node else ""
        if key == "root_path" and path.startswith("~/"):  # the CLI accepts the name only here, not in the other paths
            path = getpass.getuser() + path[1:]
        if node and path and "${workspace." not in written and not _is_own(posixpath.normpath(path)):
            what = f"workspace.{key} {text_at(node)!r} does not hold the user's name"
            cure = "write ${workspace.current_user.userName} into it"
            yield Diagnostic("development", node.place, what, "the CLI refuses it in mode development", cure)
            return  # the other paths follow from it


def _as_written(view: LintTarget, key: str) -> str:
    """A key of `workspace` before references are resolved, which on a laptop give its own paths."""
    trees = (view.source.tree.get("targets", view.bundle.target), view.source.tree)
    return next((text_at(tree, "workspace", key) for tree in trees if tree and tree.get("workspace", key)), "")


def _is_own(value: str) -> bool:
    return getpass.getuser() in value or short_name() in value or "${" in value


def check_production(view: LintTarget) -> Iterator[Diagnostic]:
    """In mode production there is one deployment, with its own compute."""
    if text_at(view.tree, "bundle", "mode") != "production":
        return
    target = view.source.tree.get("targets", view.bundle.target)
    jobs = [node for _, node in view.resources("jobs")]
    if not (target and text_at(target, "workspace", "root_path")) and not all(job.get("run_as") for job in jobs):
        place = view.locate("bundle", "target")
        what, why = f"target {view.bundle.target!r} has no workspace.root_path", "each deployer would make an own copy"
        yield Diagnostic("target", place, what, why, "add one that is the same for everybody")
    for key, pipeline in view.resources("pipelines"):
        if text_at(pipeline, "development") == "true":
            node = pipeline.get("development") or pipeline
            what = f"pipeline {key!r} is in development in a target in production"
            yield Diagnostic("development", node.place, what, "the CLI refuses it", "remove development")
    if cluster := view.tree.get("bundle", "cluster_id"):
        what = "cluster_id replaces the compute of every task in production"
        yield Diagnostic("classic", cluster.place, what, "the CLI warns: production keeps its own", "remove cluster_id")


def check_source_linked(view: LintTarget) -> Iterator[Diagnostic]:
    """Jobs run the deployed files, unless the deployment is made from within the workspace."""
    node = view.tree.get("presets", "source_linked_deployment")
    if node and text_at(node) == "true":
        what = "presets.source_linked_deployment is true"
        why = "the CLI drops it with a warning outside of a workspace, and it is deprecated outside of development"
        yield Diagnostic("development", node.place, what, why, "remove it")


def check_run_as(view: LintTarget) -> Iterator[Diagnostic]:
    """run_as names exactly one identity, and every resource of the bundle can run as it."""
    node = view.tree.get("run_as")
    if not node or node.value is None:
        return
    named = [key for key in ("user_name", "service_principal_name") if text_at(node, key)]
    if len(named) != 1:
        what = f"run_as names {' and '.join(named) or 'nobody'}"
        yield Diagnostic(
            "identity", node.place, what, "exactly one is needed", "write user_name or service_principal_name"
        )
        return
    if (
        text_at(node, named[0]) == getpass.getuser()
        or text_at(view.tree, "experimental", "use_legacy_run_as") == "true"
    ):
        return
    acting = [item for kind in NO_RUN_AS for item in view.resources(kind)]
    acting += [item for item in view.resources("dashboards") if text_at(item[1], "embed_credentials") == "true"]
    for key, resource in acting:
        what = f"{key!r} would act with the deployer's rights, and the target has a run_as"
        cure = "use embed_credentials: false, or leave it out of this target"
        yield Diagnostic("run-as", resource.place, what, "the CLI refuses both", cure)


def check_schedules(view: LintTarget) -> Iterator[Diagnostic]:
    """A job has at most one trigger; a schedule is valid and names a valid time zone."""
    for job in view.jobs.values():
        given = [(key, node) for key in TRIGGERS if (node := job.node.get(key))]
        if len(given) > 1:
            what = f"job {job.key!r} has {' and '.join(key for key, _ in given)}"
            yield Diagnostic("paused", given[1][1].place, what, "a job is started by one of them", "keep one")
        cron, zone = (job.node.get("schedule", key) for key in ("quartz_cron_expression", "timezone_id"))
        if cron and "${" not in text_at(cron) and (wrong := cron_wrong(text_at(cron))):
            what, cure = f"the schedule of job {job.key!r}: {wrong}", "as in 0 30 6 * * ?"
            yield Diagnostic("cron", cron.place, what, "the platform refuses it", cure)
        if zone and "${" not in text_at(zone) and not _is_zone(text_at(zone)):
            what = f"the schedule of job {job.key!r} names time zone {text_at(zone)!r}"
            yield Diagnostic("cron", zone.place, what, "there is no such zone", "write UTC")


def _is_zone(name: str) -> bool:
    """Java's zones: names of the tz database, its three-letter ones, and offsets as GMT+2 or +02:00."""
    if re.fullmatch(r"(GMT|UTC|UT)?[+-]\d{1,2}(:?[0-5]\d)?(:[0-5]\d)?|Z", name):
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return name in JAVA_ZONES
    return True


JAVA_ZONES = {
    "ACT", "AET", "AGT", "ART", "AST", "BET", "BST", "CAT", "CNT", "CST", "CTT", "EAT", "ECT", "IET", "IST", "JST",
    "MIT", "NET", "NST", "PLT", "PNT", "PRT", "PST", "SST", "VST",
}  # fmt: skip
"""Three-letter names that Java has beside the tz database."""


RULES: tuple[Rule, ...] = (
    check_resource_keys, check_scripts, check_apps, check_artifacts, check_early_references,
    check_cli_version, check_lookups, check_target_mappings, check_volume_paths, check_development,
    check_production, check_source_linked, check_run_as, check_schedules,
)  # fmt: skip
