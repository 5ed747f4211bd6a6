"""Run expectations on a batch. This is the only module that imports Great Expectations.

A rule is one Great Expectations object, its only definition: Great Expectations counts the rows that break it and names
them (they go to quarantine), and its arguments are the text in catalog and documentation. (Rejected: our own predicate
per kind of expectation, a second definition that would have to be kept equal.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.contract import ConfigError, Expectation, Outcome

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NAMED = 20
"""Largest number of values of a set that are written out: a column comment has no room for all airports."""
_HIDDEN = {"column", "column_A", "column_B", "column_list", "condition_parser", "row_condition", "ignore_row_if"}


def run_expectations(batch: pa.Table, expectations: Sequence[Expectation]) -> tuple[Outcome, ...]:
    """Run expectations on a typed batch; returns one outcome per expectation, in their order.

    Expectations with the action quarantine run first, on all rows. The others run on the rows that stay, so that one
    row with an absurd value is one bad row and does not change the batch's mean.

    Raises:
        ConfigError: an expectation cannot run on these columns, or has the action quarantine and does not judge single
            rows.
    """
    if not expectations:
        return ()
    frame, definition = batch.to_pandas(), _definition()
    rows = _run(definition, frame, [e for e in expectations if e.action == "quarantine"])
    aside = {position for outcome in rows for position in outcome.positions}
    remaining = frame.drop(index=list(aside)).reset_index(drop=True)
    whole = iter(_run(definition, remaining, [e for e in expectations if e.action != "quarantine"]))
    single = iter(rows)
    return tuple(next(single if e.action == "quarantine" else whole) for e in expectations)


def find_broken_rows(rows: pa.Table, expectations: Sequence[Expectation]) -> dict[str, np.ndarray[Any, Any]]:
    """Find the positions of rows that break an expectation on single rows, by the name of the rule.

    Raises:
        ConfigError: as `run_expectations`, or an expectation has another action than quarantine.
    """
    if others := [rule_name(e) for e in expectations if e.action != "quarantine"]:
        raise ConfigError(
            f"expectations {', '.join(others)} of the entity must have the action quarantine: rows are scored in "
            "parts, and a rule on a whole batch belongs to a source"
        )
    return {o.rule: np.array(o.positions, "int64") for o in run_expectations(rows, expectations)}


def _definition() -> Any:
    """Make the definition that turns a frame into a batch of Great Expectations."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("typed").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("whole")


def _run(definition: Any, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Outcome]:
    import great_expectations as gx

    if not expectations:
        return []
    # Great Expectations returns results in another order than the expectations, so each gets a number.
    numbered = [e.rule.copy(update={"meta": {"position": n}}) for n, e in enumerate(expectations)]
    suite = gx.ExpectationSuite(name="contract", expectations=numbered)
    batch = definition.get_batch({"dataframe": _selecting_frame(frame)})
    results = batch.validate(suite, result_format={"result_format": "COMPLETE"}).results
    by_position = {result.expectation_config.meta["position"]: result for result in results}
    return [_to_outcome(e, by_position[n], len(frame)) for n, e in enumerate(expectations)]


def _selecting_frame(frame: pd.DataFrame) -> Any:
    """Make a frame that evaluates each condition once. It keeps no selected rows, since a batch may be large.

    Great Expectations evaluates the condition again for each figure of each rule, which takes half of the time of a
    small batch.
    """
    import pandas as pd

    class SelectingFrame(pd.DataFrame):
        _constructor = pd.DataFrame

        def query(self, expr: str, **given: Any) -> Any:
            key = (expr, *given.items())
            if key not in chosen:
                chosen[key] = self.eval(expr, **given)
            return self.loc[chosen[key]]

    chosen: dict[Any, Any] = {}
    return SelectingFrame(frame)


def rule_name(expectation: Expectation) -> str:
    """Name a rule for reports, as in `column:be_between`; a condition follows in brackets."""
    rule = expectation.rule
    kind = str(rule.expectation_type).removeprefix("expect_")
    for start in ("column_values_to_", "column_pair_values_", "column_", "compound_columns_to_", "multicolumn_"):
        kind = kind.removeprefix(start)
    condition = _row_condition(rule)
    return f"{'+'.join(_columns_of(rule)) or 'table'}:{kind}{f'[{condition}]' if condition else ''}"


def describe_expectation(expectation: Expectation) -> str:
    """Describe a rule: its name, its arguments and the action on data that break it."""
    given = {name: value for name, value in expectation.rule.configuration.kwargs.items() if name not in _HIDDEN}
    if expectation.max_share:
        given["max_share"] = expectation.max_share
    arguments = ", ".join(f"{name} {_format_value(value)}" for name, value in given.items())
    return f"{rule_name(expectation)}{f' ({arguments})' if arguments else ''}, else {expectation.action}"


def column_comments(expectations: Sequence[Expectation]) -> Mapping[str, str]:
    """Describe the expectations of each column, for its comment in the catalog."""
    words: dict[str, list[str]] = {}
    for expectation in expectations:
        for column in _columns_of(expectation.rule):
            words.setdefault(column, []).append(describe_expectation(expectation))
    return {column: "; ".join(lines) for column, lines in words.items()}


def _columns_of(rule: Any) -> list[str]:
    named = [getattr(rule, name, None) for name in ("column", "column_A", "column_B")]
    return [name for name in (*named, *(getattr(rule, "column_list", None) or ())) if name]


def _row_condition(rule: Any) -> str:
    condition = rule.configuration.kwargs.get("row_condition") or ""
    return str(condition.get("pass_through_filter", condition) if isinstance(condition, dict) else condition)


def _format_value(value: object) -> str:
    if isinstance(value, dict):  # ranges of quantiles
        ranges = zip(value["quantiles"], value["value_ranges"], strict=True)
        return ", ".join(f"{quantile:g} in [{low}, {high}]" for quantile, (low, high) in ranges)
    if not isinstance(value, list | tuple | set):
        return f"{value}"
    more = f", … ({len(value)} in all)" if len(value) > _NAMED else ""
    return ", ".join(map(str, list(value)[:_NAMED])) + more


def _to_outcome(expectation: Expectation, result: Any, rows: int) -> Outcome:
    name, figures = rule_name(expectation), result.result
    if "unexpected_index_list" in figures:
        positions = tuple(int(position) for position in figures["unexpected_index_list"] or ())
        held = bool(result.success) or rows < expectation.min_rows or 0 < len(positions) <= expectation.max_share * rows
        judged = rows if expectation.max_share else figures["element_count"]  # of all rows, also under a condition
        return Outcome(
            name, describe_expectation(expectation), expectation.action, judged, len(positions), held, positions
        )
    if "observed_value" not in figures:
        raise ConfigError(f"expectation {name} cannot run: {str(result.exception_info)[-300:]}")
    if expectation.action == "quarantine":
        raise ConfigError(f"expectation {name} judges the batch, not single rows: mark it block or warn")
    observed = figures["observed_value"]
    held = bool(result.success) or rows < expectation.min_rows or observed is None
    value = observed.item() if hasattr(observed, "item") else observed
    if isinstance(value, dict):  # quantiles
        value = ", ".join(f"{quantile:.6g}" for quantile in value["values"])
    return Outcome(name, describe_expectation(expectation), expectation.action, rows, 0, held, observed=value)
