"""The gate on questions of each kind: worse challengers are refused, equal and better ones pass, on many holdouts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from kinds import BINARY, NUMBER, SEVERAL

from mlops.contract import Policy, Share, Value
from mlops.modeling.coverage import COUNTS, Coverage
from mlops.modeling.gate_case import Scored, ServingChecks
from mlops.modeling.gates import decide_verdict
from mlops.modeling.volume import find_unjudged

TRAINED = datetime(2024, 1, 1, tzinfo=UTC)
FIRST = np.datetime64("2024-02-01")
DAYS, PER_DAY, FEATURES = 28, 60, 40
POLICY = Policy(
    holdout=timedelta(days=DAYS),
    maturity=timedelta(days=1),
    min_ranking=0.6,
    min_skill=0.1,
    max_ranking=0.995,
    margin_ranking=0.01,
    margin_loss=Share(0.02),
    max_gap=0.05,
    slices=("shop",),
    slice_min_rows=300,
    replicates=200,
)
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 6))]


class Demand:
    """A number that depends on five of forty features, the last of them a figure of the past days."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.weights = np.zeros(FEATURES)
        self.weights[:5] = (6.0, 4.0, 3.0, 2.0, 5.0)
        self.x, self.y, _ = self.rows(2000 // PER_DAY)
        self.holdout = self.rows(DAYS)

    def rows(self, days, weights=None):
        day = np.repeat(np.arange(days), PER_DAY)
        x = self.rng.normal(size=(len(day), FEATURES))
        level = 40 + self.rng.normal(0, 2, days)[day]
        y = level + x @ (self.weights if weights is None else weights) + self.rng.normal(0, 6, len(day))
        return x, y, day

    def fit(self, x, y, scale=1.0):
        coefficients = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]
        return self.scored(scale * np.column_stack([np.ones(len(self.holdout[0])), self.holdout[0]]) @ coefficients)

    def scored(self, p):
        _, y, day = self.holdout
        shops = pd.DataFrame({"shop": np.where(np.arange(len(y)) % 3, "north", "south")})
        return Scored(y, p, FIRST + day, shops, TRAINED)

    @property
    def champion(self):
        return self.fit(self.x, self.y)

    def stale(self):
        x, y, _ = self.rows(2000 // PER_DAY, self.weights * np.linspace(0.4, 1.4, FEATURES))
        return self.fit(x, y)

    def a_fifth(self):
        return self.fit(self.x[::5], self.y[::5])

    def without_history(self):
        blind = np.where(np.arange(FEATURES) == 4, 0.0, 1.0)
        coefficients = np.linalg.lstsq(np.column_stack([np.ones(len(self.x)), self.x * blind]), self.y, rcond=None)[0]
        inputs = np.column_stack([np.ones(len(self.holdout[0])), self.holdout[0] * blind])
        return self.scored(inputs @ coefficients)

    def noisy_labels(self):
        wrong = self.rng.random(len(self.y)) < 0.25
        return self.fit(self.x, np.where(wrong, self.rng.permutation(self.y), self.y))

    def biased(self):
        return self.fit(self.x, self.y, scale=1.1)

    def newer(self):
        x, y, _ = self.rows(2000 // PER_DAY)
        return self.fit(np.vstack([self.x, x]), np.concatenate([self.y, y]))


def judge(question, challenger, champion, **limits):
    days = np.unique(challenger.day)
    rows = len(challenger.y) // len(days)
    coverage = Coverage(pd.DataFrame({"day": days, **dict.fromkeys(COUNTS, rows)}), pd.Timestamp(days[0]))
    checks = ServingChecks(problems=(), latency_ms=1.0, size_mb=1.0)
    policy = replace(POLICY, **limits)
    return decide_verdict(
        question=question, challenger=challenger, contract=checks, champion=champion, coverage=coverage, policy=policy
    )


def refused(verdict):
    return {rule.name for rule in verdict.rules if not rule.passed}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("challenger", "by"),
    [
        ("stale", "non_inferior_absolute_error"),
        ("a_fifth", "non_inferior_absolute_error"),
        ("without_history", "non_inferior_concordance"),
        ("noisy_labels", "non_inferior_absolute_error"),
        ("biased", "bias"),
    ],
)
def test_a_harmful_challenger_of_a_number_is_refused(seed, challenger, by):
    demand = Demand(seed)
    assert by in refused(judge(NUMBER, getattr(demand, challenger)(), demand.champion))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_newer_challenger_of_a_number_is_accepted_and_the_first_version_too(seed):
    demand = Demand(seed)
    assert refused(judge(NUMBER, demand.newer(), demand.champion)) == set()
    assert refused(judge(NUMBER, demand.champion, demand.champion)) == set()
    assert refused(judge(NUMBER, demand.champion, None)) == set()


def test_rules_and_reasons_of_a_number_are_in_its_own_words():
    demand = Demand(0)
    found = {rule.name: rule for rule in judge(NUMBER, demand.newer(), demand.champion).rules}
    assert {"floor_concordance", "floor_skill", "bias", "non_inferior_concordance", "slice_shop"} <= set(found)
    assert "calibration" not in found
    assert found["non_inferior_absolute_error"].limit == pytest.approx(
        0.02 * NUMBER.compute_metrics(demand.champion.y, demand.champion.p).loss
    )
    assert "as a share of the mean size of a label" in found["bias"].reason
    assert "the labels go from" in found["complete"].reason


# --- rare events ------------------------------------------------------------------------------------------------------


def rare(seed, noise=0.1, shift=0.0, rows=40_000):
    """Events of about 1 %, seen through noise on the scale of log-odds."""
    rng = np.random.default_rng(1_000)
    day = np.arange(rows) % DAYS
    logit = rng.normal(-6.2, 1.8, rows) + rng.normal(0, 0.2, DAYS)[day]
    y = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype("float64")
    off = np.random.default_rng(seed).normal(0, noise, rows) + shift
    slices = pd.DataFrame({"shop": np.where(np.arange(rows) % 2, "north", "south")})
    return Scored(y, 1 / (1 + np.exp(-logit - off)), FIRST + day, slices, TRAINED)


RARE = {"max_gap": Share(0.2), "margin_loss": Share(0.01), "margin_precision": Share(0.1), "margin_ranking": 0.005}


def test_the_event_is_rare():
    assert 0.005 < rare(1).y.mean() < 0.015


@pytest.mark.parametrize("seed", SEEDS)
def test_an_equal_and_a_better_challenger_of_a_rare_event_are_accepted(seed):
    assert refused(judge(BINARY, rare(10 + seed), rare(50 + seed), **RARE)) == set()
    assert refused(judge(BINARY, rare(10 + seed), rare(50 + seed, noise=1.2), **RARE)) == set()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("fault", "by"),
    [
        ({"noise": 1.2}, {"non_inferior_log_loss", "non_inferior_average_precision"}),
        ({"shift": 0.4}, {"calibration", "non_inferior_log_loss"}),
        ({"shift": -0.4}, {"calibration"}),
    ],
)
def test_a_worse_challenger_of_a_rare_event_is_refused(seed, fault, by):
    assert by <= refused(judge(BINARY, rare(10 + seed, **fault), rare(50 + seed), **RARE))


