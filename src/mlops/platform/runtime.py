"""Tell whether the wheel runs on Databricks or on a laptop. This is the only module that reads the environment.

On Databricks none of these variables is set. On a laptop the runner sets LAPTOP_HOME, the folder that holds all state,
and LAPTOP_IDENTITY, the identity that the job runs as; `mlops approve` sets LAPTOP_STARTER, the person who started it.
Spark session and task values have the same functions on both.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.contract import clean_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_STARTER = "LAPTOP_STARTER"


def home() -> Path | None:
    """The laptop's home folder, absolute; None on Databricks."""
    folder = os.environ.get("LAPTOP_HOME")
    return Path(folder).resolve() if folder else None


def spark() -> SparkSession:
    """Return the Spark session of the platform, with the time zone UTC whatever the workspace's default is."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session


def identity() -> str:
    """Return the identity of the process: a user name or a service principal's application id."""
    if home() is not None:
        return os.environ.get("LAPTOP_IDENTITY") or getpass.getuser()
    from databricks.sdk import WorkspaceClient

    return WorkspaceClient().current_user.me().user_name or ""


def starter(run_id: str) -> str:
    """Return who started a job run, according to the platform and never to a parameter; "" if unknown."""
    if home() is not None:
        return clean_text(os.environ.get(_STARTER) or getpass.getuser())
    from databricks.sdk import WorkspaceClient

    return WorkspaceClient().jobs.get_run(int(run_id)).creator_user_name or ""


@contextmanager
def set_starter(name: str | None) -> Iterator[None]:
    """Set who starts the jobs that a home runs within the context; None: the user of the process."""
    before = os.environ.get(_STARTER)
    os.environ.update({_STARTER: name} if name else {})
    try:
        yield
    finally:
        os.environ.pop(_STARTER, None)
        os.environ.update({_STARTER: before} if before else {})


def target_settings(catalog: str, schema: str) -> Mapping[str, str] | None:
    """Read a schema's properties, which the bundle sets and the person who starts a job cannot change.

    Returns:
        The properties; None on a laptop whose home knows no deployment of the schema.
    """
    folder = home()
    if folder is None:
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient().schemas.get(f"{catalog}.{schema}").properties or {}
    for file in sorted(folder.glob("summary/*.json")):
        known = json.loads(file.read_text()).get("resources", {}).get("schemas", {})
        for body in known.values():
            if (body.get("catalog_name"), body.get("name")) == (catalog, schema):
                return {name: str(value) for name, value in body.get("properties", {}).items()}
    return None


def command(*words: str) -> str:
    """Write a command for a person to type, with the home of this process if there is one."""
    return command_line(words, home())


def command_line(words: Sequence[str], folder: Path | None) -> str:
    """Quote words for a shell, and add the option for the home `folder` if there is one."""
    return shlex.join([*words, *(["--home", str(folder)] if folder else [])])


def now() -> datetime:
    """Read the clock, UTC, for the time of an approval or a row. Computations use `as_of` instead."""
    return datetime.now(UTC)


def set_task_value(key: str, value: str) -> None:
    """Set a task value, which later tasks read as `{{tasks.<task>.values.<key>}}`."""
    from databricks.sdk.runtime import dbutils

    dbutils.jobs.taskValues.set(key=key, value=value)


def start_job(job_id: str, parameters: Mapping[str, str]) -> None:
    """Start a job without waiting: at once on Databricks, on a laptop after the current job has ended.

    Args:
        job_id: as the bundle resolves `${resources.jobs.<key>.id}`.
        parameters: job parameters that differ from their defaults.
    """
    folder = home()
    if folder is None:
        from databricks.sdk import WorkspaceClient

        WorkspaceClient().jobs.run_now(int(job_id), job_parameters=dict(parameters))
        return
    queue = folder / "queue"
    queue.mkdir(parents=True, exist_ok=True)
    request = queue / f"{time.time_ns()}.json"
    half_written = request.with_suffix(".tmp")
    half_written.write_text(json.dumps({"job_id": job_id, "job_parameters": dict(parameters)}))
    half_written.rename(request)
