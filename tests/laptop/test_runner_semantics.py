"""The runner against the platform's documented semantics, construct by construct.

Each row names the page of docs.databricks.com that it rests on (learn.microsoft.com/azure/databricks has the same pages
under the same paths). Rows marked UNVERIFIED say what no page says clearly: there the choice is the runner's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from laptop.bundle import load_bundle
from laptop.console import Console
from laptop.home import Home, LaptopError
from laptop.run_store import Run
from laptop.runner import Runner
from laptop.runtime import dbutils

RUN_IF = "Configure task dependencies: jobs/run-if"
IF_ELSE = "Add branching logic with the If/else task: jobs/tasks/if-else"
FOR_EACH = "Use a For each task to run another task in a loop: jobs/tasks/for-each"
RUN_JOB = "Run Job task for jobs: jobs/tasks/run-job"
PARAMETERS = "Configure job parameters: jobs/job-parameters"
TASK_PARAMETERS = "Configure task parameters: jobs/task-parameters"
REFERENCES = "Dynamic value references: jobs/dynamic-value-references"
VALUES = "Use task values to pass information between tasks: jobs/task-values"
API = "Jobs API, create: api/workspace/jobs/create"
REPAIR = "Jobs API, repair: api/workspace/jobs/repairrun"
UNVERIFIED = "UNVERIFIED: "

calls: list[tuple[str, list[str]]] = []
"""Toy tasks that ran, with their argv."""


class MlopsError(Exception):
    """As the wheel's own base class is called: the runner knows it by name."""


def toy(name: str) -> Any:
    """Toy entry points: ok, fail, refuse, exit_0, exit_3, flaky, set_<key>=<json>."""

    def main(argv: Any) -> None:
        calls.append((name, list(argv)))
        if name == "fail":
            raise ValueError("broken")
        if name == "refuse":
            raise MlopsError("mend your parameter")
        if name.startswith("exit"):
            raise SystemExit(int(name[-1]))
        if name == "flaky" and sum(called == "flaky" for called, _ in calls) < 3:
            raise ValueError("not yet")
        if name.startswith("set_"):
            key, _, value = name.removeprefix("set_").partition("=")
            dbutils.jobs.taskValues.set(key=key, value=json.loads(value))
        if name == "choosy" and argv == ["2"]:
            raise ValueError("not this one")

    return main


def runner(root: Path, jobs: dict[str, Any]) -> Runner:
    document = {
        "bundle": {"name": "toy"},
        "targets": {"dev": {}, "prod": {}},
        "resources": {"jobs": {key: {"name": f"toy-{key}", **job} for key, job in jobs.items()}},
    }
    (root / "databricks.yml").write_text(json.dumps(document))
    made = Runner(load_bundle(root, "dev"), Home(root / "home"), Console(StringIO()), resolve=lambda _, name: toy(name))
    made.home.path.mkdir(exist_ok=True)
    calls.clear()
    return made


def wheel(key: str, does: str = "ok", *on: str, **more: Any) -> dict[str, Any]:
    """A wheel task; `on` are keys of tasks before it, "key:outcome" for those of conditions."""
    what = {field: more.pop(field) for field in ("named_parameters", "parameters") if field in more}
    what = what or {"parameters": []}
    task = {"task_key": key, "python_wheel_task": {"package_name": "toy", "entry_point": does, **what}, **more}
    return task | _on(on)


def each(key: str, inputs: str, parameter: str = "{{input}}", *, does: str = "ok") -> dict[str, Any]:
    """A for_each_task around a wheel task with one parameter."""
    return {"task_key": key, "for_each_task": {"inputs": inputs, "task": wheel("each", does, parameters=[parameter])}}


def condition(key: str, left: str, op: str, right: str, *on: str) -> dict[str, Any]:
    return {"task_key": key, "condition_task": {"op": op, "left": left, "right": right}} | _on(on)


def _on(keys: tuple[str, ...]) -> dict[str, Any]:
    pairs = [key.partition(":") for key in keys]
    edges = [{"task_key": key, **({"outcome": outcome} if outcome else {})} for key, _, outcome in pairs]
    return {"depends_on": edges} if edges else {}


