"""What `laptop validate` says about the use case itself: wrong names, kinds that do not fit, features that fail."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from toy import ORDERS, RESULTS, TOY, build

from mlops import context
from mlops.contract import Column, ConfigError, Feature, Label, Model, feature
from mlops.contract.names import RESERVED
from mlops.data.table_schemas import REASONS, TABLES, feature_columns, prediction_columns
from mlops_cli.use_case_check import find_problems

LABEL, POLICY, ENTITY = TOY.label, TOY.policy, TOY.entity


def with_column(source, **changes):
    return replace(source, columns=(*source.columns, Column(**{"type": "long", "comment": "", **changes})))


WRONG_NAMES = {
    "source twice": {"sources": (ORDERS, RESULTS, RESULTS)},
    "source named as a table": {"sources": (ORDERS, replace(RESULTS, name="metrics"))},
    "column twice": {"sources": (with_column(ORDERS, name="size"), RESULTS)},
    "no key": {"sources": (ORDERS, replace(RESULTS, key=()))},
    "key": {"sources": (ORDERS, replace(RESULTS, key=("it",)))},
    "known_at": {"sources": (ORDERS, replace(RESULTS, known_at="said"))},
    "known_at is no time": {"sources": (ORDERS, replace(RESULTS, known_at="failed"))},
    "agrees with no source": {"sources": (ORDERS, replace(RESULTS, agrees_with={"order": ("id",)}))},
    "agrees in no column": {"sources": (ORDERS, replace(RESULTS, agrees_with={"orders": ("colour",)}))},
    "entity's source": {"entity": replace(ENTITY, source="order")},
    "entity's time": {"entity": replace(ENTITY, event_time="when")},
    "entity's time is no time": {"entity": replace(ENTITY, event_time="size")},
    "label's source": {"label": replace(LABEL, source="result")},
    "label's joined": {"label": replace(LABEL, joined=("order",))},
    "label's on": {"label": replace(LABEL, within=timedelta(days=1), on="when")},
    "label's by": {"label": replace(LABEL, within=timedelta(days=1), on="judged", by=("it",))},
    "label's value": {"label": replace(LABEL, value="CASE WHEN faild THEN 1 ELSE 0 END")},
    "label's matured": {"label": replace(LABEL, matured="results.faild IS NOT NULL")},
    "feature twice": {"features": (*TOY.features, TOY.features[0])},
    "feature named as the key": {"features": (replace(TOY.features[0], name="id"),)},
    "feature named as a time": {"features": (replace(TOY.features[0], name="event_time"),)},
    "slice": {"policy": replace(POLICY, slices=("colour",))},
    "paging": {"policy": replace(POLICY, paging=("colour",))},
}


@pytest.mark.parametrize("changes", WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_a_name_that_means_nothing_is_refused_at_import(changes):
    with pytest.raises(ConfigError):
        replace(TOY, **changes)


def test_all_wrong_names_are_told_at_once_with_those_that_there_are():
    with pytest.raises(ConfigError) as refused:
        replace(TOY, policy=replace(POLICY, slices=("colour",)), features=(*TOY.features, TOY.features[0]))
    assert str(refused.value) == (
        "feature 'size' is declared 2 times; "
        "the policy's slices name feature 'colour': there are due_around, kind, size"
    )


def test_a_misspelled_name_is_told_with_the_one_that_is_meant():
    with pytest.raises(ConfigError, match=r"^the policy's slices name feature 'kinds': did you mean 'kind'\?$"):
        replace(TOY, policy=replace(POLICY, slices=("kinds",)))


def test_the_reserved_names_are_those_of_the_tables():
    assert {*TABLES, "features", "predictions", "shadow_predictions"} == RESERVED


def test_a_key_with_the_name_of_another_column_of_its_tables_is_refused():
    classes = replace(TOY, label=replace(LABEL, kind="classes", classes=("a", "b", "c")))
    written = {c.name for c in (*prediction_columns(TOY), *prediction_columns(classes), *feature_columns(TOY))}
    for name in sorted({*written, REASONS} - {*ENTITY.key} - {f.name for f in TOY.features}):
        with pytest.raises(ConfigError, match=f"the entity's key '{name}' has the name of another column"):
            replace(TOY, entity=replace(ENTITY, key=(name,)))


def loaded(monkeypatch, tmp_path, make):
    monkeypatch.setattr(context, "load_use_case", make)
    return list(find_problems(tmp_path))


@feature(unit="", known_from="the announcement")
def wrong_source(known):
    """Reads a source that does not exist."""
    return known.window("order", by=[], since=timedelta(days=1)).count()


@feature(unit="", known_from="the announcement")
def wrong_column(known):
    """Reads a column that does not exist."""
    return known.latest("results", "colour", by=["id"], within=timedelta(days=1))


@feature(unit="", known_from="the announcement")
def wrong_by(known):
    """Groups by a column that the entity does not have."""
    return known.window("results", by=["failed"], since=timedelta(days=1)).count()


@feature(unit="", known_from="the announcement")
def wrong_row(known):
    """Fails in the fork's own code."""
    return known.rows["colour"]


