"""Reads what is deployed for a target, as `databricks bundle summary -o json` prints it, and starts its jobs.

The laptop writes the same document into its home. Jobs are started and repaired through the SDK in a workspace, and
through the command `laptop` in a home.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from mlops.contract import ConfigError, MlopsError
from mlops.platform import runtime, sdk

_REFERENCE = re.compile(r"\$\{resources\.(\w+)\.(\w+)\.(\w+)\}")
_COMPUTED = {
    ("schemas", "full_name"): "{catalog_name}.{name}",
    ("registered_models", "full_name"): "{catalog_name}.{schema_name}.{name}",
    ("volumes", "volume_path"): "/Volumes/{catalog_name}/{schema_name}/{name}",
}
_FOLLOW_LIMIT = timedelta(hours=4)
"""Seconds to wait for a run; longer than the time limit of any job."""


@dataclass(frozen=True)
class DeployedBundle:
    """One deployed target of the bundle."""

    target: str
    home: Path | None
    """The laptop's home; None: the workspace that the Databricks CLI is logged in to."""
    document: Mapping[str, Any]

    def __str__(self) -> str:
        where = self.home or self.document.get("workspace", {}).get("host", "the workspace")
        return f"target {self.target} in {where}"

    @property
    def model(self) -> str:
        """Return the model's name in this target: catalog.schema.model."""
        return self.parameter_default("deployment", "model_name")

    def parameter_default(self, job: str, parameter: str) -> str:
        """Return the default of a job's parameter.

        Raises:
            ConfigError: the deployed bundle has no such job or parameter.
        """
        defaults = [p["default"] for p in self._find_job(job).get("parameters", ()) if p["name"] == parameter]
        if not defaults:
            raise ConfigError(f"job {job!r} of {self} has no parameter {parameter!r}: deploy this bundle")
        return str(defaults[0])

    def source_model(self, given: Mapping[str, str]) -> str:
        """Return the model that promotion into this target copies: the job's parameter if given, else its default."""
        return given.get("source_model") or self.parameter_default("promotion", "source_model")

    def job_id(self, job: str) -> str:
        """Return the id of a job in this target."""
        return str(self._find_job(job)["id"])

    def command(self, *words: str) -> str:
        """Return a command that a person can type and that acts on this target."""
        return runtime.command_line((*words, "--target", self.target), self.home)

    def run_job(self, job: str, parameters: Mapping[str, str], starter: str | None = None) -> None:
        """Start a job and follow it to its end.

        Args:
            job: its key in the bundle.
            parameters: values that differ from the defaults.
            starter: who starts it, in a home only; None: the user. A workspace knows who is logged in.

        Raises:
            MlopsError: it failed.
        """
        if self.home is not None:
            with runtime.set_starter(starter):
                self._call_laptop("run", job, parameters)
            return
        with sdk.translate_errors(f"job {job} of {self}"):
            started = sdk.workspace_client().jobs.run_now(int(self.job_id(job)), job_parameters=dict(parameters))
            _follow_run(started)

    def repair_job(self, job: str, parameters: Mapping[str, str]) -> None:
        """Repair the newest run of a job that had these parameters: run its failed tasks again.

        Raises:
            MlopsError: there is no such run, or it failed again.
        """
        if self.home is not None:
            self._call_laptop("repair", job, parameters)
            return
        with sdk.translate_errors(f"repairing job {job} of {self}"):
            jobs = sdk.workspace_client().jobs
            for run in jobs.list_runs(job_id=int(self.job_id(job)), completed_only=True):
                given = {p.name: p.value for p in run.job_parameters or []}
                if run.run_id and all(given.get(name) == value for name, value in parameters.items()):
                    _follow_run(jobs.repair_run(run.run_id, rerun_all_failed_tasks=True))
                    return
        raise MlopsError(f"{self} has no run of job {job} with {dict(parameters)} to repair: start the job instead")

    def _find_job(self, key: str) -> Mapping[str, Any]:
        jobs: Mapping[str, Any] = self.document.get("resources", {}).get("jobs", {})
        if key not in jobs:
            raise ConfigError(f"{self} has no job {key!r}; it has {', '.join(sorted(jobs)) or 'none'}")
        return dict(jobs[key])

    def _call_laptop(self, verb: Literal["run", "repair"], job: str, parameters: Mapping[str, str]) -> None:
        given = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]
        arguments = ["run", job, *(["--repair"] if verb == "repair" else []), *given]
        entry_points = importlib.metadata.entry_points(group="console_scripts", name="laptop")
        if not entry_points:
            raise ConfigError("the command `laptop` is not installed here: run this in a checkout, after `uv sync`")
        # In this process, so that a chain of commands shares one Spark session.
        try:
            next(iter(entry_points)).load()([*arguments, "--target", self.target, "--home", str(self.home)])
        except SystemExit as end:
            if end.code:
                raise MlopsError(f"`laptop {' '.join(arguments)}` ended with exit code {end.code}, see above") from None