@dataclass
class Row:
    """A job, and how it has to end."""

    name: str
    page: str
    tasks: list[dict[str, Any]]
    states: dict[str, str]
    run: str = "SUCCESS"
    given: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    argv: dict[str, list[str]] = field(default_factory=dict)
    """Of the toy entry points named."""
    outcomes: dict[str, str] = field(default_factory=dict)


A_OK, A_BAD = wheel("a"), wheel("a", "fail")
NO = condition("no", "1", "EQUAL_TO", "2")
BROKEN = condition("no", "x", "GREATER_THAN", "2")


def gate(run_if: str, *before: dict[str, Any], expected: str, run: str, page: str = RUN_IF) -> Row:
    """A row: task z with that run_if behind the tasks before it."""
    keys = tuple(task["task_key"] + (":true" if "condition_task" in task else "") for task in before)
    name = f"{run_if} behind {', '.join(next(iter(task.values())) + '/' + _kind(task) for task in before)}"
    return Row(name, page, [*before, wheel("z", "ok", *keys, run_if=run_if)], {"z": expected}, run)


def _kind(task: dict[str, Any]) -> str:
    return task["python_wheel_task"]["entry_point"] if "python_wheel_task" in task else "false"


B_OK, B_BAD = wheel("b"), wheel("b", "fail")
ROWS = [
    gate("ALL_SUCCESS", A_OK, B_OK, expected="SUCCESS", run="SUCCESS"),
    gate("ALL_SUCCESS", A_OK, B_BAD, expected="UPSTREAM_FAILED", run="FAILED"),
    gate("AT_LEAST_ONE_SUCCESS", A_OK, B_BAD, expected="SUCCESS", run="SUCCESS_WITH_FAILURES"),
    gate("AT_LEAST_ONE_SUCCESS", A_BAD, B_BAD, expected="UPSTREAM_FAILED", run="FAILED"),
    gate("NONE_FAILED", A_OK, B_OK, expected="SUCCESS", run="SUCCESS"),
    gate("NONE_FAILED", A_OK, NO, expected="SUCCESS", run="SUCCESS"),
    gate("NONE_FAILED", A_OK, B_BAD, expected="UPSTREAM_FAILED", run="FAILED"),
    gate("ALL_DONE", A_BAD, B_BAD, expected="SUCCESS", run="SUCCESS_WITH_FAILURES"),
    gate("AT_LEAST_ONE_FAILED", A_OK, B_BAD, expected="SUCCESS", run="SUCCESS_WITH_FAILURES"),
    gate("AT_LEAST_ONE_FAILED", A_OK, B_OK, expected="EXCLUDED", run="SUCCESS"),
    gate("ALL_FAILED", A_BAD, B_BAD, expected="SUCCESS", run="SUCCESS_WITH_FAILURES"),
    gate("ALL_FAILED", A_OK, B_BAD, expected="EXCLUDED", run="SUCCESS_WITH_FAILURES"),
    # Excluded dependencies
    *(
        gate(run_if, NO, expected="EXCLUDED", run="SUCCESS")
        for run_if in ("ALL_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED")
    ),
    gate("ALL_SUCCESS", A_OK, NO, expected="EXCLUDED", run="SUCCESS", page=UNVERIFIED + "only a forum says so"),
    gate("AT_LEAST_ONE_SUCCESS", A_OK, NO, expected="SUCCESS", run="SUCCESS"),
    Row(
        "an excluded task counts as successful",
        RUN_IF,
        [A_OK, wheel("b", "ok", "a", run_if="ALL_FAILED"), wheel("z", "ok", "a", "b")],
        {"b": "EXCLUDED", "z": "SUCCESS"},
    ),
    Row(
        "what depends only on excluded tasks is excluded",
        RUN_IF,
        [A_OK, wheel("b", "ok", "a", run_if="ALL_FAILED"), wheel("z", "ok", "b", run_if="ALL_DONE")],
        {"b": "EXCLUDED", "z": "EXCLUDED"},
    ),
    Row(
        "a failure reaches the tasks behind the next one",
        UNVERIFIED + "jobs/run-if does not say whether an upstream failure is a failure for the task after",
        [A_BAD, wheel("b", "ok", "a"), wheel("c", "ok", "b", run_if="ALL_FAILED"), wheel("d", "ok", "b")],
        {"b": "UPSTREAM_FAILED", "c": "SUCCESS", "d": "UPSTREAM_FAILED"},
        "FAILED",
    ),
    # What a job run becomes
    Row("a failed leaf fails the run", RUN_IF, [A_OK, B_BAD], {"a": "SUCCESS", "b": "FAILED"}, "FAILED"),
    Row(
        "a failure whose leaf succeeds is a success with failures",
        RUN_IF,
        [A_BAD, wheel("z", "ok", "a", run_if="ALL_DONE")],
        {"a": "FAILED", "z": "SUCCESS"},
        "SUCCESS_WITH_FAILURES",
    ),
    Row("exit code 0 is success", UNVERIFIED + "no page", [wheel("a", "exit_0")], {"a": "SUCCESS"}),
    Row("another exit code is a failure", UNVERIFIED + "no page", [wheel("a", "exit_3")], {"a": "FAILED"}, "FAILED"),
    # Conditions
    *(
        Row(
            f"{left} {op} {right}", IF_ELSE, [condition("c", left, op, right)], {"c": "SUCCESS"}, outcomes={"c": result}
        )
        for left, op, right, result in [
            ("12.0", "EQUAL_TO", "12", "false"),
            ("12", "EQUAL_TO", "12", "true"),
            ("12.0", "NOT_EQUAL", "12", "true"),
            ("12", "NOT_EQUAL", "12", "false"),
            ("12.0", "GREATER_THAN_OR_EQUAL", "12", "true"),
            ("10.0", "GREATER_THAN_OR_EQUAL", "12", "false"),
            ("9", "GREATER_THAN", "10", "false"),
            ("11", "GREATER_THAN", "10", "true"),
            ("9", "LESS_THAN", "10", "true"),
            ("10", "LESS_THAN", "10", "false"),
            ("10", "LESS_THAN_OR_EQUAL", "10", "true"),
            ("11", "LESS_THAN_OR_EQUAL", "10", "false"),
        ]
    ),
    *(
        Row(
            f"{text!r} is no number",
            UNVERIFIED + "if-else does not say what then",
            [condition("no", text, "LESS_THAN_OR_EQUAL", "2")],
            {"no": "FAILED"},
            "FAILED",
        )
        for text in ("nan", "1_0", " 1", "0x1", "", "٣")
    ),
    Row("text is no number", UNVERIFIED + "if-else does not say what then", [BROKEN], {"no": "FAILED"}, "FAILED"),
    Row(
        "a truth value is compared as true or false",
        IF_ELSE,
        [wheel("a", "set_k=true"), condition("c", "{{tasks.a.values.k}}", "EQUAL_TO", "true", "a")],
        {"c": "SUCCESS"},
        outcomes={"c": "true"},
    ),
    Row(
        "a list fails a condition",
        IF_ELSE,
        [wheel("a", "set_k=[1]"), condition("c", "{{tasks.a.values.k}}", "EQUAL_TO", "[1]", "a")],
        {"c": "FAILED"},
        "FAILED",
    ),
    Row(
        "the branch of the outcome runs, the other is excluded",
        IF_ELSE,
        [NO, wheel("yes", "ok", "no:true"), wheel("else", "ok", "no:false")],
        {"no": "SUCCESS", "yes": "EXCLUDED", "else": "SUCCESS"},
    ),
    # Parameters
    Row(
        "job parameters are pushed down to keyword tasks, over the task's own",
        PARAMETERS,
        [wheel("a", named_parameters={"x": "task", "y": "task"})],
        {"a": "SUCCESS"},
        parameters={"x": "job", "z": "job"},
        argv={"ok": ["--x=job", "--y=task", "--z=job"]},
    ),
    Row(
        "they are not pushed down to tasks with a list of parameters, which can refer to them",
        TASK_PARAMETERS,
        [wheel("a", parameters=["{{job.parameters.x}}", "b"])],
        {"a": "SUCCESS"},
        parameters={"x": "job"},
        argv={"ok": ["job", "b"]},
    ),
    Row(
        "what the run is given beats the default",
        PARAMETERS,
        [wheel("a", named_parameters={})],
        {"a": "SUCCESS"},
        parameters={"x": "default", "y": ""},
        given={"x": "given"},
        argv={"ok": ["--x=given", "--y="]},
    ),
    # References
    Row(
        "a job's facts",
        REFERENCES,
        [
            wheel(
                "a",
                parameters=["{{job.name}}/{{job.run_id}}/{{job.repair_count}}/{{task.name}}/{{ job.trigger.type }}"],
            )
        ],
        {"a": "SUCCESS"},
        argv={"ok": ["toy-main/1/0/a/onetime"]},
    ),
    Row(
        "names in backticks, and braces that are no reference",
        REFERENCES,
        [wheel("a", parameters=["{{job.parameters.`a-b`}}", "{{my.value}", "{{other.thing}}", "{{}}"])],
        {"a": "SUCCESS"},
        parameters={"a-b": "dash"},
        argv={"ok": ["dash", "{{my.value}", "{{other.thing}}", "{{}}"]},
    ),
    Row(
        "a name with other characters than letters, digits and underscores needs back-ticks or brackets",
        REFERENCES,
        [
            wheel(
                "a",
                parameters=[
                    "{{job.parameters.[a-b]}}",
                    "{{job.parameters.[a.c]}}",
                    "{{job.parameters.[p]}}",
                    "{{job.parameters.`p`}}",
                    "{{ job.parameters.p }}",
                    "{{job.parameters.a-b}}",
                    "{{job.parameters.a b}}",
                ],
            )
        ],
        {"a": "SUCCESS"},
        parameters={"a-b": "dash", "a.c": "dot", "p": "plain"},
        argv={"ok": ["dash", "dot", "plain", "plain", "plain", "{{job.parameters.a-b}}", "{{job.parameters.a b}}"]},
    ),
    Row(
        "something unknown in a known namespace fails the task",
        REFERENCES + " (refused where it is written; here at the latest when it is used)",
        [wheel("a", parameters=["{{job.notebook_url}}"])],
        {"a": "FAILED"},
        "FAILED",
    ),
    Row(
        "task values of every type, as JSON but for text",
        VALUES,
        [
            wheel("a", 'set_k="t"'),
            wheel("b", "set_k=1.5"),
            wheel("c", 'set_k=[1, "x"]'),
            wheel("z", "ok", "a", "b", "c", parameters=[f"{{{{tasks.{key}.values.k}}}}" for key in "abc"]),
        ],
        {"z": "SUCCESS"},
        argv={"ok": ["t", "1.5", '[1, "x"]']},
    ),
    Row(
        "a task's result state and error code",
        REFERENCES,
        [
            A_BAD,
            wheel("b", "exit_0"),
            wheel("y", "ok", "a", run_if="ALL_DONE", parameters=["{{tasks.a.result_state}}/{{tasks.a.error_code}}"]),
            wheel("z", "exit_0", "b", parameters=["{{tasks.b.result_state}}/{{tasks.b.error_code}}"]),
        ],
        {"y": "SUCCESS", "z": "SUCCESS"},
        "SUCCESS_WITH_FAILURES",
        argv={"ok": ["failed/RunExecutionError"]},
    ),
    Row(
        "a task value that nobody set fails the task that wants it",
        UNVERIFIED + "jobs/task-values does not say",
        [A_OK, wheel("z", "exit_0", "a", parameters=["{{tasks.a.values.k}}"])],
        {"z": "FAILED"},
        "FAILED",
    ),
    # Retries
    Row(
        "a failed task is run again, max_retries times at most",
        API,
        [wheel("a", "flaky", max_retries=2)],
        {"a": "SUCCESS"},
        argv={"flaky": []},
    ),
    Row("one retry too few", API, [wheel("a", "flaky", max_retries=1)], {"a": "FAILED"}, "FAILED"),
    Row(
        "an error that a user has to mend is not tried again",
        UNVERIFIED + "the platform tries again (api/workspace/jobs/create); the laptop does not, on purpose",
        [wheel("a", "refuse", max_retries=2)],
        {"a": "FAILED"},
        "FAILED",
        argv={"refuse": []},
    ),
    Row("-1 retries without end", API, [wheel("a", "flaky", max_retries=-1)], {"a": "SUCCESS"}),
    # For each
    Row("inputs of text", FOR_EACH, [each("a", '["x"]')], {"a": "SUCCESS"}, argv={"ok": ["x"]}),
    Row("inputs of numbers", FOR_EACH, [each("a", "[2]")], {"a": "SUCCESS"}, argv={"ok": ["2"]}),
    Row("a field", FOR_EACH, [each("a", '[{"k": "v"}]', "{{input.k}}")], {"a": "SUCCESS"}, argv={"ok": ["v"]}),
    Row(
        "inputs from a task value",
        FOR_EACH,
        [wheel("a", 'set_k=["v"]'), each("b", "{{tasks.a.values.k}}") | _on(("a",))],
        {"b": "SUCCESS"},
        argv={"ok": ["v"]},
    ),
    Row(
        "inputs from a job parameter",
        FOR_EACH,
        [each("a", "{{job.parameters.list}}")],
        {"a": "SUCCESS"},
        parameters={"list": "[3]"},
        argv={"ok": ["3"]},
    ),
    Row(
        "one failed iteration fails the task",
        UNVERIFIED + "jobs/tasks/for-each does not say",
        [each("a", "[1, 2, 3]", does="choosy")],
        {"a": "FAILED"},
        "FAILED",
    ),
    Row("inputs that are no list", UNVERIFIED + "no page", [each("a", "{}")], {"a": "FAILED"}, "FAILED"),
]


