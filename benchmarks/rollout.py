"""Measures how often a rollout takes back a version that is as good, and keeps one that is worse.

Each holdout of `benchmarks gates` (28 days of the second half-year, begun a week apart) stands for the matured rows of
one rollout, of which a step asks for some. The versions are those whose worth that benchmark knows. The share that the
gate's own rules would refuse on the same rows is printed beside it.
"""

from __future__ import annotations

import numpy as np

from benchmarks import report
from benchmarks.gates import DRAWS, QUESTION, Holdout, Year, list_departures, score_holdout
from mlops.config import RolloutConfig
from mlops.modeling.gate_case import Case
from mlops.modeling.gate_comparisons import comparison_rules
from mlops.modeling.gates import compare_versions
from mlops.serving.rollout import MAX_SHIFT
from mlops.serving.rollout_evidence import largest_shift
from usecase import USE_CASE

_ROWS = (1_000, RolloutConfig.model_fields["rollout_rows"].default, 20_000)


def main() -> None:
    """Print the share of rollouts that are taken back, and the largest shift of predictions, by version and rows."""
    year = Year()
    champion, policy = year.champion, USE_CASE.policy
    pairs = {
        "other_random_state": (year.seed(1), champion, True),
        "tuned": (year.fitted(parameters={"max_iter": 360, "learning_rate": 0.02}), champion, True),
        "fresh_against_stale": (year.fresh, year.stale, True),
        "no_departures": (year.without(list_departures()), champion, False),
        "label_noise": (year.noisy(0.15), champion, False),
    }
    for name, (new, old, is_good) in pairs.items():
        for rows in _ROWS:
            taken_back, refused, shifts = [], [], []
            for holdout in year.holdouts[:: DRAWS + 1]:
                sample = _sample(holdout, rows)
                after, before = score_holdout(year, new, sample), score_holdout(year, old, sample)
                shifts.append(largest_shift(before.p, after.p))
                rules = compare_versions(QUESTION, after, before, policy)
                taken_back.append(shifts[-1] > MAX_SHIFT or not all(rule.passed for rule in rules))
                case = Case(QUESTION, after, ValueError("not measured"), before, None, policy)
                refused.append(not all(judge(case)[0] for judge in comparison_rules(QUESTION, policy).values()))
            case_name, target = f"{name}_{rows}", (0.05 if is_good else 0.9) if rows == _ROWS[1] else None
            better = "lower" if is_good else "higher"
            report("rollout", f"taken_back_{case_name}", np.mean(taken_back), "share", better=better, target=target)
            report("rollout", f"gate_refuses_{case_name}", np.mean(refused), "share", better=better)
            report("rollout", f"largest_shift_{case_name}", max(shifts), "standard deviations", better="lower")


def _sample(holdout: Holdout, rows: int) -> Holdout:
    chosen = np.random.default_rng(0).choice(len(holdout.rows), min(rows, len(holdout.rows)), replace=False)
    chosen.sort()
    return Holdout(holdout.begin, holdout.rows[chosen], holdout.day[chosen])


if __name__ == "__main__":
    main()
