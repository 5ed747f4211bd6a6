"""Rules that compare the bundle with the code: entry points, their parameters, the wheel."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from laptop.document import Diagnostic, Node, suggest_name
from laptop.lint.model import LintTarget, Rule, Task, text_at
from laptop.lint.project import Parameter

OWN = ("job", "run_id")
"""Parameters that each job has and none may pass on: the platform passes a job's parameters to the jobs that it runs,
where they override the jobs' own (jobs/job-parameters)."""


def check_entry_points(view: LintTarget) -> Iterator[Diagnostic]:
    """A wheel task runs an entry point of this wheel; task, entry point and module have the same name."""
    known = view.project.entry_points
    for task in view.tasks if view.project.name else ():
        package, entry = (task.node.get("python_wheel_task", key) for key in ("package_name", "entry_point"))
        if package and text_at(package) != view.project.name:
            what = f"runs package {text_at(package)!r}"
            yield task.problem("wheel", package, what, "the wheel has another name", f"write {view.project.name}")
        if not entry:
            continue
        name = text_at(entry)
        module = known.get(name, "").partition(":")[0].rpartition(".")[2]
        if name not in known:
            why = "pyproject.toml [project.scripts] does not have it"
            yield task.problem("entry-point", entry, f"runs entry point {name!r}", why, suggest_name(name, known))
        elif name != task.key or name != module:
            what = f"runs entry point {name!r} of module {module!r}"
            why, near = "one name has to mean task, entry point and module", suggest_name(task.key, [name])
            cure = near if near.startswith("did you mean") else "give the three one name"
            yield task.problem("entry-point", entry, what, why, cure)


def check_modules(view: LintTarget) -> Iterator[Diagnostic]:
    """Every entry point that a task runs names an existing function."""
    used = {task.entry_point for task in view.tasks}
    for name, target in view.project.entry_points.items():
        module, _, function = target.partition(":")
        if name not in used:
            continue
        tree = view.project.modules.get(module)
        if tree is None or function not in _top_level(tree):
            what = f"entry point {name!r} is {target}, and there is no such {'function' if tree else 'module'}"
            yield Diagnostic(
                "entry-point", view.project.place(f"{name} ="), what, "the task fails at its start", "mend it"
            )