def run(row: Row, root: Path) -> Run:
    parameters = [{"name": name, "default": default} for name, default in row.parameters.items()]
    return runner(root, {"main": {"tasks": row.tasks, "parameters": parameters}}).run_job("main", row.given)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_runs_as_the_page_says(row: Row, tmp_path: Path) -> None:
    ended = run(row, tmp_path)
    assert {key: ended.tasks[key].state for key in row.states} == row.states
    assert {key: ended.tasks[key].outcome for key in row.outcomes} == row.outcomes
    seen = dict(reversed(calls))
    assert [name for name, _ in calls].count("refuse") < 2
    assert {name: seen[name] for name in row.argv} == row.argv
    assert ended.state == row.run


def test_every_row_names_a_page_or_says_that_none_does() -> None:
    for row in ROWS:
        assert row.page.startswith(UNVERIFIED) or ": jobs/" in row.page or ": api/" in row.page


TIMES = [
    "iso_datetime",
    "iso_date",
    "iso_weekday",
    "is_weekday",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "timestamp_ms",
]


def test_a_run_s_start_is_known_in_every_documented_form(tmp_path: Path) -> None:
    forms = [f"{{{{job.start_time.{form}}}}}" for form in TIMES]
    ended = run(Row("times", REFERENCES, [wheel("a", parameters=forms)], {}), tmp_path)
    (_, argv), iso = calls[-1], ended.start
    assert argv[:2] == [iso, iso[:10]]
    assert argv[4:10] == [str(int(part)) for part in (iso[:4], iso[5:7], iso[8:10], iso[11:13], iso[14:16], iso[17:19])]
    assert (int(argv[2]) < 6) == (argv[3] == "true")
    assert len(argv[10]) == 13


