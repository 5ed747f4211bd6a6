"""Files of past days: for the demo, the job `integration` and the tests of honesty."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mlops.contract import DataError


def sample(since: date, until: date) -> Iterator[tuple[str, str]]:
    """Yield (path below the landing folder, CSV text) of the days since..until, both included, as `events/DAY.csv`.

    Put each row into the file of the day on which it became known, so that no file contains the future.

    Raises:
        DataError: there is no sample yet.
    """
    # TODO: yield your own files; then name their days by `replay=` in __init__.py and `trial_days` in databricks.yml.
    raise DataError(f"src/usecase/sample.py makes no files yet, so there are none for {since}..{until}: fill it in")
