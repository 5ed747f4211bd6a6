"""Read and write MLflow models, versions and aliases. Only this module and `runs` use MLflow's client.

On a laptop, tracking and registry are one sqlite file; on Databricks, they are the workspace and Unity Catalog. Both
refuse what Unity Catalog refuses: a name that is not catalog.schema.model, a model without full signature.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.contract import Model, ModelError
from mlops.contract.model_version import Version, VersionFacts, require_fact
from mlops.platform import model_scan
from mlops.platform.model_scan import REWRITTEN, artifact_digest
from mlops.platform.runs import Runs
from mlops.platform.uc_limits import (
    check_name,
    check_tags,
    local_path,
    permission_errors,
    unless_absent,
)

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models.model import ModelInfo
    from sklearn.pipeline import Pipeline


class Registry(Runs):
    """MLflow's tracking server and model registry.

    Args:
        home: the laptop's home folder; None: the workspace that MLflow is logged in to.
    """

    def register_model(
        self,
        model: str,
        pipeline: Pipeline,
        example: pd.DataFrame,
        *,
        method: str,
        trusted_types: Sequence[str],
        requirements: Sequence[str],
        facts: VersionFacts,
        tags: Mapping[str, str],
        description: str = "",
    ) -> Version:
        """Log a fitted pipeline to the open run and register it; returns the version that this call made.

        The facts, with the digest of the files, become tags of the run before there is a version, so that no version
        lacks them. One call makes the version and its own tags. A served version answers with the pipeline's
        `method`, predict or predict_proba.
        """
        import mlflow

        check_name(model)
        check_tags(tags)
        info = self.log_model(pipeline, example, method=method, trusted_types=trusted_types, requirements=requirements)
        self._ensure_model(model)
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            files = mlflow.artifacts.download_artifacts(artifact_uri=info.model_uri, dst_path=folder)
            mlflow.set_tags(replace(facts, artifact_digest=artifact_digest(Path(files))).to_tags())
        made = self._client.create_model_version(
            model, source=info.model_uri, run_id=info.run_id, model_id=info.model_id, tags=dict(tags),
            description=description,
        )  # fmt: skip
        return self.get_version(model, int(made.version))

    def log_model(
        self,
        pipeline: Pipeline,
        example: pd.DataFrame,
        *,
        method: str,
        trusted_types: Sequence[str],
        requirements: Sequence[str],
    ) -> ModelInfo:
        """Log a fitted pipeline to the open run, in the format skops, and register nothing."""
        import mlflow
        from mlflow.models import infer_signature

        info: ModelInfo = mlflow.sklearn.log_model(
            pipeline,
            name="model",
            serialization_format="skops",
            skops_trusted_types=[*model_scan.HARMLESS, *trusted_types],
            pyfunc_predict_fn=method,
            signature=infer_signature(example, getattr(pipeline, method)(example)),
            input_example=example,
            pip_requirements=list(requirements),
        )
        return info

    def get_version(self, model: str, number: int) -> Version:
        """Read a version by its number.

        Raises:
            ModelError: there is no such model or version; names the versions that exist.
        """
        check_name(model)
        version = self._find_version(model, number)
        if version is None:
            known = ", ".join(str(v.number) for v in self.list_versions(model)) or "none"
            raise ModelError(f"{model} has no version {number}; versions: {known}")
        return version

    def list_versions(self, model: str, since: datetime | None = None) -> tuple[Version, ...]:
        """List the versions created since a moment, or all, oldest first; empty if there is no such model.

        Each one costs a call.
        """
        check_name(model)
        first = 0 if since is None else since.timestamp() * 1000
        listed = self._client.search_model_versions(f"name = '{model}'")
        # Unity Catalog's search gives neither tags nor aliases; and a version may be deleted between the two calls.
        numbers = sorted(int(version.version) for version in listed if version.creation_timestamp >= first)
        return tuple(version for number in numbers if (version := self._find_version(model, number)))

    def _find_version(self, model: str, number: int) -> Version | None:
        entity = unless_absent(lambda: self._client.get_model_version(model, str(number)))
        return None if entity is None else self._to_version(entity)

    def find_alias_holder(self, model: str, alias: str) -> Version | None:
        """Find the version that an alias points at; None: there is no such alias."""
        check_name(model)
        entity = unless_absent(lambda: self._client.get_model_version_by_alias(model, alias))
        return None if entity is None else self._to_version(entity)

    def set_alias(self, version: Version, alias: str) -> None:
        """Point an alias at a version, and check by reading it back."""
        self._client.set_registered_model_alias(version.model, alias, str(version.number))
        holder = self.find_alias_holder(version.model, alias)
        if holder is None or holder.number != version.number:
            raise ModelError(
                f"alias {alias} of {version.model} does not point at version {version.number} after it was set"
            )

    def drop_alias(self, model: str, alias: str) -> None:
        """Delete an alias if it exists."""
        if self.find_alias_holder(model, alias) is not None:
            self._client.delete_registered_model_alias(model, alias)

    def set_tags(self, version: Version, tags: Mapping[str, str | None]) -> None:
        """Set tags of a version; None deletes.

        Raises:
            ModelError: Unity Catalog would refuse a tag; nothing was set.
        """
        check_tags(tags)
        for key, value in tags.items():
            if value is not None:
                self._client.set_model_version_tag(version.model, str(version.number), key, value)
            elif key in version.tags:
                self._client.delete_model_version_tag(version.model, str(version.number), key)

    def set_description(self, version: Version, text: str) -> None:
        """Set the description of a version, Markdown that the registry shows."""
        self._client.update_model_version(version.model, str(version.number), description=text)

    def copy_version(self, source: Version, model: str, tags: Mapping[str, str]) -> Version:
        """Copy a version with its files to another model, with the given tags only.

        One call makes the version and its tags, so that an interrupted run leaves both or neither.
        (Rejected: MLflow's `copy_model_version`, which copies all tags, verdict and approval among them.)
        """
        check_name(model)
        check_tags(tags)
        self._ensure_model(model)
        origin = self._client.get_model_version(source.model, str(source.number))
        made = self._client.create_model_version(
            model, source=self._source_of(source, model), run_id=origin.run_id or None, tags=dict(tags),
            description=origin.description, model_id=origin.model_id,
        )  # fmt: skip
        return self.get_version(model, int(made.version))

    def link_job(self, model: str, job_id: str) -> bool:
        """Set the job that each new version of a model starts, "" for none; returns False if it is set already."""
        if (self._client.get_registered_model(model).deployment_job_id or "") == job_id:
            return False
        self._client.update_registered_model(model, deployment_job_id=job_id)
        return True

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        # (Rejected: a search by name, which Unity Catalog's store refuses.)
        if unless_absent(lambda: self._client.get_registered_model(model)) is None:
            with suppress(MlflowException):  # another run made it in between: then the version will find it
                self._client.create_registered_model(model)

    def _source_of(self, source: Version, model: str) -> str:
        """Return the URI of a copy's files: Unity Catalog copies files itself, for a laptop they are copied here."""
        if self._artifacts is None:
            return f"models:/{source.model}/{source.number}"
        folder = self._artifacts / "copies" / model / uuid.uuid4().hex
        with self.fetch_files(source) as files:
            shutil.copytree(files, folder, ignore=lambda _, names: REWRITTEN & set(names))
        return folder.as_uri()

    def delete_version(self, version: Version) -> None:
        """Delete a version that has no alias; does nothing if it was deleted before.

        Raises:
            ModelError: it holds an alias.
        """
        if (stored := self._find_version(version.model, version.number)) and stored.aliases:
            raise ModelError(f"{stored} is {', '.join(stored.aliases)} and is not deleted: take the alias away first")
        unless_absent(lambda: self._client.delete_model_version(version.model, str(version.number)))

    @contextmanager
    def fetch_files(self, version: Version) -> Iterator[Path]:
        """Copy the version's files to a temporary folder, and delete it after the block.

        Raises:
            ModelError: there are no files.
            UntrustedModel: the stored files include links or pipes, which a copy would follow or wait for.
        """
        import mlflow

        if self._artifacts is not None:
            where = self._client.get_model_version_download_uri(version.model, str(version.number))
            model_scan.check_stored(local_path(where), str(version))
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            uri = f"models:/{version.model}/{version.number}"
            with permission_errors(f"read the files of {version}"):
                files = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
            if not any(path.name not in REWRITTEN for path in files.iterdir()):
                raise ModelError(f"the files of {version} are gone: train or promote it again")
            yield files

    def load_model(self, version: Version, model: Model) -> Pipeline:
        """Load the fitted pipeline, after checking the digest and the content of its files.

        Raises:
            UntrustedModel: the digest differs from the one in the version's facts, or the files contain what is
                not allowed.
        """
        return self.open_version(version, model).pipeline

    def open_version(self, version: Version, model: Model) -> model_scan.OpenedModel:
        """As `load_model`, with the inputs that the files declare and their size."""
        digest = require_fact(version.facts.artifact_digest, version)
        with self.fetch_files(version) as folder:
            return model_scan.open_model(folder, model, str(version), digest)

    def _to_version(self, entity: Any) -> Version:
        return Version(
            model=entity.name,
            number=int(entity.version),
            run_id=entity.run_id or "",
            created=datetime.fromtimestamp(entity.creation_timestamp / 1000, tz=UTC),
            tags=dict(entity.tags),
            aliases=tuple(entity.aliases),
            description=entity.description or "",
            ready=entity.status == "READY",
            created_by=getattr(entity, "user_id", None) or "",
        )