def test_what_every_task_is_named_in_is_replaced_in_defaults_of_job_parameters(tmp_path: Path) -> None:
    tasks = [wheel("a", named_parameters={})]
    run(Row("defaults", PARAMETERS, tasks, {}, parameters={"run_id": "{{job.run_id}}"}), tmp_path)
    assert calls == [("ok", ["--run_id=1"])]


# --- run_job_task ----------------------------------------------------------------------------------------------------


def parent_and_child(root: Path, given: dict[str, str], child: dict[str, str], parent: dict[str, str]) -> Run:
    def declared(values: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "default": value} for name, value in values.items()]

    call = {"task_key": "call", "run_job_task": {"job_id": "${resources.jobs.child.id}", "job_parameters": given}}
    return runner(
        root,
        {
            "main": {"tasks": [call], "parameters": declared(parent)},
            "child": {"tasks": [wheel("a", named_parameters={})], "parameters": declared(child)},
        },
    ).run_job("main", {})


def test_run_job_gives_parameters_to_the_child_and_the_parent_s_own_are_pushed_down_over_them(tmp_path: Path) -> None:
    """Page: job-parameters ("Run Job" is among the tasks that job parameters are pushed down to, and they win).

    UNVERIFIED: what the platform does with a parent's parameter that the child does not declare; here it stays behind.
    """
    given, child = {"x": "task", "y": "task"}, {"x": "child", "y": "child", "z": "child"}
    ended = parent_and_child(tmp_path, given, child, {"x": "parent", "other": "parent"})
    assert calls == [("ok", ["--x=parent", "--y=task", "--z=child"])]
    assert ended.tasks["call"].state == "SUCCESS"
    assert ended.tasks["call"].child == "2"


