"""The few days of the sample that the use case names for tests: as files, as a folder, and as frames."""

from __future__ import annotations

import pytest
from honesty import files_of, frames_of

from usecase import USE_CASE


# A use case without days has nothing to look at: pytest then reports its tests as skipped, for want of a parameter.
@pytest.fixture(scope="session", params=[USE_CASE] if USE_CASE.replay else [], ids=lambda use_case: use_case.name)
def files(request):
    """Path below the landing folder to text."""
    return files_of(request.param)


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