def _top_level(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def check_unused_entry_points(view: LintTarget) -> Iterator[Diagnostic]:
    """Every entry point that is a task of some job is run by one."""
    used = {task.entry_point for task in view.tasks}
    for name, target in view.project.entry_points.items() if view.complete else ():
        if ".jobs." in target and name not in used:
            what, why = f"entry point {name!r} is run by no task", "it was meant to be a task"
            place = view.project.place(f"{name} =")
            yield Diagnostic("entry-point", place, what, why, "add the task or remove the entry point")


def check_keyword_arguments(view: LintTarget) -> Iterator[Diagnostic]:
    """A wheel task has named parameters: job parameters reach no other tasks (jobs/task-parameters)."""
    for task in view.tasks:
        wheel = task.node.get("python_wheel_task")
        if wheel and (listed := wheel.get("parameters")):
            why = "a task with positional parameters gets none of the job's"
            yield task.problem("keywords", listed, "has positional parameters", why, "use named_parameters")
        elif wheel and not task.own_parameters:
            why = "without any it is not told the job's parameters either"
            yield task.problem("keywords", wheel, "has no named_parameters", why, "add job and run_id")


def check_own_parameters(view: LintTarget) -> Iterator[Diagnostic]:
    """The parameters in OWN are not among a job's parameters."""
    for job in view.jobs.values():
        for name in OWN:
            if node := job.parameters.get(name):
                what = f"job {job.key!r} has parameter {name!r}"
                why = "it would win over that of the jobs that this one runs"
                yield Diagnostic("parameters", node.place, what, why, "move it to the named_parameters of the tasks")


def check_parameters(view: LintTarget) -> Iterator[Diagnostic]:
    """A task gets exactly the parameters that its job's configuration has."""
    configs = view.project.configs
    for task in view.tasks if configs is not None else ():
        if not task.entry_point or configs is None:
            continue
        job, node = task.job.key, task.own_parameters.get("job") or task.wheel_parameters
        if task.text("python_wheel_task", "named_parameters", "job") != job:
            what, why = f"is not told that its job is {job!r}", "that picks what it is configured by"
            yield task.problem("parameters", node, what, why, f"write job: {job}")
        elif job not in configs:
            why = "nothing says which parameters it takes"
            yield task.problem("parameters", node, f"has no configuration {job!r}", why, suggest_name(job, configs))
        else:
            yield from _compare_with_fields(task, configs[job])


def _compare_with_fields(task: Task, fields: dict[str, Parameter]) -> Iterator[Diagnostic]:
    given: dict[str, Node] = {**task.job.parameters, **task.own_parameters}
    for name, node in given.items():
        if name not in fields:
            what = f"is told {name!r}, which the configuration of job {task.job.key!r} does not have"
            word = task.own_parameters.get(name) or task.job.parameter_names[name]
            yield task.problem("parameters", word, what, "unknown parameters end the task", suggest_name(name, fields))
        elif cure := fields[name].explain_refusal(text_at(node)):
            what = f"is told {name} {text_at(node)!r}"
            yield task.problem("parameters", node, what, "such values end the task", cure)
    for name, field in fields.items():
        if field.required and name not in given:
            own = name in OWN or any(name in sibling.own_parameters for sibling in task.job.tasks)
            place = task.wheel_parameters if own else task.job.node.get("parameters") or task.job.node
            what, why = f"is not told {name!r}", f"the configuration of job {task.job.key!r} wants it"
            where = "named_parameters" if own else f"the parameters of job {task.job.key!r}"
            yield task.problem("parameters", place, what, why, f"add it to {where}")


def check_unused_configurations(view: LintTarget) -> Iterator[Diagnostic]:
    """Every configuration belongs to a job."""
    for job in view.project.configs or ():
        if job not in view.every_job:
            place = view.project.place(f'    "{job}":', view.project.file(view.project.settings.configurations))
            what, why = f"configuration {job!r} belongs to no job", "it was meant for one"
            yield Diagnostic("parameters", place, what, why, "add the job or remove the configuration")


def check_conditions(view: LintTarget) -> Iterator[Diagnostic]:
    """A condition compares a task value with a text that occurs in the module that sets it."""
    for task in view.tasks:
        sides = [task.text("condition_task", side) for side in ("left", "right")]
        setter = re.fullmatch(r"\{\{\s*tasks\.([\w-]+)\.values\.[\w-]+\s*\}\}", sides[0])
        if not setter or setter[1] not in task.job.outer or "{{" in sides[1]:
            continue
        texts = view.project.constants.get(task.job.outer[setter[1]].entry_point)
        if texts is not None and sides[1] not in {*texts, "true", "false"} and not sides[1].isdigit():
            node = task.node.get("condition_task", "right")
            what, why = f"waits for {sides[1]!r}", f"nothing in the module of {setter[1]!r} says so"
            yield task.problem("condition", node, what, why, "write a value that stands there")


def check_overridden(view: LintTarget) -> Iterator[Diagnostic]:
    """A task has no parameter that its job has, too: the job's value would replace the task's."""
    for task in view.tasks:
        for name in task.own_parameters.keys() & task.job.parameters.keys():
            task_value, job_value = task.own_parameters[name], task.job.parameters[name]
            if text_at(task_value) not in {text_at(job_value), f"{{{{job.parameters.{name}}}}}"}:
                what = f"sets parameter {name!r}, which its job has too"
                yield task.problem("overridden", task_value, what, "the job's value wins", "remove one of the two")


HOUSE_RULES: tuple[Rule, ...] = (
    check_entry_points, check_modules, check_unused_entry_points, check_keyword_arguments,
    check_own_parameters, check_parameters, check_unused_configurations, check_conditions, check_overridden,
)  # fmt: skip
