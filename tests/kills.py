"""A task in a process of its own that is killed, with SIGKILL, right before its n-th write to anything.

Processes are forked from one that has imported everything and has opened nothing: 0.1 s each, not 10.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from functools import wraps

_WRITES = ("create_", "set_", "delete_", "log_", "update_", "finalize_", "rename_")
_IMPORTS = (
    "life", "kills", "mlflow.sklearn", "skops.io", "joblib", "pyspark.sql.connect.session", "threadpoolctl",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    *(f"mlops.jobs.{task}" for task in ("training", "validation", "deployment", "promotion", "rollback")),
)  # fmt: skip


class Killer:
    """Starts tasks that end before their n-th write."""

    def __init__(self):
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(list(_IMPORTS))

    def kills(self, write, task, target, job):
        """Whether there was an n-th write; else the task ended by itself, and well."""
        process = self.processes.Process(target=_end_before, args=(write, task, target, job))
        process.start()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, f"{task} ended with {process.exitcode}"
        return process.exitcode != 0


def _end_before(write, task, target, job):
    from life import Life
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Versions
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    from mlops.platform import runtime
    from mlops.platform.tables import Schema

    seen = 0

    def deadly(genuine):
        @wraps(genuine)
        def call(*given, **named):
            nonlocal seen
            seen += 1
            if seen == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return genuine(*given, **named)

        return call

    def arm(owner, *names):
        for name in names:
            setattr(owner, name, deadly(getattr(owner, name)))

    for store in (Versions, Runs):
        arm(store, *(name for name in dir(store) if name.startswith(_WRITES)))
    arm(LocalArtifactRepository, "log_artifact", "log_artifacts")
    arm(Schema, "create_table", "_merge", "append_numbered")
    arm(shutil, "copytree")
    runtime.set_task_value = deadly(lambda *_: None)
    life = Life()
    life.run(task, getattr(life, task)(target, **job))
