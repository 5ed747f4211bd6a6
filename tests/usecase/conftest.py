"""The few days of the sample that the use case names for tests: as files, as a folder, and as frames."""

from __future__ import annotations

import pytest
from honesty import files_of, frames_of

from usecase import USE_CASE


@pytest.fixture(scope="session")
def files():
    """Path below the landing folder to text."""
    if USE_CASE.replay is None:
        pytest.skip("the use case names no days: with `replay=Replay(...)` in its UseCase this test runs")
    return files_of(USE_CASE)


@pytest.fixture(scope="session")
def landing(files, tmp_path_factory):
    """The folder of the sources' folders."""
    folder = tmp_path_factory.mktemp("landing")
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="session")
def frames(files):
    """Source name to its rows."""
    return frames_of(USE_CASE, files)
