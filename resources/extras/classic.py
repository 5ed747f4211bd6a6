"""Jobs on classic compute, for workspaces without serverless.

To switch it on, write at the root of databricks.yml:

    python:
      venv_path: .venv
      mutators:
        - resources.extras.classic:on_a_cluster

Each job then starts a cluster of its own and every task runs there, with the libraries of its environment.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from databricks.bundles.core import job_mutator
from databricks.bundles.jobs import Job, JobCluster, Library, Task

KEY = "classic"
CLUSTER: dict[str, Any] = {
    "spark_version": "19.0.x-cpu-ml-scala2.13",  # environment version 6 is made of it
    "node_type_id": "Standard_D4ds_v5",
    "num_workers": 1,
    "data_security_mode": "SINGLE_USER",
    "azure_attributes": {"availability": "ON_DEMAND_AZURE"},
}


@job_mutator
def on_a_cluster(job: Job) -> Job:
    """The job with a cluster in place of its environments."""
    libraries = {
        each["environment_key"]: _libraries(each["spec"]["dependencies"]) for each in _plain(job)["environments"]
    }
    tasks = [_moved(task, libraries) for task in job.tasks]
    cluster = JobCluster.from_dict({"job_cluster_key": KEY, "new_cluster": CLUSTER})  # type: ignore[typeddict-item]
    # A performance target is for serverless compute.
    return dataclasses.replace(job, tasks=tasks, environments=[], job_clusters=[cluster], performance_target=None)


def _plain(job: Job) -> dict[str, Any]:
    return dict(job.as_dict())


def _moved(task: Any, libraries: dict[str, list[Any]]) -> Any:
    if not isinstance(task, Task) or task.environment_key is None:
        return task
    wanted = libraries[str(task.environment_key)]
    return dataclasses.replace(
        task, environment_key=None, disable_auto_optimization=None, job_cluster_key=KEY, libraries=wanted
    )


def _libraries(dependencies: list[str]) -> list[Any]:
    """A wheel by its path, seen from the root of the bundle; all else from the package index."""
    wheels = [{"whl": name.replace("../", "./")} for name in dependencies if name.endswith(".whl")]
    named = [{"pypi": {"package": name}} for name in dependencies if not name.endswith(".whl")]
    return [Library.from_dict(each) for each in (*wheels, *named)]  # type: ignore[arg-type]