def test_a_limit_that_fits_common_events_is_told_to_fit_no_rare_one():
    scores = rare(1)
    rows = scores.slices.assign(label=scores.y)
    said = find_unjudged(BINARY, rows, timedelta(days=DAYS), POLICY)
    assert [text.split()[5] for text in said] == ["max_gap", "retrain_gap"]
    scaled = replace(POLICY, max_gap=Share(0.2), retrain_gap=Share(0.2))
    assert find_unjudged(BINARY, rows, timedelta(days=DAYS), scaled) == ()


def test_a_challenger_whose_decisions_are_worth_less_is_refused_by_its_value():
    value = Value(matrix=((0.0, -1.0), (0.0, 20.0)), threshold=0.05, margin=0.01)
    good, blind = rare(10), replace(rare(10), p=np.full(40_000, 0.01))
    assert refused(judge(BINARY, good, rare(50), **RARE, value=value)) == set()
    worse = judge(BINARY, rare(10, noise=2.5), rare(50), **RARE, value=value)
    assert "non_inferior_value" in refused(worse)
    greedy = replace(value, threshold=0.0)  # everything is an event: worth less than doing nothing
    assert "value" in refused(judge(BINARY, blind, None, **RARE, value=greedy))


# --- classes ----------------------------------------------------------------------------------------------------------


