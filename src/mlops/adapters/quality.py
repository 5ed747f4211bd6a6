"""Expectations: the only module that knows Great Expectations.

One expectation object has two readings: Great Expectations counts the rows that break it, and `broken` says of each row
whether it does, which is what sends rows to quarantine. Both leave a missing value to the not-null expectation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from mlops.contract import ConfigError, Expectation


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations found of one expectation on one batch."""

    rule: str
    action: str
    rows: int
    failed: int


def rule_name(expectation: Expectation) -> str:
    """`column:expectation_type`, the name under which a broken rule is reported."""
    rule = expectation.rule
    return f"{rule.column}:{rule.expectation_type.removeprefix('expect_column_values_to_')}"


def check(frame: DataFrame, expectations: Sequence[Expectation]) -> tuple[Outcome, ...]:
    """Run expectations on a batch, in their order; one pass, nothing is cached or persisted."""
    if not expectations:
        return ()
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_spark("spark", persist=False).add_dataframe_asset("batch")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="contract", expectations=[expectation.rule for expectation in expectations])
    results = batch.validate(suite, result_format="BASIC").results
    return tuple(map(_outcome, expectations, results))


def broken(expectation: Expectation) -> Column:
    """Condition that holds for the rows that break the expectation.

    Raises:
        ConfigError: this kind of expectation has no reading row by row here.
    """
    reading = _BROKEN.get(expectation.rule.expectation_type)
    if reading is None:
        raise ConfigError(
            f"expectation {expectation.rule.expectation_type!r} has no row predicate; "
            f"there is one for {', '.join(sorted(_BROKEN))}: see adapters/quality.py"
        )
    return reading(expectation.rule)


def _outcome(expectation: Expectation, result: Any) -> Outcome:
    if result.exception_info and result.exception_info.get("raised_exception"):
        raise ConfigError(f"expectation {rule_name(expectation)} cannot run: {result.exception_info}")
    found = result.result
    return Outcome(rule_name(expectation), expectation.action, found["element_count"], found["unexpected_count"])


def _null(rule: Any) -> Column:
    return F.col(rule.column).isNull()


def _outside(rule: Any) -> Column:
    column, never = F.col(rule.column), F.lit(False)
    low = never if rule.min_value is None else column < F.lit(rule.min_value)
    high = never if rule.max_value is None else column > F.lit(rule.max_value)
    return F.coalesce(low | high, never)


def _not_in(rule: Any) -> Column:
    return F.coalesce(~F.col(rule.column).isin(list(rule.value_set)), F.lit(False))


def _not_like(rule: Any) -> Column:
    return F.coalesce(~F.col(rule.column).rlike(rule.regex), F.lit(False))


_BROKEN: dict[str, Callable[[Any], Column]] = {
    "expect_column_values_to_not_be_null": _null,
    "expect_column_values_to_be_between": _outside,
    "expect_column_values_to_be_in_set": _not_in,
    "expect_column_values_to_match_regex": _not_like,
}