def test_a_child_s_parameter_that_does_not_exist_fails_the_task(tmp_path: Path) -> None:
    ended = parent_and_child(tmp_path, {"unknown": "1"}, {}, {})
    assert ended.tasks["call"].state == "FAILED"
    assert "unknown" in ended.tasks["call"].error["message"]


def test_jobs_nest_three_run_job_tasks_deep_and_no_deeper(tmp_path: Path) -> None:
    """Page: jobs/tasks/run-job."""
    jobs: dict[str, Any] = {
        f"j{n}": {"tasks": [{"task_key": "call", "run_job_task": {"job_id": f"${{resources.jobs.j{n + 1}.id}}"}}]}
        for n in range(4)
    }
    made = runner(tmp_path, {**jobs, "j4": {"tasks": [wheel("a")]}})
    assert made.run_job("j1", {}).state == "SUCCESS"
    assert made.run_job("j0", {}).state == "FAILED"


def test_a_failed_child_fails_the_task(tmp_path: Path) -> None:
    call = {"task_key": "call", "run_job_task": {"job_id": "${resources.jobs.child.id}"}}
    ended = runner(tmp_path, {"main": {"tasks": [call]}, "child": {"tasks": [A_BAD]}}).run_job("main", {})
    assert ended.tasks["call"].state == "FAILED"


