"""Run expectations on a batch. This is the only module that imports Great Expectations.

A rule is one Great Expectations object, its only definition: Great Expectations counts the rows that break it and names
them (they go to quarantine), and its arguments are the text in catalog and documentation. (Rejected: our own predicate
per kind of expectation, a second definition that would have to be kept equal.)
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.contract import ConfigError, Expectation, Outcome
from mlops.data.readers import to_pandas

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NAMED = 20
"""Largest number of values of a set that are written out: a column comment has no room for all airports."""
_HIDDEN = {"column", "column_A", "column_B", "column_list", "condition_parser", "row_condition", "ignore_row_if"}
_SINGLE_ROWS = re.compile(
    "expect_(column_(values_to_(be_between|not_be_null|be_null|(not_)?be_in_set|(not_)?match_(regex|like_pattern)(_list)?"
    "|match_strftime_format|be_json_parseable|be_dateutil_parseable)|value_lengths_to_(be_between|equal)"
    "|pair_values_(a_to_be_greater_than_b|to_be_equal|to_be_in_set))|multicolumn_(sum_to_equal|values_to_be_equal)"
    "|select_column_values_to_be_unique_within_record)"
)
"""Rules that look at one row at a time. All others may compare rows."""
_OF_ONE_ROW = re.compile(
    "dt|str|astype|abs|add|sub|mul|div|floordiv|mod|isna|notna|isnull|notnull|isin|between|fillna|total_seconds|date"
    "|year|month|day|hour|minute|second|dayofweek|weekday|strftime|floor|ceil|round|normalize|slice|zfill|lower|upper"
    "|strip|len|startswith|endswith|contains|match|fullmatch"
)
"""Methods of pandas that a condition may call and that answer for a row by this row alone."""
_TYPICAL = re.compile("expect_column_((mean|median|quantile_values|stdev|proportion_of_non_null_values)_to_be_between)")
"""Rules on figures of a batch of which a large sample has nearly the same."""


@dataclass(frozen=True)
class RowCount:
    """What a rule on single rows counted in a part of a batch; the counts of parts add up."""

    rows: int = 0
    """Rows that the rule was run on."""
    judged: int = 0
    """Rows of these that meet the rule's condition."""
    present: int = 0
    """Rows of these that have a value."""
    failed: int = 0
    """Rows of these that break the rule."""

    def __add__(self, other: RowCount) -> RowCount:
        """Add the counts of another part."""
        return RowCount(
            self.rows + other.rows, self.judged + other.judged, self.present + other.present, self.failed + other.failed
        )


def judges_single_rows(expectation: Expectation) -> bool:
    """Whether the rule, with its condition, judges each row by this row alone; False also if that is not known."""
    kind = str(expectation.rule.expectation_type)
    return bool(_SINGLE_ROWS.fullmatch(kind)) and _reads_one_row(_row_condition(expectation.rule))


def _reads_one_row(condition: str) -> bool:
    """Whether a condition answers for each row by this row alone; False also if that is not known."""
    try:
        nodes = list(ast.walk(ast.parse(condition.strip() or "True", mode="eval")))
    except SyntaxError:  # pandas reads more than Python does: names in backticks or with @
        return False
    # `a in b` and `a.isin(b)` search all rows of a column b; `index` and `a[0]` depend on where a batch begins.
    searched: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, ast.Compare) and any(isinstance(sign, ast.In | ast.NotIn) for sign in node.ops):
            searched += node.comparators
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "isin":
            searched += [*node.args, *(keyword.value for keyword in node.keywords)]
    return not (
        any(isinstance(part, ast.Name) for value in searched for part in ast.walk(value))
        or any(isinstance(node, ast.keyword) and node.arg == "method" for node in nodes)  # fillna by the row above
        or any(isinstance(node, ast.Subscript) for node in nodes)
        or any(isinstance(node, ast.Name) and re.fullmatch(r"index|ilevel_\d+", node.id) for node in nodes)
        or any(isinstance(node, ast.Attribute) and not _OF_ONE_ROW.fullmatch(node.attr) for node in nodes)
    )


