"""One home with model versions, made once for all tests of what happens to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from life import Life

from mlops.platform import runtime


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Changes that last as long as a module's tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


@contextmanager
def living(home: Path) -> Iterator[Life]:
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
