"""Translate Spark's errors into one sentence: about a table that it cannot read, or from our own code in a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mlops.contract import Conflict, DataError, MlopsError, errors

BEATEN = "another run wrote {} at the same moment; nothing was written: run again"
_CONFLICT = re.compile(r"DELTA_(CONCURRENT|PROTOCOL_CHANGED|METADATA_CHANGED|CREATE_TABLE_WITH_NON_EMPTY_LOCATION)")

_LOG = re.compile(
    r"_delta_log/|DELTA_(TRUNCATED_TRANSACTION_LOG|VERSIONS_NOT_CONTIGUOUS|NO_RECREATABLE_HISTORY_FOUND|LOG_FILE\w*|"
    r"STATE_RECOVER\w*|MISSING_\w+|TABLE_NOT_FOUND|TABLE_ONLY_OPERATION)"
)
_VERSION = re.compile(r"DELTA_VERSION_NOT_FOUND\W.*?version (\d+).*?\[(\d+), (\d+)\]", re.DOTALL)
_DATA = re.compile(r"FAILED_READ_FILE|DELTA_FILE_NOT_FOUND")
_CAST = re.compile(r"\[CAST_INVALID_INPUT[.\w]*\] ([^\n.]+)")
_FILE = re.compile(r"[\w.-]+\.(?:parquet|json|crc)\b")
_LAPTOP = re.compile(r"/warehouse/(\w+)/(\w+)/(\w+)")
_IN_WORKER = re.compile(r"^mlops\.contract\.errors\.(\w+): (.+)$", re.MULTILINE)
_CATALOG = re.compile(r"`(\w+)`\.`(\w+)`\.`(\w+)`|\b(\w+)\.(\w+)\.(\w+)/_delta_log")


def explain_error(error: BaseException, table: str = "") -> MlopsError | None:
    """Translate a Spark error about a table, or one that our code raised in a Python worker; None: something else.

    Args:
        error: the error as it was raised.
        table: catalog.schema.table if the caller knows it; else it is taken from the error's text.
    """
    if not type(error).__module__.startswith("pyspark."):
        return None
    text = str(error).partition("JVM stacktrace")[0]
    if ours := _IN_WORKER.findall(text):
        name, sentence = ours[-1]
        kind: type[MlopsError] = getattr(errors, name)
        return kind(sentence)
    named = f"table {table or _table_in(text)}"
    if version := _VERSION.search(text):
        asked, first, last = version.groups()
        return DataError(
            f"{named} has no version {asked} any more, only {first} to {last}: it is past its retention. Train on the "
            f"newest tables (-p table_versions=newest)"
        )
    if _LOG.search(text):
        return DataError(
            f"the log of {named} is broken{_file_in(text)}: restore its folder _delta_log from a copy, or delete the "
            f"table and run the job that writes it. Sources and features are made anew, from the files that have landed"
        )
    return _explain_rows(text, named)


def _explain_rows(text: str, named: str) -> DataError | None:
    if _DATA.search(text):
        return DataError(
            f"a file of {named} is gone or broken{_file_in(text)}. A version past its retention has lost its files: "
            f"read a newer one. Else restore the file from a copy, or delete the table and run the job that writes it"
        )
    if wrong := _CAST.search(text):
        return DataError(f"{wrong[1]}: does the label's SQL, in the use case, give what its kind needs?")
    return None


@contextmanager
def raise_conflicts(table: str) -> Iterator[None]:
    """Raise Conflict for each of Delta's errors that mean a concurrent write to catalog.schema.table."""
    try:
        yield
    except Exception as error:
        if not _CONFLICT.search(str(error)):
            raise
        raise Conflict(BEATEN.format(table)) from None


def _table_in(text: str) -> str:
    name = _LAPTOP.search(text) or _CATALOG.search(text)
    return ".".join(part for part in name.groups() if part) if name else "(its name is not in the error)"


def _file_in(text: str) -> str:
    file = _FILE.search(text)
    return f" ({file[0]})" if file else ""
