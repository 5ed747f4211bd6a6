"""Explain errors of a laptop's registry, one sqlite file: locked, damaged, empty or moved."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops.contract import DataError
from mlops.platform import runtime

FILE = "mlflow.db"
_PATIENCE = 10.0
"""Seconds to wait for a lock of another process."""


def check_store(home: Path) -> None:
    """Check the registry's file before MLflow opens it; a home without the file is a new home.

    Raises:
        DataError: the file cannot be read or written, or the home was moved, since models are registered by full paths.
    """
    # MLflow logs an error of the file with SQL and trace, and raises it; `explain_store_errors` explains the latter.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    file = home / FILE
    if not file.exists():
        return
    if not file.stat().st_size:
        raise DataError(f"the registry {file} is an empty file: {_cure()}")
    with explain_store_errors(file), closing(sqlite3.connect(file, timeout=_PATIENCE)) as store:
        answer = store.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        if store.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'").fetchone()[0]:
            places = store.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'")
            _check_place(home, [Path(url2pathname(urlsplit(place).path)) for (place,) in places])


def _cure() -> str:
    return f"restore it from a copy, or start with an empty home: {runtime.command('laptop', 'clean')}"


def _check_place(home: Path, places: list[Path]) -> None:
    for place in places:
        # <home>/artifacts/<experiment>
        if place.parent.name == "artifacts" and place.parent.parent.resolve() != home.resolve():
            was = place.parent.parent
            raise DataError(
                f"this home lies in {home}, and was made in {was}: it was moved, and its models are registered by "
                f"their full paths; move it back, or link the old path to it: ln -s {home} {was}"
            )


@contextmanager
def explain_store_errors(file: Path | None) -> Iterator[None]:
    """Translate errors of sqlite into sentences, including those that another library wraps.

    Args:
        file: the registry's file; None: there is none, and errors pass unchanged.

    Raises:
        DataError: in place of an error of sqlite.
    """
    try:
        yield
    except Exception as error:
        reason = _sqlite_reason(error)
        if file is None or reason is None:
            raise
        if "locked" in reason or "busy" in reason:
            raise DataError(
                f"the registry {file} is locked by another process: end whatever holds it open, and run again"
            ) from None
        raise DataError(f"the registry {file} is damaged ({reason}): {_cure()}") from None


def _sqlite_reason(error: Exception) -> str | None:
    if isinstance(error, sqlite3.Error):
        return str(error).split("\n")[0]
    reason = re.search(r"\(sqlite3\.\w+\) ([^\n]*)", str(error))
    return reason and reason[1]
