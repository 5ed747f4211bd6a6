import json
import math
from dataclasses import FrozenInstanceError, asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BINARY

from mlops.contract import ConfigError, ModelError, Policy, Rule, Value
from mlops.modeling.coverage import COUNTS, Coverage
from mlops.modeling.gate_case import Scored, ServingChecks
from mlops.modeling.gates import compare_versions, decide_verdict

FIRST = np.datetime64("2013-06-01")
TRAINED = datetime(2013, 5, 30, tzinfo=UTC)
POLICY = Policy(
    holdout=timedelta(days=28),
    maturity=timedelta(days=2),
    min_ranking=0.65,
    min_skill=0.02,
    max_ranking=0.9,
    margin_ranking=0.005,
    margin_loss=0.002,
    max_gap=0.05,
    slices=("origin", "band"),
    slice_min_rows=300,
    slice_min_positives=30,
    replicates=200,
)
RULES = [
    "contract",
    "latency",
    "size",
    "complete",
    "unseen",
    "floor_auc",
    "floor_skill",
    "leak",
    "calibration",
    "champion",
    "non_inferior_auc",
    "non_inferior_log_loss",
    "slice_origin",
    "slice_band",
]
PROMISES = {"contract", "latency", "size"}
rng = np.random.default_rng(20130601)
ROWS = 7_000
DAY = FIRST + np.arange(ROWS) % 28
LOGIT = rng.normal(-1.3, 1.0, ROWS) + rng.normal(0, 0.7, 28)[np.arange(ROWS) % 28]
Y = (rng.random(ROWS) < 1 / (1 + np.exp(-LOGIT))).astype("int64")
SLICES = pd.DataFrame(
    {"origin": rng.choice(["EWR", "JFK", "LGA"], ROWS), "band": rng.choice(["night", None, "day"], ROWS)}
)


def seen(seed, noise=0.07, shift=0.0, where=True):
    """Predictions of a model that sees the truth through noise, and in some rows shifted, on the scale of log-odds."""
    off = np.random.default_rng(seed).normal(0, noise, ROWS) + shift
    return 1 / (1 + np.exp(-LOGIT - np.where(where, off, 0.0)))


def scored(p, **changes):
    return replace(Scored(Y, p, DAY, SLICES, TRAINED), **changes)


CHAMPION = scored(seen(1))
EQUAL = scored(seen(2))