def fill_references(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the references `${resources...}` that the Databricks CLI leaves in a document.

    A reference to something that does not exist yet stays, such as the id of a job before the first deployment.
    """
    resources = document.get("resources", {})

    def fill_match(match: re.Match[str]) -> str:
        kind, key, name = match.groups()
        body = resources.get(kind, {}).get(key, {})
        if body and name not in body and (kind, name) in _COMPUTED:
            return _REFERENCE.sub(fill_match, _COMPUTED[kind, name].format_map(body))
        return _REFERENCE.sub(fill_match, str(body[name])) if name in body else match[0]

    def fill(node: Any) -> Any:
        match node:
            case dict():
                return {name: fill(child) for name, child in node.items()}
            case list():
                return [fill(child) for child in node]
            case str():
                return _REFERENCE.sub(fill_match, node)
        return node

    return dict(fill(dict(document)))


def _follow_run(waiting: Any) -> None:
    """Wait for a run's end; print its page and each change of its state to stderr.

    Raises:
        MlopsError: the run did not succeed.
    """
    from databricks.sdk.service.jobs import RunResultState

    states: list[str] = []

    def print_state(run: Any) -> None:
        state = run.state.life_cycle_state.value
        if not states:
            sys.stderr.write(f"{run.run_page_url}\n")
        if states[-1:] != [state]:
            states.append(state)
            sys.stderr.write(f"run {run.run_id}: {state}\n")

    run = waiting.result(timeout=_FOLLOW_LIMIT, callback=print_state)
    if run.state.result_state != RunResultState.SUCCESS:
        raise MlopsError(f"run {run.run_id} did not end well ({run.state.state_message}), see {run.run_page_url}")


def load_deployed(target: str, home: Path | None) -> DeployedBundle:
    """Read what is deployed for a target.

    Raises:
        ConfigError: nothing is deployed, or the Databricks CLI is missing or not logged in.
    """
    if home is not None:
        file = home / "summary" / f"{target}.json"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in file.parent.glob("*.json"))) or "no target yet"
            cure = runtime.command_line(("laptop", "run", "sample", "--target", target), home)
            raise ConfigError(f"{home} knows {known}, not {target!r}: run a job of it first, as in: {cure}")
        return DeployedBundle(target, home.resolve(), json.loads(file.read_text()))
    cli = shutil.which("databricks")
    if cli is None:
        raise ConfigError("the Databricks CLI is not on the PATH; install it, or name a laptop's home with --home DIR")
    answer = subprocess.run(  # noqa: S603 (a fixed command; the target is one argument)
        [cli, "bundle", "summary", "--target", target, "--output", "json"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise ConfigError(f"databricks bundle summary failed for target {target!r}: {answer.stderr.strip()}")
    return DeployedBundle(target, None, fill_references(json.loads(answer.stdout)))
