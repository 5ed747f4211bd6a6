"""What Spark says of tables that cannot be read, as it said it, and what a person is told."""

from __future__ import annotations

import re

import pytest
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from mlops.contract import ModelError, errors
from mlops.platform.delta_errors import explain_error

HOME = "/home/ada/.mlops/warehouse/prod/flights/features"
LOG, PART = f"file:{HOME}/_delta_log", f"file:{HOME}/part-00000-2264df60-c000.snappy.parquet"
BROKEN = {
    f"(DeltaFileNotFoundException) [DELTA_TRUNCATED_TRANSACTION_LOG] {LOG}/00000000000000000000.json: Unable to "
    "reconstruct state at version 4 as the transaction log has been truncated": r"log of .* \(0+\.json\)",
    f"[DELTA_NO_RECREATABLE_HISTORY_FOUND] No recreatable commits found at {LOG}": "log of",
    f"[FAILED_READ_FILE.NO_HINT] Encountered error while reading file {LOG}/04.json.  SQLSTATE": "log of",
    f"Job aborted: java.io.UncheckedIOException: ChecksumException: Checksum error: {LOG}/04.json": "log of",
    f"[DELTA_TABLE_NOT_FOUND] Delta table `{HOME}` doesn't exist.": "log of",
    f"[DELTA_TABLE_ONLY_OPERATION] `{HOME}` is not a Delta table. DESCRIBE HISTORY is only supported": "log of",
    f"[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file {PART}. File does not exist": "a file of",
    f"[FAILED_READ_FILE.NO_HINT] Error while reading file {PART}.  SQLSTATE": r"\(part-00000-2264df60",
}


def raised(text):
    return SparkConnectGrpcException(
        f"{text}\n\nJVM stacktrace:\norg.apache.spark.x/warehouse/no/such/table_delta_log/"
    )


@pytest.mark.parametrize(("text", "what"), BROKEN.items())
def test_a_table_that_cannot_be_read_is_named_with_its_cure(text, what):
    told = str(explain_error(raised(text)))
    assert "table prod.flights.features" in told
    assert "delete the table and run the job that writes it" in told
    assert "\n" not in told
    assert re.search(what, told)


def test_a_version_past_its_retention_names_those_that_are_there():
    error = raised(
        "[DELTA_VERSION_NOT_FOUND] Cannot time travel Delta table to version 99. Available versions: [12, 40]."
    )
    told = str(explain_error(error, "prod.flights.outcomes"))
    assert told.startswith("table prod.flights.outcomes has no version 99 any more, only 12 to 40")
    assert "table_versions=newest" in told


def test_a_table_of_the_catalog_is_named_by_the_catalogs_name():
    error = raised("[DELTA_LOG_FILE_NOT_FOUND] Unable to retrieve the delta log files of `prod`.`flights`.`ledger`")
    assert "table prod.flights.ledger" in str(explain_error(error))


def test_a_label_that_is_no_number_is_told_with_its_value():
    text = 'The value \'door\' of the type "STRING" cannot be cast to "DOUBLE" because it is malformed. Correct it'
    told = str(explain_error(raised(f"[CAST_INVALID_INPUT] {text}")))
    assert told.startswith('The value \'door\' of the type "STRING" cannot be cast to "DOUBLE"')
    assert told.endswith("does the label's SQL, in the use case, give what its kind needs?")


@pytest.mark.parametrize("error", [raised("[UNRESOLVED_COLUMN] no column"), ValueError(f"_delta_log/ of {HOME}")])
def test_any_other_error_stays_what_it_is(error):
    assert explain_error(error) is None


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)])
def test_an_error_of_ours_in_a_worker_reaches_the_user_as_itself(kind):
    text = f"""An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/srv/mlops/serving/scoring.py", line 7, in score
    raise {kind.__name__}("the model of version 3 is gone: _delta_log/ names it no more")
{kind.__module__}.{kind.__qualname__}: the model of version 3 is gone: _delta_log/ names it no more
"""
    told = explain_error(raised(text), "prod.flights.features")
    assert type(told) is kind
    assert str(told) == "the model of version 3 is gone: _delta_log/ names it no more"


def test_of_two_errors_in_a_worker_the_last_is_told():
    first = "mlops.contract.errors.DataError: no column delay"
    told = explain_error(
        raised(f"{first}\n\nDuring handling of the above:\n\nmlops.contract.errors.ModelError: unread")
    )
    assert isinstance(told, ModelError)
    assert str(told) == "unread"
