"""Conventions of this project, stricter than the platform; each rule gives its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laptop.bundle import BundleSource
from laptop.document import Diagnostic, Node
from laptop.go_glob import BadPatternError, find_files
from laptop.lint.model import TRIGGERS, LintTarget, Rule, list_items, text_at

TOLD = {
    ("email_notifications", "on_failure"): "nobody is notified of a failure",
    ("email_notifications", "on_duration_warning_threshold_exceeded"): "nobody is notified when it is slow",
    ("health", "rules"): "no limit says when it is slow",
}
"""Notifications that a job needs, and why."""
APPROVAL = "approval"
"""Prefix of the key of a task that is the approval of a Databricks deployment job (mlflow/deployment-job)."""


def check_default_target(source: BundleSource) -> Iterator[Diagnostic]:
    """One of several targets is the default."""
    if len(source.targets) > 1 and not any(
        (node := source.tree.get("targets", name, "default")) and node.value is True for name in source.targets
    ):
        place = source.tree.locate("targets")
        yield Diagnostic("target", place, "0 targets are the default", "one has to be", "set default: true once")


def check_deployment(view: LintTarget) -> Iterator[Diagnostic]:
    """The bundle uses the direct engine, and requires a CLI version that has it."""
    bundle = view.tree.get("bundle") or view.tree
    if text_at(bundle, "engine") != "direct":
        place = (bundle.get("engine") or bundle).place
        yield Diagnostic(
            "engine", place, "the engine is not direct", "the other one is deprecated", "write engine: direct"
        )
    floor = text_at(bundle, "databricks_cli_version")
    if not re.fullmatch(r">=\s*\d+\.\d+\.\d+(\s*,\s*<\s*\d+\.\d+\.\d+)?", floor):
        place = (bundle.get("databricks_cli_version") or bundle).place
        what, why = "no floor for the CLI's version", "an older CLI drops what it does not know"
        yield Diagnostic("cli", place, what, why, 'write databricks_cli_version: ">=1.13.0"')


def check_target(view: LintTarget) -> Iterator[Diagnostic]:
    """A target has a mode; one in production names its identity, folder, branch and whether schedules fire."""
    place = view.locate("bundle", "target")
    name = view.bundle.target
    mode = text_at(view.tree, "bundle", "mode")
    if not mode:
        yield Diagnostic("target", place, f"target {name!r} has no mode", "nothing protects it", "add mode")
    if mode != "production":
        return
    if not any(text_at(view.tree, "run_as", key) for key in ("service_principal_name", "user_name")):
        what, why = f"target {name!r} does not say who its jobs run as", "they would run as whoever deploys"
        yield Diagnostic("target", place, what, why, "add run_as with a service_principal_name")
    if text_at(view.tree, "run_as", "user_name"):
        node = view.tree.get("run_as", "user_name") or view.tree
        yield Diagnostic(
            "target", node.place, "jobs run as a person", "a person may leave", "use service_principal_name"
        )
    if not text_at(view.tree, "workspace", "root_path"):
        what, why = f"target {name!r} has no workspace.root_path", "each deployer would make a copy of its own"
        yield Diagnostic("target", place, what, why, "add one that is the same for everybody")
    if not text_at(view.tree, "bundle", "git", "branch"):
        what = f"target {name!r} does not say which branch it is deployed from"
        yield Diagnostic("target", place, what, "any branch could be deployed", "add git.branch")
    if not text_at(view.tree, "presets", "trigger_pause_status"):
        what = f"target {name!r} does not say whether schedules fire"
        yield Diagnostic("target", place, what, "they fire unless it does", "add presets.trigger_pause_status")


def check_includes(view: LintTarget) -> Iterator[Diagnostic]:
    """Every pattern of `include` matches a file; the CLI does not report one that matches none."""
    for node in list_items(view.source.files[0], "include"):
        try:
            files = find_files(view.source.root, text_at(node))
        except BadPatternError:
            continue  # refused where files are read
        if not files and set("*?[") & set(text_at(node)):
            why = "what it should bring is missing"
            cure = (
                "name each level: ** is one level to the CLI" if "**" in text_at(node) else "mend the path or remove it"
            )
            yield Diagnostic("include", node.place, f"include {text_at(node)!r} matches no file", why, cure)


def check_sync(view: LintTarget) -> Iterator[Diagnostic]:
    """`sync.paths` names the folders that tasks need: without it every deployment uploads the whole folder."""
    dropped = any("sync" in misfit.path[:3] for misfit in (*view.source.misfits, *view.bundle.misfits))
    if not dropped and view.tree.get("sync", "paths") is None:
        why = "each deployment uploads every file of the folder, tests and documents too"
        cure = "name the folders whose files tasks name; [] if a wheel is all that they need"
        yield Diagnostic("sync", view.locate("sync", "paths"), "the bundle has no sync.paths", why, cure)


def check_root_paths(view: LintTarget) -> Iterator[Diagnostic]:
    """The bundle names no host, and nothing of production lies in the home of a person."""
    for node in (view.source.tree, view.source.tree.get("targets", view.bundle.target)):
        if (host := node.get("workspace", "host") if node else None) and text_at(host):
            what, why = f"{text_at(host)!r} is the host", "whoever forks this would deploy there"
            yield Diagnostic("host", host.place, what, why, "remove it: DATABRICKS_HOST or the profile says it")
    for node in view.texts if text_at(view.tree, "bundle", "mode") == "production" else ():
        if re.match(r"/(Workspace/)?Users/[^/]*@", node.value):
            what = f"{node.value!r} is in the home of a person"
            yield Diagnostic("home", node.place, what, "a person may leave", "use that of the principal that deploys")
    if text_at(view.tree, "bundle", "mode") == "production" and re.match(
        r"(/Workspace)?/Shared\b", text_at(view.tree, "workspace", "root_path")
    ):
        what, place = "the deployment lies in /Workspace/Shared", view.locate("workspace", "root_path")
        yield Diagnostic("home", place, what, "everybody may write there", "use the home of the principal that deploys")


def check_separation(view: LintTarget) -> Iterator[Diagnostic]:
    """The job that only trains and the job that only deploys run as two identities."""
    if text_at(view.tree, "bundle", "mode") != "production":
        return
    runs: dict[str, dict[str, Node]] = {"training": {}, "deployment": {}}
    for job in view.jobs.values():
        does = [name for name in runs if any(task.entry_point == name for task in job.tasks)]
        if len(does) == 1:
            run_as = job.node.get("run_as", "service_principal_name") or job.node
            runs[does[0]][text_at(run_as)] = run_as
    for who in runs["training"].keys() & runs["deployment"].keys():
        place, what = runs["training"][who].place, f"training and deployment both run as {who!r}"
        yield Diagnostic("run-as", place, what, "who trains could let a version through", "give training a run_as")


def check_variables(view: LintTarget) -> Iterator[Diagnostic]:
    """A variable has a description, the type of its value, and a use."""
    declared = view.tree.get("variables")
    for name, variable in declared.items() if declared else ():
        if not text_at(variable, "description"):
            what = f"variable {name!r} has no description"
            yield Diagnostic("variables", variable.place, what, "who sets it has to know what it is", "add one")
        if name not in view.source.variables_used:
            what = f"variable {name!r} is used nowhere"
            yield Diagnostic("variables", variable.place, what, "setting it changes nothing", "use or remove it")
        for value in filter(None, (variable.get("default"), variable.get("value"))):
            if isinstance(value.value, dict | list) and text_at(variable, "type") != "complex":
                what, why = f"variable {name!r} is no single value", "the CLI wants it to be called complex"
                yield Diagnostic("variables", variable.place, what, why, "add type: complex, or write a single value")
        if variable.get("value") and not any(map(variable.get, ("default", "lookup"))):
            targets = view.source.targets
            if not any(view.source.tree.get("targets", target, "variables", name) for target in targets):
                what = f"variable {name!r} has neither a default nor a value in any target"
                yield Diagnostic("variables", variable.place, what, "deployments would stop", "give it one")


def check_jobs(view: LintTarget) -> Iterator[Diagnostic]:
    """A job has a name, a description, a time limit, a queue and notifications."""
    for job in view.jobs.values():
        for key, why in (
            ("name", "it would be called Untitled"),
            ("description", "who meets it should know what it does"),
        ):
            if not text_at(job.node, key):
                yield _report_missing_field(job.key, job.node, key, why)
        if text_at(job.node, "max_concurrent_runs") != "1":
            node = job.node.get("max_concurrent_runs") or job.node
            yield _report_missing_field(
                job.key, node, "max_concurrent_runs: 1", "two runs would write the same tables, four in development"
            )
        if text_at(job.node, "queue", "enabled") != "true":
            node = job.node.get("queue") or job.node
            yield _report_missing_field(
                job.key, node, "queue: {enabled: true}", "a run that meets another would be skipped"
            )
        if text_at(job.node, "timeout_seconds") in {"", "0"}:
            what, node = f"job {job.key!r} has no timeout_seconds", job.node.get("timeout_seconds") or job.node
            yield Diagnostic("job", node.place, what, "it could hang for ever", "write a number of seconds above 0")
        for path, why in TOLD.items():
            value = job.node.get(*path)
            if not (value and value.value):
                node = value or job.node.get(*path[:-1]) or job.node
                yield _report_missing_field(job.key, node, ".".join(path), why)


def _report_missing_field(job: str, node: Node, key: str, why: str) -> Diagnostic:
    return Diagnostic("job", node.place, f"job {job!r} has no {key}", why, f"add {key}")


def check_tasks(view: LintTarget) -> Iterator[Diagnostic]:
    """A task has a time limit, and only a task that is safe to repeat is retried."""
    for task in view.tasks:
        if "condition_task" not in task.types and task.text("timeout_seconds") in {"", "0"}:
            node, cure = task.node.get("timeout_seconds"), "write a number of seconds above 0"
            yield task.problem("timeout", node, "has no timeout_seconds", "it could hang for ever", cure)
        repeatable = view.project.settings.repeatable
        repeats = task.entry_point in repeatable
        for key in ("max_retries", "retry_on_timeout", "min_retry_interval_millis"):
            if (node := task.node.get(key)) and not repeats and text_at(node) not in {"0", "false"}:
                why = f"of these only {', '.join(repeatable) or 'none'} leave the same when they run twice"
                yield task.problem("retries", node, f"has {key}", why, f"remove {key}")
        retries, pause = task.node.get("max_retries"), task.node.get("min_retry_interval_millis")
        if repeats and (retries is None) != (pause is None):
            what = "has one of max_retries and min_retry_interval_millis"
            why = "a retry at once meets the same trouble, and a pause alone does nothing"
            yield task.problem("retries", None, what, why, "give it both or neither")
        if (
            "python_wheel_task" in task.types
            and not repeats
            and text_at(task.node, "disable_auto_optimization") != "true"
        ):
            node = task.node.get("disable_auto_optimization")
            what, why = "may be repeated by the platform", "serverless retries unless it is told not to"
            yield task.problem("retries", node, what, why, "add disable_auto_optimization: true")


def check_chains(view: LintTarget) -> Iterator[Diagnostic]:
    """Exactly one task of a job starts; every other task depends on one."""
    for job in view.jobs.values():
        first = [task for task in job.outer.values() if not task.depends_on]
        for task in first if len(first) > 1 else ():
            why = f"{' and '.join(starter.key for starter in first)} would run beside each other"
            cure = "add depends_on, or give it a job of its own"
            yield task.problem("chain", None, "waits for no other task", why, cure)


def check_approval(view: LintTarget) -> Iterator[Diagnostic]:
    """A job with an approval has the shape of a Databricks deployment job."""
    for task in view.tasks:
        if task.loop or not task.key.lower().startswith(APPROVAL):
            continue
        for name in ("model_name", "model_version"):
            if name not in task.job.parameters:
                node = task.job.node.get("parameters")
                why = "Databricks tells a deployment job the version by these"
                yield task.problem("approval", node, f"approves without job parameter {name!r}", why, f"add {name}")
        if not task.depends_on:
            why = "a version would be approved before it was judged"
            yield task.problem("approval", None, "depends on nothing", why, "let it depend on the verdict")
        if not task.job.downstream[task.key]:
            what = "approves, and no task depends on it"
            yield task.problem("approval", None, what, "it decides nothing", "let the deployment depend on it")
        before, after = task.job.upstream[task.key], task.job.downstream[task.key]
        for key in task.job.outer.keys() - before - after - {task.key}:
            what, why = "runs whether or not the version is approved", "only what comes before may"
            yield task.job.outer[key].problem("approval", None, what, why, f"let it depend on {task.key!r}")


def check_paused(view: LintTarget) -> Iterator[Diagnostic]:
    """The target says whether schedules fire; no job says otherwise."""
    developing = text_at(view.tree, "bundle", "mode") == "development"
    meant = text_at(view.tree, "presets", "trigger_pause_status") or ("PAUSED" if developing else "")
    for job in view.jobs.values():
        given = [(key, node) for key in TRIGGERS if (node := job.node.get(key))]
        for key, node in given:
            flag = node.get("pause_status")
            if meant and flag and text_at(flag) != meant:
                what = f"the {key} of job {job.key!r} says {text_at(flag)}, and target {view.bundle.target!r} {meant}"
                yield Diagnostic("paused", flag.place, what, "the job's own word wins", "remove it")


def check_schedule_states(view: LintTarget) -> Iterator[Diagnostic]:
    """A schedule or its target says whether it fires."""
    for job in view.jobs.values():
        node = job.node.get("schedule")
        if node and not text_at(node, "pause_status"):
            what = f"the schedule of job {job.key!r} does not say whether it fires"
            yield Diagnostic(
                "cron",
                node.place,
                what,
                "it fires unless pause_status says otherwise",
                "add presets.trigger_pause_status",
            )


HOUSE_RULES: tuple[Rule, ...] = (
    check_includes,
    check_sync,
    check_deployment,
    check_target,
    check_root_paths,
    check_separation,
    check_variables,
    check_jobs,
    check_tasks,
    check_chains,
    check_approval,
    check_paused,
    check_schedule_states,
)
