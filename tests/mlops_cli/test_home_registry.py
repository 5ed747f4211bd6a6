"""The registry of a home, read without MLflow: what it says of no home and of a damaged one.

That it answers as MLflow answers is tested beside the commands, in test_mlops_cli.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.contract import DataError, ModelError
from mlops_cli.home_registry import HomeRegistry


def test_a_home_without_models_has_none(tmp_path: Path) -> None:
    assert HomeRegistry(tmp_path).find_alias_holder("a.b.c", "champion") is None
    assert list(tmp_path.iterdir()) == []


def test_faults_of_the_file_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, but a text of some length" * 100)
    with pytest.raises(DataError, match="is damaged"):
        HomeRegistry(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"")
    with pytest.raises(DataError, match="is an empty file"):
        HomeRegistry(tmp_path)
    with pytest.raises(ModelError, match="no model name"):
        HomeRegistry(tmp_path / "new").find_alias_holder("a.b", "champion")