# --- for_each_task ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_iterations_run_one_by_one_unless_concurrency_says_otherwise(tmp_path: Path, concurrency: int) -> None:
    import threading

    inside, most, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(concurrency, timeout=10)

    def task(argv: Any) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        barrier.wait()
        with lock:
            inside -= 1

    loop = each("a", "[1, 2, 3]")
    loop["for_each_task"]["concurrency"] = concurrency
    made = runner(tmp_path, {"main": {"tasks": [loop]}})
    made.resolve = lambda *_: task
    ended = made.run_job("main", {})
    assert [each.state for each in ended.tasks["a"].iterations] == ["SUCCESS"] * 3
    assert most == concurrency


# --- repair ----------------------------------------------------------------------------------------------------------


def test_a_repair_runs_what_did_not_succeed_with_the_old_parameters_and_values(tmp_path: Path) -> None:
    """Page: api/workspace/jobs/repairrun (rerun_all_failed_tasks): same run, same parameters."""
    tasks = [
        wheel("a", "set_k=7"),
        wheel("b", "fail", "a", named_parameters={"k": "{{tasks.a.values.k}}", "repair": "{{job.repair_count}}"}),
        wheel("c", "ok", "b"),
        wheel("d", "exit_0", "a"),
        wheel("e", "exit_0", "c", run_if="AT_LEAST_ONE_FAILED"),
    ]
    made = runner(tmp_path, {"main": {"tasks": tasks, "parameters": [{"name": "p", "default": "x"}]}})
    broken = made.run_job("main", {"p": "given"})
    assert [broken.tasks[key].state for key in "abcde"] == [
        "SUCCESS",
        "FAILED",
        "UPSTREAM_FAILED",
        "SUCCESS",
        "SUCCESS",
    ]
    calls.clear()
    made.resolve = lambda _, name: toy("ok" if name == "fail" else name)
    mended = made.repair_job("main", {})
    assert (mended.run_id, mended.repair_count, mended.state) == (broken.run_id, 1, "SUCCESS")
    assert calls == [("ok", ["--k=7", "--repair=1", "--p=given"]), ("ok", [])]
    assert mended.tasks["b"].attempts == 2
    assert mended.tasks["a"].values == {"k": 7}


def test_a_repair_needs_a_run_that_did_not_succeed(tmp_path: Path) -> None:
    made = runner(tmp_path, {"main": {"tasks": [A_OK]}})
    with pytest.raises(LaptopError, match="has not run in target 'dev' yet"):
        made.repair_job("main", {})
    made.run_job("main", {})
    with pytest.raises(LaptopError, match="nothing to repair"):
        made.repair_job("main", {})
    with pytest.raises(LaptopError, match="there is no job 'mian': did you mean 'main'"):
        made.repair_job("mian", {})
