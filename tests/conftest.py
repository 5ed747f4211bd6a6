"""Fixtures for every test: a home of the test's own, and the one Spark session of the whole test run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A busy machine is no defect.
settings.register_profile("tests", deadline=None)
# A mutant is killed by the first example that fails: nobody asks for the smallest.
settings.register_profile("mutants", deadline=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutants" if "MUTANT_UNDER_TEST" in os.environ else "tests")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of a laptop, known to tasks through LAPTOP_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LAPTOP_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session that tasks get from getOrCreate; commands that a test starts share its server."""
    from laptop import spark as server

    server.start_server(tmp_path_factory.mktemp("spark"), print)
    yield server.get_session()
    server.stop_server()
