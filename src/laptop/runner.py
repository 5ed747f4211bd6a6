"""Runs a job of the bundle as the platform would, one task after another.

    Runner.run ─ _execute ─ _attempts ─ _attempt ─┬─ python_wheel_task  a thread, by entry point name and argv
        │                                         ├─ notebook, Python, SQL  a thread, by file
        │                                         ├─ condition_task     compares two texts
        └── its own Run in the journal            ├─ for_each_task      _attempts, `concurrency` at a time
                                                  └─ run_job_task       _execute
Independent tasks run one after another in this process: each further process would start its own Spark.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Literal

from laptop import runtime, task_states
from laptop.bundle import Bundle, BundleError
from laptop.console import Console
from laptop.document import suggest_name
from laptop.file_tasks import GetSession, find_task_file, run_file_task
from laptop.home import Home, LaptopError, job_identity, set_environment
from laptop.parameters import InvalidRunError, check_parameters, loop_inputs, wheel_arguments
from laptop.references import Scope, UnknownReferenceError, to_platform_text
from laptop.refusals import refuse_unsupported
from laptop.resolution import job_id
from laptop.run_queue import Request, next_request
from laptop.run_store import GOOD, Run, RunStore, State, TaskRun, current_time
from laptop.task_errors import describe_error, is_error
from laptop.task_thread import Limits, Main, entry_point, parameter_check, run_interruptible

_RESUMES = 3  # resumptions of an interrupted run: a run that always ends its process would be resumed for ever


@dataclass
class Runner:
    """Runs jobs of one bundle in one home, which the caller holds open."""

    bundle: Bundle
    home: Home
    show: Console
    spark: ModuleType | None = None
    """`laptop.spark`; None for tasks that need no Spark."""
    resolve: Callable[[str, str], Main] = entry_point
    """Returns the function of a package's entry point; tests replace it."""
    find_check: Callable[[str], Main | None] = parameter_check
    """Returns a package's function that refuses malformed parameters; tests replace it."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Setting it stops all tasks as soon as possible."""

    def __post_init__(self) -> None:
        self.journal = RunStore(self.home.path / "runs")

    def check_request(self, job: str, parameters: Mapping[str, str]) -> None:
        """Refuse a run that cannot succeed, before anything is changed.

        Raises:
            LaptopError: an unknown job or parameter.
            BundleError: the job has parts that cannot run on a laptop.
        """
        if job not in self.bundle.jobs:
            raise InvalidRunError(f"there is no job {job!r}: {suggest_name(job, self.bundle.jobs)}")
        for name in parameters:
            if name not in self._job_parameters(job):
                raise InvalidRunError(
                    f"job {job!r} has no parameter {name!r}: {suggest_name(name, self._job_parameters(job))}"
                )
        refuse_unsupported(self.bundle, job)

    def _job_parameters(self, job: str) -> dict[str, Any]:
        """Its parameters with their defaults."""
        return {
            parameter["name"]: parameter.get("default", "") for parameter in self.bundle.jobs[job].get("parameters", [])
        }

    # --- jobs --------------------------------------------------------------------------------------------------------

    def run_job(self, job: str, parameters: Mapping[str, str]) -> Run:
        """Run a job to its end.

        Args:
            job: its key in the bundle.
            parameters: job parameters that differ from their defaults.

        Raises:
            LaptopError, BundleError: as `check_request`. Nothing ran.
        """
        return self._execute_run(self._new_run(job, parameters, "onetime"), Limits(), 0)

    def repair_job(self, job: str, given: Mapping[str, str]) -> Run:
        """Run the tasks again that did not succeed in the newest run of a job, with its parameters and task values.

        Args:
            job: its key in the bundle.
            given: parameters that the run must have had.

        Raises:
            LaptopError: there is no such run, or nothing to repair.
        """
        self.check_request(job, given)
        run = self.journal.latest_run(job, self.bundle.target, given)
        if run is None:
            which = f" with {', '.join(f'{name}={value}' for name, value in given.items())}" if given else ""
            where = f"target {self.bundle.target!r}"
            raise LaptopError(f"job {job!r} has not run in {where}{which} yet; run it without --repair")
        if run.state == "SUCCESS" and not self._next_request(set()):
            raise LaptopError(f"run {run.run_id} of job {job!r} has succeeded; there is nothing to repair")
        return run if run.state == "SUCCESS" else self._repair(run)

    def _repair(self, run: Run) -> Run:
        run.repair_count += 1
        for key, fresh in self._new_tasks(self.bundle.jobs[run.job]["tasks"], run).items():
            before = run.tasks.get(key, fresh)
            if before.state not in GOOD:
                fresh.attempts = before.attempts
                run.tasks[key] = fresh
        return self._execute_run(run, Limits(), 0)

    def work_off_queue(self) -> Iterator[Run]:
        """Run the requests in the queue, oldest first, until none is left for a job of this target.

        A request leaves the queue after its run. If this process is killed before, the next command resumes the run.
        """
        left: set[str] = set()
        while (request := self._next_request(left)) and not self.cancelled.is_set():
            job = task_states.job_of(self.bundle, request.job_id) or ""
            run = self.journal.of_request(request.name)
            if run and run.state == "CANCELED" and run.repair_count >= _RESUMES:
                often = f"run {run.run_id} of job {job!r} was cut off {run.repair_count + 1} times"
                words = ("laptop", "run", job, "-t", run.target, "--repair", "--home", str(self.home.path))
                self.show.print_line(f"{often} and is not resumed: run {shlex.join(words)}; see {request.refuse()}")
                continue
            try:
                if run is None:
                    run = self._execute_run(
                        self._new_run(job, request.parameters, "onetime", request.name), Limits(), 0
                    )
                elif run.state == "CANCELED":
                    self.show.print_line(f"run {run.run_id} of job {job!r} was cut off; it goes on")
                    run = self._repair(run)
            except (InvalidRunError, UnknownReferenceError, BundleError) as error:
                self.show.print_line(f"job {job!r} was asked for and refuses: {error}; see {request.refuse()}")
                continue
            request.finish()
            yield run

    def _next_request(self, left: set[str]) -> Request | None:
        return next_request(self.home.path, self.bundle, self.show.print_line, left)

    def _new_run(
        self, job: str, given: Mapping[str, str], trigger: Literal["onetime", "run_job_task"], request: str = ""
    ) -> Run:
        self.check_request(job, given)
        document = self.bundle.jobs[job]
        run = Run(
            run_id=self.journal.next_id(),
            job=job,
            name=document.get("name", "Untitled"),
            job_id=job_id(self.bundle.target, job),
            target=self.bundle.target,
            trigger=trigger,
            identity=job_identity(document),
            start=current_time(),
            request=request,
        )
        run.tasks = self._new_tasks(document["tasks"], run)
        for name, default in self._job_parameters(job).items():
            run.parameters[name] = Scope(run).fill_references(given.get(name, default))
        check_parameters(document["tasks"], run, self.find_check)
        self.journal.save_run(run)
        return run

    def _new_tasks(self, tasks: list[dict[str, Any]], run: Run) -> dict[str, TaskRun]:
        first = int(run.run_id) * 10_000 + run.repair_count * 100
        return {key: TaskRun(key, str(first + number)) for number, key in enumerate(task_states.in_order(tasks))}

    def _execute_run(self, run: Run, limits: Limits, depth: int) -> Run:
        document = self.bundle.jobs[run.job]
        specs = {spec["task_key"]: spec for spec in document["tasks"]}
        begin = time.monotonic()
        limits = limits.within(document.get("timeout_seconds"))
        run.state, run.pid = "RUNNING", os.getpid()
        self.journal.active.add(run.run_id)
        self.show.start_run(run, self.journal.log_path(run.run_id))
        if self.spark and task_states.runs_code(self.bundle, document["tasks"]):
            self.spark.start_server(self.home.path, self.show.print_line)
        with set_environment(LAPTOP_IDENTITY=run.identity):
            for key in task_states.in_order(document["tasks"]):
                task = run.tasks[key]
                if task.state != "PENDING":
                    continue
                if unmet := task_states.skip_state(specs[key], run.tasks):
                    self._set_state(run, task, unmet)
                else:
                    self._run_attempts(_Step(run, specs[key], task, depth), limits)
        cut = any(task.state == "CANCELED" for task in run.tasks.values())
        run.state = (cut and self._stop_state(limits)) or task_states.job_state(document["tasks"], run.tasks)
        run.duration = round(time.monotonic() - begin, 3)
        self.journal.save_run(run)
        self.show.end_run(run)
        return run

    def _stop_state(self, limits: Limits) -> State | None:
        """Return the state with which a task or run with these limits must stop; None: it may go on."""
        moment = time.monotonic()
        if self.cancelled.is_set() or moment > limits.outer:
            return "CANCELED"
        return "TIMEDOUT" if moment > limits.own else None

    def _set_state(self, run: Run, task: TaskRun, state: State) -> None:
        task.state = state
        self.journal.save_run(run)
        self.show.update_task(run, task)

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _run_attempts(self, step: _Step, limits: Limits) -> None:
        """Run a task, and retry it as often as it allows. Never raises; the run's record has the result.

        The platform retries after every error; here an error that a user must mend is final.
        """
        task, spec = step.task, step.spec
        retries = spec.get("max_retries", 0)
        part = limits.within(None)
        while True:
            if self._stop_state(part):
                self._set_state(step.run, task, "CANCELED")
                return
            begin = time.monotonic()
            task.attempts, task.start, task.error = task.attempts + 1, current_time(), None
            self._set_state(step.run, task, "RUNNING")
            state, error = self._run_attempt(step, limits.within(spec.get("timeout_seconds")))
            log = self.journal.log_path(step.run.run_id)
            task.error = describe_error(error, state, spec.get("timeout_seconds"), log) if error else None
            task.duration = round(task.duration + time.monotonic() - begin, 3)
            self._set_state(step.run, task, state)
            final = is_error(error, "MlopsError") if state == "FAILED" else not spec.get("retry_on_timeout")
            if state not in {"FAILED", "TIMEDOUT"} or final or retries == 0:
                return
            retries -= 1
            due = begin + spec.get("min_retry_interval_millis", 0) / 1000
            if due > time.monotonic() + 1:
                self.show.print_line(f"  {task.key} is tried again in {due - time.monotonic():.0f} s")
            while time.monotonic() < due and not self._stop_state(part):
                time.sleep(0.02)

    def _run_attempt(self, step: _Step, limits: Limits) -> tuple[State, BaseException | None]:
        kind = next(kind for kind in task_states.KINDS if kind in step.spec)
        try:
            getattr(self, f"_{kind}")(step, step.spec[kind], limits)
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its end, not ours
            return self._stop_state(limits) or "FAILED", error
        return "SUCCESS", None

    def _python_wheel_task(self, step: _Step, what: Mapping[str, Any], limits: Limits) -> None:
        argv = wheel_arguments(what, step.scope)

        def prepare() -> Callable[[GetSession], object]:
            main = self.resolve(what["package_name"], what["entry_point"])  # imports while Spark still starts
            return lambda _: main(argv)

        self._run_code(step, limits, prepare)

    def _run_file_task(self, step: _Step, what: Mapping[str, Any], limits: Limits) -> None:
        kind = next(kind for kind in task_states.FILE_KINDS if kind in step.spec)
        file = find_task_file(self.bundle, step.run.job, step.spec["task_key"], kind)
        self._run_code(step, limits, lambda: partial(run_file_task, kind, what, file, step.scope, self.home.path))

    _notebook_task = _spark_python_task = _sql_task = _run_file_task

    def _run_code(self, step: _Step, limits: Limits, prepare: Callable[[], Callable[[GetSession], object]]) -> None:
        """Run what `prepare` returns, with the way to get Spark's session, in a thread that can be stopped."""
        tag = f"task-{step.task.run_id}-{step.task.attempts}"
        sessions: list[Any] = []

        def body() -> None:
            runtime.current.set(runtime.Current(step.run, step.task, lambda: self.journal.save_run(step.run)))
            if self.spark:
                self.spark.offer_session(tag, sessions)
            run = prepare()
            try:
                run(self.spark.get_session if self.spark else lambda: None)
            except SystemExit as end:
                if end.code:
                    raise

        def stop() -> None:
            for session in sessions:
                with suppress(Exception):  # it may be ending by itself
                    session.interruptTag(tag)

        run_interruptible(body, lambda: self._stop_state(limits), stop)

    def _condition_task(self, step: _Step, what: Mapping[str, Any], _: Limits) -> None:
        left, right = (step.scope.fill_references(what[side], scalars=True) for side in ("left", "right"))
        step.task.outcome = to_platform_text(task_states.evaluate_condition(what["op"], left, right))

    def _for_each_task(self, step: _Step, what: Mapping[str, Any], limits: Limits) -> None:
        inputs = loop_inputs(what["inputs"], step.task.key, step.scope)
        spec, name = what["task"], what["task"]["task_key"]
        step.task.iterations = [TaskRun(f"{name}[{n}]", f"{step.task.run_id}{n:04}") for n in range(len(inputs))]

        def one(number: int) -> None:
            part = _Step(step.run, spec, step.task.iterations[number], step.depth, inputs[number])
            self._run_attempts(part, limits)

        with ThreadPoolExecutor(what.get("concurrency", 1)) as pool:
            list(pool.map(one, range(len(inputs))))
        failed = [record.key for record in step.task.iterations if record.state not in GOOD]
        if failed:
            raise LaptopError(f"{len(failed)} of {len(inputs)} iterations did not succeed: {', '.join(failed)}")

    def _run_job_task(self, step: _Step, what: Mapping[str, Any], limits: Limits) -> None:
        if step.depth == task_states.RUN_JOB_LEVELS:
            raise LaptopError(f"task {step.task.key!r} would nest run_job_tasks more than {step.depth} deep")
        job = task_states.job_of(self.bundle, what["job_id"])
        if job is None:
            raise LaptopError(f"task {step.task.key!r} runs job {what['job_id']}, which is not in this bundle")
        given = {name: step.scope.fill_references(value) for name, value in what.get("job_parameters", {}).items()}
        # Job parameters override the task's own, as for every task with named parameters (jobs/job-parameters).
        given |= {name: step.run.parameters[name] for name in self._job_parameters(job) if name in step.run.parameters}
        run = self._new_run(job, given, "run_job_task")
        step.task.child = run.run_id
        self._execute_run(run, limits, step.depth + 1)
        if run.state not in GOOD:
            raise LaptopError(f"run {run.run_id} of job {job!r} ended {run.display_state()}")


@dataclass(frozen=True)
class _Step:
    """One task of a run, to be executed."""

    run: Run
    spec: Mapping[str, Any]
    task: TaskRun
    depth: int
    input: Any = None

    @property
    def scope(self) -> Scope:
        return Scope(self.run, self.task, self.input)
