"""Where the wheel runs: the only module that asks, and the only one that reads the environment.

On Databricks nothing is set. On a laptop the runner sets LAPTOP_HOME, the folder that holds all state, and
LAPTOP_IDENTITY, who the job runs as; the Spark session and task values are reached by the same calls on both.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def home() -> Path | None:
    """The laptop's home folder, absolute; None on Databricks."""
    folder = os.environ.get("LAPTOP_HOME")
    return Path(folder).resolve() if folder else None


def spark() -> SparkSession:
    """The session that the platform has started; times are UTC whatever the workspace's default."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session


def identity() -> str:
    """Who runs this: a user name or a service principal's application id."""
    if home() is not None:
        return os.environ.get("LAPTOP_IDENTITY") or getpass.getuser()
    from databricks.sdk import WorkspaceClient

    return WorkspaceClient().current_user.me().user_name or ""


def now() -> datetime:
    """The clock, UTC: for when a person approved and a row was written. What a job computes goes by `as_of`."""
    return datetime.now(UTC)


def set_task_value(key: str, value: str) -> None:
    """Publish a value to the tasks that depend on this one, as `{{tasks.<task>.values.<key>}}`."""
    from databricks.sdk.runtime import dbutils

    dbutils.jobs.taskValues.set(key=key, value=value)


def start_job(job_id: str, parameters: Mapping[str, str]) -> None:
    """Start a job and do not wait: at once on Databricks, on a laptop when the job that asks has ended.

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
