"""Changes that last as long as the tests of a module, and a home that several modules begin with."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from test_jobs_loop import Laptop


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Changes that last as long as a module's tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


@pytest.fixture(scope="session")
def first_home(spark, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Laptop], None]:
    """Give a laptop a home: two months landed, a champion in dev and prod, ten more days ingested.

    The first process that asks makes the home for the whole test run.
    """
    from test_jobs_loop import LATER, laptop_in

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first_home"
    with FileLock(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            made = folder.with_suffix(".part")
            laptop = laptop_in(made, patch)
            laptop.land("2023-12-31", "2024-03-01")
            laptop.ingest()
            _, number = laptop.train()
            laptop.deploy("dev", number)
            _, copied = laptop.promote("dev", "prod", number)
            laptop.deploy("prod", copied)
            laptop.land("2024-03-02", "2024-03-11")
            laptop.ingest(LATER)
            made.rename(folder)
            _move_registry(folder, made)

    def give(laptop: Laptop) -> None:
        shutil.copytree(folder, laptop.home, dirs_exist_ok=True)
        _move_registry(laptop.home, folder)
        laptop.runs = count(200)  # a run of the same number would find the version that the first one registered

    return give


def _move_registry(home: Path, was: Path) -> None:
    """Write the home's folder in place of the former one, since MLflow registers models by their full paths."""
    with closing(sqlite3.connect(home / "mlflow.db")) as store, store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in store.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.startswith(("VARCHAR", "TEXT")):
                    text = f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {column} LIKE ?"  # noqa: S608
                    store.execute(text, (f"{was}/", f"{home}/", f"%{was}/%"))
