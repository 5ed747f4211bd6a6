"""Five days of the flights, as files, as a landing folder, and as the frames that ingestion makes of them."""

from __future__ import annotations

import pandas as pd
import pytest
from flights import REFERENCES, SINCE, UNTIL, parsed

from usecase import USE_CASE


@pytest.fixture(scope="session")
def files():
    """Path below the landing folder to text: the reference files, and the feeds of five days."""
    days = {"2012-12-31", *(f"{day:%Y-%m-%d}" for day in pd.date_range(SINCE, UNTIL))}
    return {path: text for path, text in USE_CASE.sample(REFERENCES, UNTIL) if path.split("/")[1][:10] in days}


@pytest.fixture(scope="session")
def landing(files, tmp_path_factory):
    """The folder of the feeds' folders."""
    folder = tmp_path_factory.mktemp("landing")
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="session")
def frames(files):
    """Source name to its rows."""
    return {
        source.name: pd.concat(
            [parsed(text, source) for path, text in files.items() if path.startswith(f"{source.name}/")],
            ignore_index=True,
        )
        for source in USE_CASE.sources
    }
