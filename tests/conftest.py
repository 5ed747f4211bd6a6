"""Fixtures for every test: a home of the test's own, and the one Spark session of the whole test run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from double import TOKEN, Double, serve
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from life import Life
    from pyspark.sql import SparkSession

# A busy machine is no defect.
settings.register_profile("tests", deadline=None)
# A mutant is killed by the first example that fails: nobody asks for the smallest.
settings.register_profile("mutants", deadline=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutants" if "MUTANT_UNDER_TEST" in os.environ else "tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first, so that the two processes end at about the same time."""
    items.sort(key=lambda item: "mlops/jobs" not in item.path.as_posix())


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


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Double]:
    """A double of a workspace; the SDK logs in with its token and reads nothing of the person who runs the test."""
    for name in (
        "LAPTOP_HOME",
        "DATABRICKS_CONFIG_PROFILE",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_CLIENT_SECRET",
        "FORGE_TOKEN",
        "GH_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "no-profiles"))
    with serve() as server:
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        yield server


@contextmanager
def living(home: Path) -> Iterator[Life]:
    from life import Life

    from mlops.platform import runtime

    values: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPTOP_HOME", str(home))
        patch.setenv("LAPTOP_IDENTITY", "release")
        patch.setattr(runtime, "set_task_value", values.__setitem__)
        yield Life(home=home, values=values)


@pytest.fixture(scope="session")
def versions(spark, tmp_path_factory):
    """A home in which target dev has two accepted versions, the first of which is champion."""
    home = tmp_path_factory.mktemp("life")
    with living(home) as life:
        life.trained("dev", seed=0)
        life.deployed("dev", 1)
        life.trained("dev", seed=1)
    return home


@pytest.fixture(scope="module")
def life(versions):
    with living(versions) as life:
        yield life