def judges_by_share(expectation: Expectation) -> bool:
    """Whether a large sample of the rows answers as all rows do: the rule is about a typical value or a share."""
    is_share = expectation.max_share > 0 or getattr(expectation.rule, "mostly", 1) < 1
    kind = str(expectation.rule.expectation_type)
    return bool(_TYPICAL.fullmatch(kind) or (_SINGLE_ROWS.fullmatch(kind) and is_share))


def run_on_part(
    batch: pa.Table, expectations: Sequence[Expectation], required: Collection[str] = ()
) -> tuple[tuple[Outcome, ...], list[RowCount]]:
    """As `run_expectations` on a part of a batch, of rules on single rows; returns also what each of them counted."""
    if not batch.num_rows or not expectations:
        return (), [RowCount() for _ in expectations]
    judged = _run_all(batch, expectations, required)
    return tuple(outcome for outcome, _ in judged), [count for _, count in judged]


def outcome_of_parts(expectation: Expectation, count: RowCount) -> Outcome:
    """Make the outcome of a rule on single rows from the sum of what it counted in all parts of a batch."""
    share = (count.present - count.failed) / count.present if count.present else 1.0
    held = share >= getattr(expectation.rule, "mostly", 1)
    held |= count.rows < expectation.min_rows or 0 < count.failed <= expectation.max_share * count.rows
    judged = count.rows if expectation.max_share else count.judged
    words = describe_expectation(expectation)
    return Outcome(rule_name(expectation), words, expectation.action, judged, count.failed, held)


def columns_read(expectation: Expectation, columns: Sequence[str]) -> set[str]:
    """Names of the columns that the rule or its condition reads; all if the rule is on the columns themselves."""
    if str(expectation.rule.expectation_type).startswith("expect_table_column"):
        return set(columns)
    words = set(re.findall(r"\w+", _row_condition(expectation.rule)))
    return {name for name in columns if name in words} | set(_columns_of(expectation.rule))


def run_expectations(
    batch: pa.Table, expectations: Sequence[Expectation], required: Collection[str] = ()
) -> tuple[Outcome, ...]:
    """Run expectations on a typed batch; returns one outcome per expectation, in their order.

    Expectations with the action quarantine run first, on all rows. The others run on the rows that stay, so that one
    row with an absurd value is one bad row and does not change the batch's mean.

    Args:
        batch: the rows.
        expectations: the rules.
        required: columns in which no batch has a missing value.

    Raises:
        ConfigError: an expectation cannot run on these columns, or has the action quarantine and does not judge single
            rows.
    """
    return tuple(outcome for outcome, _ in _run_all(batch, expectations, required)) if expectations else ()


def _run_all(
    batch: pa.Table, expectations: Sequence[Expectation], required: Collection[str]
) -> list[tuple[Outcome, RowCount]]:
    frame, definition = to_pandas(batch), _definition()
    rows = _run(definition, frame, [e for e in expectations if e.action == "quarantine"], required)
    aside = {position for outcome, _ in rows for position in outcome.positions}
    remaining = frame.drop(index=list(aside)).reset_index(drop=True)
    whole = iter(_run(definition, remaining, [e for e in expectations if e.action != "quarantine"], required))
    single = iter(rows)
    return [next(single if e.action == "quarantine" else whole) for e in expectations]


def find_broken_rows(
    rows: pa.Table, expectations: Sequence[Expectation], required: Collection[str] = ()
) -> dict[str, np.ndarray[Any, Any]]:
    """Find the positions of rows that lack a required value or break an expectation, by the name of the rule.

    A row that lacks a required value is judged by no expectation: beside it, pandas has another type for the column, so
    that the other rows would be judged in another way than alone. Ingestion sets such rows aside first, too.

    Raises:
        ConfigError: as `run_expectations`, or an expectation has another action than quarantine.
    """
    if others := [rule_name(e) for e in expectations if e.action != "quarantine"]:
        raise ConfigError(
            f"expectations {', '.join(others)} of the entity must have the action quarantine: rows are scored in "
            "parts, and a rule on a whole batch belongs to a source"
        )
    breaks = {f"{name}:required": np.flatnonzero(rows.column(name).is_null()) for name in required}
    whole = np.setdiff1d(np.arange(rows.num_rows), [*chain.from_iterable(breaks.values())])
    # Great Expectations is loaded only where there is a row to judge and an expectation to run.
    outcomes = run_expectations(rows.take(whole), expectations, required) if len(whole) else ()
    return breaks | {o.rule: whole[[*o.positions]] for o in outcomes}