@feature(unit="", known_from="the announcement")
def text_of_columns(known):
    """Names one column as a text."""
    return known.window("orders", by="kind", since=timedelta(days=1)).count()


@feature(unit="", known_from="the announcement")
def days(known):
    """Counts days in plain numbers."""
    return known.window("orders", by=["kind"], since=28).count()


@feature(unit="", known_from="the announcement")
def nothing(known):
    """Returns nothing."""
    known.rows["size"]


def test_each_feature_that_fails_is_a_problem_with_its_line(monkeypatch, tmp_path):
    broken = replace(
        TOY, features=(*TOY.features, wrong_source, wrong_column, wrong_by, wrong_row, text_of_columns, days, nothing)
    )
    problems = loaded(monkeypatch, tmp_path, lambda: broken)
    summaries = [problem["summary"] for problem in problems]
    assert summaries == [
        "feature 'wrong_source': no source 'order'; there are orders, results",
        "feature 'wrong_column': source 'results' has no column 'colour'; there are id, judged, failed",
        "feature 'wrong_by': the entity's source has no column 'failed'; there are id, due, announced, kind, size",
        "feature 'wrong_row': source 'orders' has no column 'colour'; there are id, due, announced, kind, size",
        "feature 'text_of_columns': by is 'kind': name the columns in a list, as by=['kind']",
        "feature 'days': 28 is no length of time: write it as timedelta(days=28)",
        "feature 'nothing': feature 'nothing' returned shape () for 0 entities: it must return one value per entity",
    ]
    assert all(problem["file"].endswith("test_use_case_check.py") for problem in problems)


def test_a_model_that_does_not_fit_the_kind_is_a_problem(monkeypatch, tmp_path):
    number = replace(LABEL, kind="number")
    regressor = Model(build=lambda _: Pipeline([("model", LinearRegression())]))
    cases = [
        (lambda: replace(TOY, label=number), "LogisticRegression, which predicts no number"),
        (lambda: replace(TOY, model=regressor), "LinearRegression, a regressor"),
        (
            lambda: replace(TOY, label=replace(LABEL, kind="regression")),
            "one of binary, classes, number (number?) is expected",
        ),
        (lambda: replace(TOY, model=Model(build=build, trusted_types=("no_such.Type",))), "no_such, which is not inst"),
    ]
    for make, words in cases:
        (problem,) = loaded(monkeypatch, tmp_path, make)
        assert words in problem["summary"]


def test_a_problem_stands_at_the_innermost_line_of_the_use_case(monkeypatch, tmp_path):
    (tmp_path / "features_of_a_fork.py").write_text("def broken():\n    return 1 / 0\n\n\nbroken()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (problem,) = loaded(monkeypatch, tmp_path, lambda: __import__("features_of_a_fork"))
    assert (problem["file"], problem["line"]) == ("features_of_a_fork.py", 2)
    assert problem["summary"] == "ZeroDivisionError: division by zero"
    (tmp_path / "syntax_of_a_fork.py").write_text("x = (\n")
    (problem,) = loaded(monkeypatch, tmp_path, lambda: __import__("syntax_of_a_fork"))
    assert (problem["file"], problem["line"]) == ("syntax_of_a_fork.py", 1)
    sys.modules.pop("syntax_of_a_fork", None)


def test_the_template_has_no_problem(monkeypatch, tmp_path):
    assert loaded(monkeypatch, tmp_path, lambda: TOY) == []
    assert all(isinstance(each, Feature) for each in TOY.features)
    assert isinstance(TOY.label, Label)