def several(seed, noise=0.1, shift=0.0, rows=6_000):
    rng = np.random.default_rng(2_000)
    day = np.arange(rows) % DAYS
    logits = rng.normal(size=(rows, 3)) * 1.5 + np.array([0.5, 0.0, -0.5]) + rng.normal(0, 0.2, (DAYS, 3))[day]
    y = (logits + rng.gumbel(size=(rows, 3))).argmax(axis=1).astype("float64")
    seen = logits + np.random.default_rng(seed).normal(0, noise, (rows, 3)) + np.array([shift, 0.0, 0.0])
    p = np.exp(seen) / np.exp(seen).sum(axis=1, keepdims=True)
    slices = pd.DataFrame({"shop": np.where(np.arange(rows) % 2, "north", "south")})
    return Scored(y, p, FIRST + day, slices, TRAINED)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_equal_and_a_better_challenger_of_classes_are_accepted_and_worse_ones_refused(seed):
    champion = several(50 + seed)
    assert refused(judge(SEVERAL, several(10 + seed), champion)) == set()
    assert refused(judge(SEVERAL, several(10 + seed), several(50 + seed, noise=1.0))) == set()
    assert {"non_inferior_macro_auc", "non_inferior_log_loss"} <= refused(
        judge(SEVERAL, several(10 + seed, noise=1.0), champion)
    )
    assert {"calibration"} <= refused(judge(SEVERAL, several(10 + seed, shift=0.8), champion))


def test_the_value_of_classes_and_a_figure_that_a_kind_does_not_have():
    value = Value(matrix=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), margin=0.02)
    assert refused(judge(SEVERAL, several(10), several(50), value=value)) == set()
    found = refused(judge(SEVERAL, several(10), several(50), margin_precision=0.1))
    assert found == {"non_inferior_average_precision"}


# --- volume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("question", "make"), [(BINARY, rare), (NUMBER, lambda seed: Demand(seed).champion)])
def test_no_group_that_is_large_enough_is_a_note_and_never_a_refusal(question, make):
    scores = make(1)
    alone = replace(scores, slices=pd.DataFrame({"shop": [f"shop {n}" for n in range(len(scores.y))]}))
    verdict = judge(question, alone, alone, **(RARE if question is BINARY else {}))
    found = {rule.name: rule for rule in verdict.rules}["slice_shop"]
    assert verdict.is_accepted
    assert (found.value, found.limit) == (None, None)
    assert found.reason.startswith("not judged: none of the")
    rows = alone.slices.assign(label=scores.y)
    small = replace(POLICY, max_gap=Share(0.2), retrain_gap=Share(0.2))
    (said,) = find_unjudged(question, rows, timedelta(days=DAYS), small)
    assert said.startswith("all groups of shop: none has 300 rows")


def test_small_groups_are_told_by_name_and_the_large_ones_are_judged():
    rows = pd.DataFrame({"label": np.arange(700.0), "shop": ["north"] * 694 + list("abcdef")})
    (said,) = find_unjudged(
        NUMBER, rows, timedelta(days=DAYS), replace(POLICY, max_gap=Share(0.2), retrain_gap=Share(0.2))
    )
    assert said == "6 of 7 groups of shop (a, b, c, d, e, ...): none has 300 rows with different labels in 28 days"


def test_a_series_too_short_for_drift_is_told():
    rows = pd.DataFrame({"label": np.arange(100.0), "shop": "north"})
    said = find_unjudged(NUMBER, rows, timedelta(days=28), replace(POLICY, slices=()))
    assert said == ("drift and volume of weeks: a week has about 25 rows, and 50 are needed",)
    assert find_unjudged(NUMBER, rows, timedelta(days=14), replace(POLICY, slices=())) == ()


# --- sliding holdouts -------------------------------------------------------------------------------------------------


def cut(scores, first):
    """The rows of the holdout of four weeks that begins on a day."""
    day = (scores.day - FIRST).astype("int64")
    rows = (day >= first) & (day < first + DAYS)
    slices = scores.slices[rows].reset_index(drop=True)
    return replace(scores, y=scores.y[rows], p=scores.p[rows], day=scores.day[rows], slices=slices)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("challenger", "least", "most"),
    [
        ("stale", 0.0, 0.0),
        ("a_fifth", 0.0, 0.1),
        ("without_history", 0.0, 0.0),
        ("noisy_labels", 0.0, 0.1),
        ("biased", 0.0, 0.0),
        ("newer", 0.9, 1.0),
    ],
)
def test_the_gate_errs_rarely_on_sliding_holdouts_of_a_number(challenger, least, most):
    accepted = []
    for seed in range(3):
        demand = Demand(100 + seed)
        demand.holdout = demand.rows(DAYS + 12 * 7)
        versions = getattr(demand, challenger)(), demand.champion
        holdouts = [[cut(scores, first) for scores in versions] for first in range(0, 12 * 7 + 1, 7)]
        accepted += [judge(NUMBER, *holdout).is_accepted for holdout in holdouts]
    assert least <= np.mean(accepted) <= most