def _definition() -> Any:
    """Make the definition that turns a frame into a batch of Great Expectations."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("typed").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("whole")


def _run(
    definition: Any, frame: pd.DataFrame, expectations: Sequence[Expectation], required: Collection[str]
) -> list[tuple[Outcome, RowCount]]:
    import great_expectations as gx

    if not expectations:
        return []
    # Great Expectations returns results in another order than the expectations, so each gets a number.
    numbered = [e.rule.copy(update={"meta": {"position": n}}) for n, e in enumerate(expectations)]
    suite = gx.ExpectationSuite(name="contract", expectations=numbered)
    batch = definition.get_batch({"dataframe": _selecting_frame(frame, expectations, required)})
    results = batch.validate(suite, result_format={"result_format": "COMPLETE"}).results
    by_position = {result.expectation_config.meta["position"]: result for result in results}
    ordered = [by_position[n] for n in range(len(expectations))]
    return [
        (_to_outcome(e, result, len(frame)), _to_count(result.result, len(frame)))
        for e, result in zip(expectations, ordered, strict=True)
    ]


def _selecting_frame(frame: pd.DataFrame, expectations: Sequence[Expectation], required: Collection[str]) -> Any:
    """Make a frame that evaluates each condition once. It keeps no selected rows, since a batch may be large.

    Great Expectations evaluates the condition again for each figure of each rule, which takes half of the time of a
    small batch. It cannot compare whole numbers of pandas' own type with a column where a value is missing. So optional
    ones are floats to it, in every batch, and required ones NumPy's; conditions get both as they are.
    """
    import pandas as pd

    class SelectingFrame(pd.DataFrame):
        _constructor = pd.DataFrame

        def query(self, expr: str, **given: Any) -> Any:
            key = (expr, *given.items())
            if key not in chosen:
                chosen[key] = select_rows(frame, expr, required, **given)
            return self.loc[chosen[key]]

    chosen: dict[Any, Any] = {}
    compared = {name for e in expectations if len(names := _columns_of(e.rule)) > 1 for name in names}
    longs = [name for name in compared if name in frame and frame[name].dtype == "Int64"]
    return SelectingFrame(frame.astype({name: "int64" if name in required else "float64" for name in longs}))


def select_rows(frame: pd.DataFrame, condition: str, required: Collection[str], **given: Any) -> Any:
    """Evaluate a condition; returns a mask of the rows that meet it. A row for which it is missing does not.

    What a condition on single rows makes of a row does not depend on the other rows: pandas has floats for the hour of
    a moment or the length of a text as soon as one is missing, which shows in a text. So a row without any value is
    added, whose missing values each batch may have.

    Args:
        frame: the rows.
        condition: in the language of `DataFrame.eval`.
        required: columns in which no batch has a missing value.
        given: options of `DataFrame.eval`.
    """
    import pandas as pd

    optional = [name for name in frame.columns if name not in required]
    is_widened = "astype" in condition and len(frame) > 0 and optional and _reads_one_row(condition)
    if is_widened:
        missing = {name: frame[name].iloc[:0].reindex(frame.index[:1]) for name in optional}
        frame = pd.concat([frame, frame.iloc[:1].assign(**missing)])
    mask = frame.eval(condition, **given)
    mask = mask.iloc[:-1] if is_widened else mask
    is_truth = isinstance(mask, pd.Series) and mask.dtype in (object, "boolean")
    return mask.to_numpy(bool, na_value=False) if is_truth else mask


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


def _to_count(figures: Mapping[str, Any], rows: int) -> RowCount:
    judged = int(figures.get("element_count", 0))
    present = judged - int(figures.get("missing_count") or 0)
    return RowCount(rows, judged, present, len(figures.get("unexpected_index_list") or ()))
