"""Reads the registry of a laptop's home without MLflow, whose import takes three seconds, for the commands of people.

The names of tables and columns are those of the MLflow that uv.lock pins; a test compares the answers with MLflow's.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.contract import ModelError
from mlops.contract.model_version import Version
from mlops.platform.home_store import FILE, check_store, explain_store_errors
from mlops.platform.model_scan import check_stored
from mlops.platform.registry import Registry
from mlops.platform.uc_limits import check_name, local_path

_VERSION = """SELECT v.* FROM registered_model_aliases a JOIN model_versions v USING (workspace, name, version)
WHERE a.name = ? AND a.alias = ? AND v.current_stage IS NOT 'Deleted_Internal'"""
_VERSIONS = """SELECT * FROM model_versions
WHERE name = ? AND current_stage IS NOT 'Deleted_Internal' ORDER BY version"""
_RUN = """SELECT r.run_uuid AS id, r.name AS name FROM runs r
JOIN experiments e USING (experiment_id) JOIN tags t USING (run_uuid)
WHERE e.name = ? AND t.key = ? AND t.value = ? AND r.lifecycle_stage = 'active'
ORDER BY r.start_time DESC, r.run_uuid LIMIT 1"""


def open_registry(home: Path | None) -> Registry | HomeRegistry:
    """Open the registry of a home to read it; None: the workspace's."""
    return Registry(None) if home is None else HomeRegistry(home)


class HomeRegistry:
    """The methods of `mlops.platform.registry.Registry` that `mlops status` and `compare` call, on the sqlite file."""

    def __init__(self, home: Path) -> None:
        check_store(home)
        self._file = home / FILE

    def find_alias_holder(self, model: str, alias: str) -> Version | None:
        """Find the version that an alias points at; None: there is no such alias."""
        check_name(model)
        return next((self._to_version(row) for row in self._select(_VERSION, model, alias)), None)

    def get_version(self, model: str, number: int) -> Version:
        """Read a version by its number.

        Raises:
            ModelError: there is no such model or version; names the versions that exist.
        """
        check_name(model)
        rows = {row["version"]: row for row in self._select(_VERSIONS, model)}
        if number not in rows:
            raise ModelError(f"{model} has no version {number}; versions: {', '.join(map(str, rows)) or 'none'}")
        return self._to_version(rows[number])

    def read_run_tags(self, run_id: str) -> Mapping[str, str]:
        """Read the tags of a run; empty if there is no such run."""
        return {row["key"]: row["value"] for row in self._select("SELECT * FROM tags WHERE run_uuid = ?", run_id)}

    def find_newest_run(self, experiment: str, tag: str, value: str) -> tuple[str, Mapping[str, float]] | None:
        """Find the newest run of an experiment that has a tag; returns its name and its metrics."""
        newest = self._select(_RUN, experiment, tag, value)
        return (newest[0]["name"], self.read_metrics(newest[0]["id"])) if newest else None

    def read_metrics(self, run_id: str) -> Mapping[str, float]:
        """Read the metrics of a run; empty if there is no such run."""
        rows = self._select("SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", run_id)
        return {row["key"]: math.nan if row["is_nan"] else row["value"] for row in rows}

    @contextmanager
    def fetch_files(self, version: Version) -> Iterator[Path]:
        """The folder where the version's files lie, to read only.

        Raises:
            ModelError: there are no files.
            UntrustedModel: some of them are links or pipes.
        """
        question = "SELECT coalesce(storage_location, source) AS place FROM model_versions"
        question += " WHERE name = ? AND version = ?"
        folder = local_path(self._select(question, version.model, version.number)[0]["place"])
        check_stored(folder, str(version))
        yield folder

    def _to_version(self, row: Mapping[str, Any]) -> Version:
        key = (row["name"], row["version"])
        tags = self._select("SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", *key)
        held = self._select(
            "SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? ORDER BY alias", *key
        )
        return Version(
            model=row["name"],
            number=row["version"],
            run_id=row["run_id"] or "",
            created=datetime.fromtimestamp(row["creation_time"] / 1000, tz=UTC),
            tags={tag["key"]: tag["value"] for tag in tags},
            aliases=tuple(holder["alias"] for holder in held),
            description=row["description"] or "",
            ready=row["status"] == "READY",
            created_by=row["user_id"] or "",
        )

    def _select(self, statement: str, *values: object) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        with explain_store_errors(self._file), closing(sqlite3.connect(self._file)) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(statement, values)]