KEPT = ServingChecks(problems=(), latency_ms=40.0, size_mb=2.5)
WHOLE = Coverage(pd.DataFrame({"day": FIRST + np.arange(28), **dict.fromkeys(COUNTS, ROWS // 28)}), pd.Timestamp(FIRST))


def verdict(challenger=EQUAL, champion=CHAMPION, contract=KEPT, coverage=WHOLE, **limits):
    policy = replace(POLICY, **limits)
    return decide_verdict(
        question=BINARY, challenger=challenger, contract=contract, champion=champion, coverage=coverage, policy=policy
    )


def rule(judged, name):
    return next(found for found in judged.rules if found.name == name)


def refused(judged):
    return {found.name for found in judged.rules if not found.passed}


# --- what must pass, what must not ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_challenger_as_good_as_the_champion_is_accepted(seed):
    assert refused(verdict(scored(seen(100 + seed)))) == set()


def test_a_better_challenger_is_accepted_and_the_swap_is_not():
    better = scored(seen(3, noise=0.05))
    assert verdict(better, scored(seen(1, noise=0.8))).is_accepted
    assert not verdict(scored(seen(1, noise=0.8)), better).is_accepted


WEAK = scored(seen(4, noise=1.0))
HARMFUL = {
    "stale: sees the world through more noise": (WEAK, {"non_inferior_auc", "non_inferior_log_loss"}),
    "label noise: too timid": (scored(0.7 * seen(2) + 0.15), {"non_inferior_log_loss", "calibration"}),
    "too sure of lateness": (scored(seen(2, shift=0.6)), {"calibration", "non_inferior_log_loss"}),
    "broken in one slice": (
        scored(seen(5, noise=1.2, where=SLICES["band"] == "night")),
        {"non_inferior_auc", "non_inferior_log_loss", "slice_band"},
    ),
    "knows the answer": (scored(np.clip(0.9 * Y + 0.1 * seen(2), 0, 1)), {"leak"}),
    "knows nothing": (scored(np.full(ROWS, Y.mean())), {"floor_auc", "floor_skill", "non_inferior_auc"}),
}


@pytest.mark.parametrize(("challenger", "expected"), HARMFUL.values(), ids=HARMFUL.keys())
def test_a_harmful_challenger_is_refused_by_the_rules_made_for_it(challenger, expected):
    judged = verdict(challenger)
    assert not judged.is_accepted
    assert expected <= refused(judged)


def test_a_slice_alone_can_refuse():
    small = (SLICES["band"] == "night") & (SLICES["origin"] == "EWR") & (DAY < FIRST + 14)
    slices = SLICES.assign(band=np.where(small, "night", "day"))
    challenger = scored(seen(5, noise=3.0, where=small), slices=slices)
    champion = scored(seen(5, noise=0.0), slices=slices)
    judged = verdict(challenger, champion, margin_ranking=0.1, margin_loss=0.1, slice_margin_ranking=0.1)
    assert refused(judged) == {"slice_band"}
    found = rule(judged, "slice_band")
    assert found.value < -0.1
    assert found.reason == (
        f"2 of 2 groups are large enough; in the worst, night, AUC is {found.value:+.4f} off the champion's; "
        "down to -0.1000 is allowed"
    )


@pytest.mark.parametrize(
    ("contract", "expected", "reason"),
    [
        (
            replace(KEPT, problems=("input a is long", "missing numbers raised")),
            {"contract"},
            "input a is long; missing",
        ),
        (replace(KEPT, latency_ms=math.nan), {"latency"}, "could not be judged: the figure is nan, its limit 100.0"),
        (ModelError("not loaded"), PROMISES, "the challenger's contract was not measured: not loaded"),
    ],
)
def test_a_broken_promise_is_refused_with_its_words(contract, expected, reason):
    judged = verdict(contract=contract)
    assert refused(judged) == expected
    assert reason in rule(judged, min(expected)).reason


# --- every rule, at its limit -----------------------------------------------------------------------------------------

UP, DOWN = math.inf, -math.inf
LIMITS = [
    ("latency", "max_latency_ms", 1, DOWN),
    ("size", "max_size_mb", 1, DOWN),
    ("floor_auc", "min_ranking", 1, UP),
    ("floor_skill", "min_skill", 1, UP),
    ("leak", "max_ranking", 1, DOWN),
    ("non_inferior_auc", "margin_ranking", -1, DOWN),
    ("non_inferior_log_loss", "margin_loss", 1, DOWN),
    ("slice_origin", "slice_margin_ranking", -1, DOWN),
]


@pytest.mark.parametrize(("name", "limit", "sign", "stricter"), LIMITS)
def test_a_figure_at_its_limit_passes_and_one_step_beyond_is_refused(name, limit, sign, stricter):
    value = rule(verdict(), name).value
    at = rule(verdict(**{limit: sign * value}), name)
    assert (at.passed, at.value, at.limit) == (True, value, value)
    beyond = rule(verdict(**{limit: math.nextafter(sign * value, stricter)}), name)
    assert (beyond.passed, beyond.value) == (False, value)


def test_calibration_is_judged_by_its_limit_or_the_champions_gap_and_a_little():
    challenger = scored(seen(2, shift=-0.6))
    gap = -BINARY.compute_metrics(Y, challenger.p).gap
    assert gap > 0.05
    alone = rule(verdict(challenger, None, max_gap=gap), "calibration")
    assert (alone.passed, alone.value, alone.limit) == (True, gap, gap)
    assert not rule(verdict(challenger, None, max_gap=math.nextafter(gap, 0)), "calibration").passed
    assert not rule(verdict(challenger), "calibration").passed
    for shift in (-0.6, 0.6):  # a gap counts in both directions
        champion = scored(seen(1, shift=shift))
        beside = rule(verdict(challenger, champion, max_gap=0.0), "calibration")
        assert beside.passed
        assert beside.limit == abs(BINARY.compute_metrics(Y, champion.p).gap) + 0.01
    assert rule(verdict(champion=champion, max_gap=0.5), "calibration").limit == 0.5


@pytest.mark.parametrize("who", ["challenger", "champion"])
def test_training_may_end_where_the_holdout_begins_and_not_a_moment_later(who):
    begin = datetime(2013, 6, 1, tzinfo=UTC)
    versions = {"challenger": EQUAL, "champion": CHAMPION}
    at = rule(verdict(**(versions | {who: replace(versions[who], trained_until=begin)})), "unseen")
    assert (at.passed, at.value, at.limit) == (True, 0.0, 0.0)
    later = replace(versions[who], trained_until=begin + timedelta(microseconds=1))
    overlap = verdict(**(versions | {who: later}))
    assert refused(overlap) == {"unseen"}


def test_the_days_between_training_and_holdout_are_told():
    found = rule(verdict(), "unseen")
    assert (found.value, found.reason) == (2.0, "the holdout begins 2.0 days after training ended on 2013-05-30")


def test_a_slice_group_is_judged_from_its_size_floors_on():
    slices = pd.DataFrame({"origin": np.where(np.arange(ROWS) < 1000, "small", None), "band": "all"})
    slices.loc[1000:, "origin"] = [f"N{row}" for row in range(ROWS - 1000)]
    positives = int(Y[:1000].sum())
    challenger = replace(EQUAL, slices=slices)

    def judged(rows, each):
        return rule(verdict(challenger, slice_min_rows=rows, slice_min_positives=each), "slice_origin")

    assert judged(1000, positives).passed
    assert "1 of 6001 groups are large enough; in the worst, small, AUC is" in judged(1000, positives).reason
    for rows, each in ((1001, positives), (1000, positives + 1)):
        none = judged(rows, each)
        assert none.passed
        assert none.reason == (
            f"not judged: none of the 6001 groups of 'origin' has {rows} rows and {each} of each class"
        )


def test_a_group_with_too_few_negatives_is_not_judged():
    mostly_late = (Y == 1) | (np.arange(ROWS) < 50)
    slices = SLICES.assign(band=np.where(mostly_late, "late", "early"))
    few = int(((Y == 0) & mostly_late).sum())
    assert rule(verdict(replace(EQUAL, slices=slices), slice_min_positives=few + 1), "slice_band").value is None
    assert rule(verdict(replace(EQUAL, slices=slices), slice_min_positives=few), "slice_band").value is not None


def test_missing_values_and_odd_names_are_groups_too():
    slices = SLICES.assign(band=np.where(SLICES["band"].isna(), None, "{odd} {0}"))
    gone = SLICES["band"].isna().to_numpy()
    odd = verdict(scored(seen(5, noise=1.5, where=~gone), slices=slices))
    assert "2 of 2 groups are large enough; in the worst, {odd} {0}, AUC" in rule(odd, "slice_band").reason
    missing = verdict(scored(seen(5, noise=1.5, where=gone), slices=slices))
    assert "in the worst, nan, AUC" in rule(missing, "slice_band").reason.replace("None", "nan")
    assert not rule(odd, "slice_band").passed
    assert not rule(missing, "slice_band").passed


def test_bounds_are_one_sided_towards_harm():
    middle, sure = verdict(confidence=0.5), verdict(confidence=0.99)
    assert rule(sure, "non_inferior_auc").value < rule(middle, "non_inferior_auc").value
    assert rule(sure, "non_inferior_log_loss").value > rule(middle, "non_inferior_log_loss").value


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("challenger", [EQUAL, WEAK, scored(np.full(ROWS, math.nan)), ModelError("gone")])
@pytest.mark.parametrize("champion", [CHAMPION, None, ModelError("gone")])
def test_every_rule_is_reported_in_order_with_a_reason_and_can_be_written_as_json(challenger, champion):
    judged = verdict(challenger, champion)
    assert [found.name for found in judged.rules] == RULES
    assert all(found.reason for found in judged.rules)
    json.dumps(asdict(judged), allow_nan=False)


def test_reasons_are_plain_words_with_the_figures():
    judged = verdict(min_ranking=0.7)
    auc, champion = BINARY.compute_metrics(Y, EQUAL.p).ranking, BINARY.compute_metrics(Y, CHAMPION.p).ranking
    assert rule(judged, "complete").value == ROWS
    assert (rule(judged, "contract").value, rule(judged, "contract").limit) == (0, 0)
    expected = {
        "contract": "it takes the features, unseen and missing values too",
        "latency": "99 of 100 single rows take at most 40.0 ms of processor time; 100.0 are allowed",
        "size": "its files have 2.5 MB; 50.0 MB are allowed",
        "complete": (f"7000 of 7000 entities have a prediction and a label, on 28 of 28 days; {Y.sum()} are positive"),
        "floor_auc": f"AUC is {auc:.4f} and must be at least 0.7000",
        "leak": f"AUC is {auc:.4f}; above 0.9000 some feature would know the answer",
        "champion": f"the champion answered the same 7000 rows with AUC {champion:.4f}",
    }
    assert {name: rule(judged, name).reason for name in expected} == expected
    skill = rule(judged, "floor_skill")
    assert skill.reason == f"log-loss skill is {skill.value:.4f} and must be at least 0.0200"
    gap = rule(judged, "calibration")
    assert (
        gap.reason == f"mean prediction is {gap.value:.4f} off the mean label (it predicts too much); 0.0500 is allowed"
    )
    for name, minus in (
        ("non_inferior_auc", "AUC minus the champion's is at least {:+.4f}; down to -0.0050 is allowed"),
        ("non_inferior_log_loss", "log-loss minus the champion's is at most {:+.4f}; up to +0.0020 is allowed"),
    ):
        found = rule(judged, name)
        assert found.reason == f"with 95.0% confidence, {minus.format(found.value)}"


def test_answers_are_frozen_and_told_apart_by_identity():
    assert len({CHAMPION, CHAMPION, replace(CHAMPION)}) == 2
    with pytest.raises(FrozenInstanceError):
        CHAMPION.p = EQUAL.p


def test_the_same_rows_always_get_the_same_verdict():
    assert verdict() == verdict()


def test_the_first_version_is_judged_without_a_champion():
    first = verdict(champion=None)
    assert first.is_accepted
    assert {found.reason for found in first.rules[9:]} == {"there is no champion yet to compare with"}
    assert refused(verdict(WEAK, None, min_ranking=0.99, max_ranking=0.5)) == {"floor_auc", "leak"}


def test_a_holdout_of_which_days_have_no_outcome_is_refused_and_says_how_many_of_how_many():
    days = WHOLE.days.assign(reported=np.where(np.arange(28) < 8, 250, 0), labelled=np.where(np.arange(28) < 8, 250, 0))
    judged = verdict(coverage=replace(WHOLE, days=days))
    assert refused(judged) == {"complete"}
    assert rule(judged, "complete").reason == (
        f"7000 of 7000 entities have a prediction and a label, on 28 of 28 days; {Y.sum()} are positive: "
        "5,000 of 7,000 entities have no reported outcome; 2.0% is allowed; "
        "20 of 28 days have no label at all, first 2013-06-09"
    )


# --- fail closed ------------------------------------------------------------------------------------------------------


def test_a_version_that_gave_no_answers_is_refused_with_its_own_words():
    gone = verdict(ModelError("version 7 is missing"))
    assert refused(gone) == set(RULES) - PROMISES
    assert {f.reason for f in gone.rules if f.name not in PROMISES} == {
        "could not be judged: the challenger gave no answers: version 7 is missing"
    }
    silent = verdict(champion=ValueError("no\tanswer"))
    assert refused(silent) == set(RULES) - PROMISES - {"complete", "floor_auc", "floor_skill", "leak"}
    assert rule(silent, "champion").reason == (
        r"could not be judged: the champion gave no answers: ValueError('no\tanswer')"
    )


@pytest.mark.parametrize("change", [{"y": 1 - Y}, {"day": DAY + 1}, {"y": Y[1:], "p": CHAMPION.p[1:], "day": DAY[1:]}])
def test_a_champion_that_answered_other_rows_is_no_comparison(change):
    judged = verdict(champion=replace(CHAMPION, **change))
    assert {"champion", "non_inferior_auc", "non_inferior_log_loss", "slice_origin"} <= refused(judged)
    assert rule(judged, "champion").reason == (
        "could not be judged: champion and challenger did not answer the same rows: "
        "score both on one holdout, in one order"
    )


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        (
            {"slices": SLICES[["origin"]]},
            "slice_band",
            "judged: the holdout's 7000 rows do not all carry the slice column 'band'",
        ),
        (
            {"slices": SLICES[:-1]},
            "slice_band",
            "judged: the holdout's 7000 rows do not all carry the slice column 'band'",
        ),
        ({"slices": SLICES.assign(band="x")[:0]}, "slice_origin", "do not all carry the slice column 'origin'"),
        ({"slices": None}, "slice_origin", "TypeError"),
        ({"day": DAY[:-1]}, "complete", "judged: not every one of the 7000 rows has its day"),
        ({"day": np.where(np.arange(ROWS) == 3, np.datetime64("NaT"), DAY)}, "complete", "has its day"),
        ({"day": np.full(ROWS, FIRST)}, "non_inferior_auc", "all 7000 rows are of one day"),
        ({"p": EQUAL.p[:-1]}, "complete", "labels of shape"),
        ({"p": np.where(np.arange(ROWS) == 3, math.nan, EQUAL.p)}, "complete", "1 of 7000 predictions are missing"),
        ({"p": np.full(ROWS, "likely")}, "floor_auc", "could not convert string to float"),
        ({"y": np.zeros(ROWS)}, "complete", "all 7000 labels are 0"),
        ({"y": Y[:0], "p": EQUAL.p[:0], "day": DAY[:0]}, "complete", "there is no matured row"),
        ({"trained_until": TRAINED.replace(tzinfo=None)}, "unseen", "TypeError"),
    ],
)
def test_a_holdout_that_cannot_be_judged_is_refused_with_the_reason(change, name, reason):
    judged = verdict(
        replace(EQUAL, **change), replace(CHAMPION, **{k: v for k, v in change.items() if k in {"y", "day"}})
    )
    assert [found.name for found in judged.rules] == RULES
    assert not judged.is_accepted
    assert not rule(judged, name).passed
    assert reason in rule(judged, name).reason


def test_a_figure_that_is_no_number_refuses_its_rule():
    names = np.where(np.arange(ROWS) < ROWS // 2, "a", "b")
    one_class_days = np.where(Y == 1, FIRST, FIRST + 1)  # most draws hold both, some hold one class only
    day = {"day": one_class_days, "slices": SLICES.assign(band=names)}
    judged = verdict(replace(EQUAL, **day), replace(CHAMPION, **day))
    found = rule(judged, "non_inferior_auc")
    assert (found.passed, found.value, found.limit) == (False, None, None)
    assert found.reason == "could not be judged: the figure is nan, its limit -0.005"


@pytest.mark.parametrize(
    ("limit", "bad"),
    [
        *[
            (name, math.nan)
            for name in ("min_ranking", "min_skill", "max_ranking", "margin_ranking", "margin_loss", "confidence")
        ],
        *[(name, math.nan) for name in ("max_gap", "slice_margin_ranking", "slice_min_rows")],
        *[
            ("slice_min_positives", math.nan),
            ("min_ranking", -math.inf),
            ("margin_ranking", math.inf),
            ("max_ranking", math.inf),
        ],
    ],
)
def test_a_limit_that_is_no_number_refuses(limit, bad):
    assert not verdict(**{limit: bad}).is_accepted


@settings(max_examples=15, deadline=None)
@given(
    who=st.sampled_from(["challenger", "champion"]),
    field=st.sampled_from(["p", "y", "day"]),
    row=st.integers(0, ROWS - 1),
    bad=st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_one_row_that_is_no_number_refuses(who, field, row, bad):
    versions = {"challenger": EQUAL, "champion": CHAMPION}
    values = getattr(versions[who], field).astype("datetime64[D]" if field == "day" else "float64")
    values[row] = np.datetime64("NaT") if field == "day" else bad
    assert verdict(**versions).is_accepted
    assert not verdict(**(versions | {who: replace(versions[who], **{field: values})})).is_accepted


# --- a fork's own rules -----------------------------------------------------------------------------------------------


def no_worse_at_night(case):
    """A rule of a fork: mean log-odds of the challenger's predictions at night stay within .1 of the champion's."""
    night = (case.slices["band"] == "night").to_numpy()
    gap = abs(case.challenger_predictions[night].mean() - case.champion_predictions[night].mean())
    return Rule("any", passed=gap <= 0.1, value=gap, limit=0.1, reason=f"differs by {gap:.3f} at night")


def always(case):
    return Rule("always", passed=True, value=None, limit=None, reason=f"{case.challenger.rows} rows")


def broken(case):
    raise KeyError("no such column")


def endless(case):
    return Rule("endless", passed=True, value=math.nan, limit=0.0, reason="")


def forgetful(case):
    return True


def leak(case):
    return always(case)


def greedy(case):
    case.labels[:] = 1


def test_a_rule_of_a_fork_is_judged_after_the_gates_own_and_under_its_own_name():
    judged = verdict(extra_rules=(always, no_worse_at_night))
    assert [r.name for r in judged.rules] == [*RULES, "always", "no_worse_at_night"]
    assert judged.is_accepted
    assert rule(judged, "always").reason == f"{ROWS} rows"
    assert rule(judged, "no_worse_at_night").limit == 0.1
    worse = verdict(scored(seen(2, shift=1.0, where=SLICES["band"] == "night")), extra_rules=(no_worse_at_night,))
    assert "no_worse_at_night" in refused(worse)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (broken, "could not be judged: KeyError('no such column')"),
        (endless, "could not be judged: the figure is nan, its limit 0.0"),
        (forgetful, "could not be judged: forgetful returned bool: it must return a Rule"),
        (leak, "could not be judged: the gate has a rule 'leak' of its own"),
        (greedy, "read-only"),
    ],
)
def test_a_rule_of_a_fork_that_fails_refuses_the_version_and_says_its_name(extra, reason):
    judged = verdict(extra_rules=(extra,))
    assert (judged.is_accepted, refused(judged)) == (False, {extra.__name__})
    assert reason in judged.rules[-1].reason


def test_a_rule_of_a_fork_sees_whether_there_is_a_champion():
    seen_cases = []

    def keep(case):
        seen_cases.append(case)
        return always(case)

    verdict(extra_rules=(keep,))
    verdict(champion=None, extra_rules=(keep,))
    beside, alone = seen_cases
    assert (beside.champion, alone.champion) == (BINARY.compute_metrics(Y, CHAMPION.p), None)
    assert alone.champion_predictions is None
    np.testing.assert_array_equal(beside.champion_predictions, CHAMPION.p)
    assert refused(verdict(champion=ModelError("gone"), extra_rules=(keep,))) >= {"keep"}
    with pytest.raises(FrozenInstanceError):
        beside.champion = None


@pytest.mark.parametrize("limit", ["max_read_bytes", "max_collected_rows", "max_group_rows", "max_training_rows"])
def test_a_limit_of_rows_that_leaves_no_row_is_refused(limit):
    with pytest.raises(ConfigError, match=f"{limit} is 0: it must be at least 1"):
        replace(POLICY, **{limit: 0})


def test_an_extra_rule_is_a_function_with_a_name_of_its_own():
    with pytest.raises(ConfigError, match="is not a function with a name: define it with def"):
        replace(POLICY, extra_rules=(lambda _: Rule("x", passed=True, value=None, limit=None, reason=""),))
    with pytest.raises(ConfigError, match="several rules named always"):
        replace(POLICY, extra_rules=(always, always))


def test_extra_rules_enter_the_case_by_their_source_and_not_by_their_address():
    policy = replace(POLICY, extra_rules=(always,))
    assert repr(policy) == repr(POLICY)
    ((name, source),) = policy.rule_sources
    assert name == "always"
    assert "def always(case)" in source


# --- a version that serves already ------------------------------------------------------------------------------------


def of_rows(version, rows):
    return replace(
        version, y=version.y[rows], p=version.p[rows], day=version.day[rows], slices=version.slices.iloc[rows]
    )


def judged_in_rollout(new, before, **limits):
    return {one.name: one for one in compare_versions(BINARY, new, before, replace(POLICY, **limits))}


def test_a_few_rows_take_hardly_a_good_version_back_although_the_gate_would_refuse_most():
    """The gate wants a proof that a version is not worse, which a thousand rows cannot give."""
    taken_back, not_proved = 0, 0
    for seed in range(10):
        rows = np.random.default_rng(seed).choice(ROWS, 1_000, replace=False)
        new, before = of_rows(scored(seen(100 + seed)), rows), of_rows(CHAMPION, rows)
        taken_back += not all(one.passed for one in judged_in_rollout(new, before).values())
        not_proved += bool(refused(verdict(new, before)) & {"non_inferior_auc", "non_inferior_log_loss"})
    assert taken_back <= 1
    assert not_proved >= 7


@pytest.mark.parametrize(
    ("worse", "rule"),
    [
        (seen(1, noise=0.8), "not_worse_auc"),
        (seen(1, noise=0.8), "not_worse_log_loss"),
        (seen(1, shift=0.6), "not_worse_log_loss"),
        (seen(1, noise=1.5, where=(SLICES.origin == "JFK").to_numpy()), "not_worse_by_origin"),
    ],
)
def test_a_version_that_is_worse_is_taken_back(worse, rule):
    found = judged_in_rollout(scored(worse), CHAMPION)
    assert not found[rule].passed
    assert "is allowed" in found[rule].reason


@given(seed=st.integers(0, 10_000), noise=st.sampled_from([0.0, 0.1, 0.3, 0.6]), rows=st.integers(400, 3_000))
@settings(max_examples=15)
def test_a_version_that_is_proved_not_worse_is_not_proved_worse(seed, noise, rows):
    chosen = np.random.default_rng(seed).choice(ROWS, rows, replace=False)
    new, before = of_rows(scored(seen(seed, noise=noise)), chosen), of_rows(CHAMPION, chosen)
    value = Value(matrix=((0.0, -1.0), (0.0, 5.0)), margin=0.01)
    limits = {"slices": (), "margin_precision": 0.01, "value": value, "replicates": 100}
    by_gate = {one.name: one for one in verdict(new, before, **limits).rules}
    in_rollout = judged_in_rollout(new, before, **limits)
    assert in_rollout.keys() == {f"not_worse_{name}" for name in ("auc", "log_loss", "average_precision", "value")}
    for name, one in in_rollout.items():
        assert one.passed or not by_gate[name.replace("not_worse", "non_inferior")].passed


def test_a_slice_whose_groups_are_of_one_day_each_and_a_rare_class_are_not_judged_by_ranking_but_by_loss():
    rows = np.flatnonzero(FIRST + np.timedelta64(2, "D") > DAY)
    slices = SLICES.assign(origin=DAY.astype(str))
    new, before = (of_rows(replace(one, slices=slices), rows) for one in (CHAMPION, CHAMPION))
    found = judged_in_rollout(new, before, slice_min_rows=20, slice_min_positives=5, slices=("origin",))
    assert all(one.passed for one in found.values())
    assert "not judged: none of the 2 groups" in found["not_worse_by_origin"].reason
    rare = replace(CHAMPION, y=np.where(np.cumsum(Y) <= 25, Y, 0))
    found = judged_in_rollout(replace(rare, p=np.clip(rare.p * 3, 0, 0.99)), rare, slices=())
    assert "not judged: the 7000 rows" in found["not_worse_auc"].reason
    assert not found["not_worse_log_loss"].passed


def test_a_group_of_one_day_proves_nothing_and_a_draw_of_one_class_is_left_out():
    rows = np.flatnonzero((DAY == FIRST) | (SLICES.origin == "EWR").to_numpy())
    slices = SLICES.assign(origin=np.where(DAY == FIRST, "one day", "EWR"))
    new, before = (of_rows(replace(one, slices=slices), rows) for one in (scored(1 - seen(1)), CHAMPION))
    found = judged_in_rollout(new, before, slice_min_rows=20, slice_min_positives=5, slices=("origin",))
    assert "in the worst, EWR" in found["not_worse_by_origin"].reason
    lone = replace(EQUAL, y=np.where(DAY == FIRST, Y, 0))
    found = judged_in_rollout(lone, replace(CHAMPION, y=lone.y), slices=())
    assert all(one.passed for one in found.values())
