"""Fixtures for every test: a home of the test's own, and the one Spark session of the whole test run."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from double import TOKEN, Double, serve
from filelock import FileLock
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A busy machine is no defect.
settings.register_profile("tests", deadline=None)
# A mutant is killed by the first example that fails: nobody asks for the smallest.
settings.register_profile("mutants", deadline=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutants" if "MUTANT_UNDER_TEST" in os.environ else "tests")

_IDLE = 600.0
"""Seconds after which the shared engine ends by itself, if the test run was killed."""
_INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""A test asks for hundreds of queries of a few rows: compiling each takes a quarter of the processor time of all."""
_SLOWEST = (
    "jobs/test_jobs_loop.py", "flights/test_flight_feeds.py", "bundle/test_bundle_defects.py",
    "jobs/test_training_and_validation.py", "jobs/test_ingestion.py", "jobs/test_kinds_in_jobs.py",
    "mlops_cli/test_release.py", "examples/test_bikes.py",
)  # fmt: skip
"""The files that take longest. Two that need no Spark run while the first makes the home that others begin with."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while modules are imported, and none of what they made afterwards.

    A million objects live until the end. Looking at them again and again took a tenth of the processor time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first, so that the two processes end at about the same time."""
    ranks = {name: rank for rank, name in enumerate(_SLOWEST)}
    items.sort(key=lambda item: ranks.get("/".join(item.path.parts[-2:]), len(ranks)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of a laptop, known to tasks through LAPTOP_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LAPTOP_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an MLflow store without content, to be copied: MLflow takes most of a second to make one."""
    from mlops.platform.home_store import FILE
    from mlops.platform.registry import Registry

    folder = tmp_path_factory.mktemp("store")
    Registry(folder)._client.search_experiments()
    return folder / FILE


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session that tasks get from getOrCreate; commands that a test starts share its server.

    The processes of a test run share one warm engine: a second server would compile all that the first one has.
    """
    from laptop import spark as server
    from laptop.engine import Engine

    base = tmp_path_factory.getbasetemp()
    engine = Engine((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "engine")
    engine.home.mkdir(exist_ok=True)
    with FileLock(engine.home / "start.lock"):
        engine.start(_IDLE)
    server.start_server(engine.home, print)
    session = server.get_session()
    for name, value in _INTERPRETED.items():
        session.conf.set(name, value)
    yield session
    server.stop_server()
    if not engine.list_clients()[0]:
        engine.stop()


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


@pytest.fixture(scope="session")
def versions(spark, tmp_path_factory):
    """A home in which target dev has two accepted versions, the first of which is champion."""
    from life import living, two_accepted

    home = tmp_path_factory.mktemp("life")
    with living(home) as life:
        two_accepted(life)
    return home


@pytest.fixture(scope="module")
def quick_versions(tmp_path_factory):
    """The same versions in a home of which no Spark made the audit table."""
    from life import living, two_accepted, write_without_spark

    home = tmp_path_factory.mktemp("quick")
    with living(home) as life, pytest.MonkeyPatch.context() as patch:
        write_without_spark(patch)
        two_accepted(life)
    return home


@pytest.fixture(scope="module")
def life(versions):
    from life import living

    with living(versions) as life:
        yield life
