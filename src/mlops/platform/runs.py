"""Read and write MLflow runs: parameters, metrics, documents, input tables, and the figures of a logged model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.contract import Forbidden
from mlops.contract.model_version import Version
from mlops.platform import run_links
from mlops.platform.home_store import FILE, check_store, explain_store_errors
from mlops.platform.uc_limits import translate_permission_errors

if TYPE_CHECKING:
    from mlflow.entities import Run, RunData

_LOG = logging.getLogger(__name__)
_QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # the requirements are given; without this MLflow runs `uv export` at each log
}


class Runs:
    """MLflow's tracking server.

    Args:
        home: the laptop's home folder; None: the workspace that MLflow is logged in to.
    """

    def __init__(self, home: Path | None) -> None:
        os.environ.update(_QUIET)
        # `mlflow run` names its own run here, and MLflow would open that one, of another experiment or store, as ours.
        os.environ.pop("MLFLOW_RUN_ID", None)
        if home is not None:
            os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        import mlflow

        if home is not None:
            home.mkdir(parents=True, exist_ok=True)
            check_store(home)
        self._file = None if home is None else home / FILE
        self._artifacts = None if home is None else home / "artifacts"
        uri = "databricks" if home is None else f"sqlite:///{self._file}"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri("databricks-uc" if home is None else uri)
        self._client = translate_permission_errors(mlflow.MlflowClient(), self._file)

    @contextmanager
    def open_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Open a run in an experiment, which is made if it does not exist; yields the run's id.

        The run fails if the body raises. Within another run it becomes a nested run.
        """
        import mlflow

        existing = self._client.get_experiment_by_name(experiment)
        if existing is None:
            own = self._artifacts
            place = None if own is None else (own / experiment.strip("/").replace("/", "_")).as_uri()
            experiment_id = self._client.create_experiment(experiment, artifact_location=place)
        else:
            experiment_id = existing.experiment_id
        with (
            explain_store_errors(self._file),
            mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=dict(tags), nested=True) as run,
        ):
            yield run.info.run_id

    def log_to_run(
        self,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        documents: Mapping[str, str],
        *,
        model_id: str | None = None,
    ) -> None:
        """Log parameters, metrics and text files by name to the open run, and the metrics to a logged model, too."""
        import mlflow

        mlflow.log_params(dict(parameters))
        mlflow.log_metrics(dict(metrics), model_id=model_id)
        for name, text in documents.items():
            mlflow.log_text(text, name)
        run_links.note_pages(documents)

    def read_document(self, run_id: str, name: str) -> str:
        """Read a text file of a run."""
        import mlflow

        return str(mlflow.artifacts.load_text(f"runs:/{run_id}/{name}"))

    def read_run_tags(self, run_id: str) -> Mapping[str, str]:
        """Read the tags of a run; empty if it cannot be read, as a run of another workspace."""
        data = self._find_run_data(run_id)
        return {} if data is None else dict(data.tags)

    def read_metrics(self, run_id: str) -> Mapping[str, float]:
        """Read the metrics of a run; empty if it cannot be read, as a run of another workspace."""
        data = self._find_run_data(run_id)
        return {} if data is None else dict(data.metrics)

    def _find_run_data(self, run_id: str) -> RunData | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id).data if run_id else None
        except (MlflowException, Forbidden):
            return None

    def search_runs(self, experiment: str, tags: Mapping[str, str]) -> Sequence[Run]:
        """Find the runs of an experiment that have the given tags, newest first; empty if there is no experiment."""
        existing = self._client.get_experiment_by_name(experiment)
        if existing is None:
            return []
        query = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
        return list(self._client.search_runs([existing.experiment_id], query, order_by=["attributes.start_time DESC"]))

    def find_newest_run(self, experiment: str, tag: str, value: str) -> tuple[str, Mapping[str, float]] | None:
        """Find the newest run of an experiment that has a tag; returns its name and its metrics."""
        runs = self.search_runs(experiment, {tag: value})
        return (runs[0].info.run_name or "", dict(runs[0].data.metrics)) if runs else None

    def log_tables(self, tables: Mapping[str, int], context: str = "training") -> None:
        """Log tables, catalog.schema.table, and their versions as inputs of the open run.

        Unity Catalog draws the lineage of a version from the inputs of its run that name a table and have its id.
        """
        import mlflow
        from mlflow.data.delta_dataset_source import DeltaDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        # On a laptop by path: given a name, MLflow would ask a workspace for the table's id.
        key = "delta_table_name" if self._file is None else "path"
        for name, version in tables.items():
            source = DeltaDatasetSource(**{key: name}, delta_table_version=version)
            dataset = MetaDataset(source, name=name, digest=f"version {version}")  # type: ignore[abstract]
            mlflow.log_input(dataset, context=context)

    def link_model(self, version: Version) -> str | None:
        """Make a version's logged model an input of the open run, and return its id for `log_to_run`.

        The training run names the logged model. A laptop's registry does not, and a copy keeps the run of its original.

        Returns:
            None if it cannot be read, because it is in another workspace or was deleted.
        """
        import mlflow
        from mlflow.entities import LoggedModelInput
        from mlflow.exceptions import MlflowException

        try:
            outputs = self._client.get_run(version.run_id).outputs
            model_id = outputs.model_outputs[0].model_id if outputs and outputs.model_outputs else ""
            self._client.get_logged_model(model_id)
        except (MlflowException, Forbidden) as error:
            _LOG.warning("the figures of %s are in this run only: its logged model cannot be read: %s", version, error)
            return None
        mlflow.log_input(model=LoggedModelInput(model_id))
        return str(model_id)
