import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kinds import BINARY, NUMBER
from sklearn.metrics import log_loss, roc_auc_score

from mlops.modeling.backtest import Backtest, log_baseline
from mlops.modeling.baselines import make_baselines

rng = np.random.default_rng(0)
ROWS = 600
FRAME = pd.DataFrame(
    {"size": rng.normal(size=ROWS), "kind": rng.choice(["x", "y"], ROWS).astype(object), "never": np.nan}
)
Y = (rng.random(ROWS) < 1 / (1 + np.exp(-2 * FRAME["size"] - np.where(FRAME["kind"] == "x", 1.5, -1.5)))).astype(
    "int64"
)


def test_the_dummy_answers_the_base_rate_and_the_line_uses_numbers_and_categories():
    answers = {
        who: each.fit(FRAME, Y).predict_proba(FRAME)[:, 1] for who, each in make_baselines(BINARY, FRAME).items()
    }
    assert answers["dummy"] == pytest.approx(Y.mean())
    alone = (
        make_baselines(BINARY, FRAME[["size"]])["linear"].fit(FRAME[["size"]], Y).predict_proba(FRAME[["size"]])[:, 1]
    )
    assert roc_auc_score(Y, answers["linear"]) > roc_auc_score(Y, alone) + 0.02 > 0.7
    assert log_loss(Y, answers["linear"]) < log_loss(Y, answers["dummy"])


def test_a_missing_number_is_the_median_and_rare_categories_are_one():
    rare = pd.DataFrame({"size": [0.0] * 40 + [1.0, 100.0, np.nan], "kind": [f"k{n}" for n in range(43)]})
    linear = make_baselines(BINARY, rare)["linear"].fit(rare, np.arange(43) % 2)
    assert linear.predict_proba(rare.assign(size=np.nan)) == pytest.approx(linear.predict_proba(rare.assign(size=0.0)))
    assert linear[:-1].transform(rare).shape == (43, 31)


def test_what_is_missing_or_was_never_seen_gets_an_answer():
    linear = make_baselines(BINARY, FRAME)["linear"].fit(FRAME, Y)
    odd = pd.DataFrame({"size": [np.nan, 0.0], "kind": [None, "z"], "never": [1.0, np.nan]})
    assert ((linear.predict_proba(odd) > 0) & (linear.predict_proba(odd) < 1)).all()


@pytest.mark.parametrize(
    ("question", "linear", "warned"), [(BINARY, 0.5, False), (BINARY, 0.3, True), (NUMBER, 0.3, True)]
)
def test_training_tells_the_linear_baseline_beside_the_model_and_warns_where_it_is_better(
    caplog, question, linear, warned
):
    names = question.names
    figures = {f"model_{names.ranking}": 0.7, f"model_{names.loss}": 0.4}
    figures |= {f"linear_{names.ranking}": 0.6, f"linear_{names.loss}": linear}
    study = Backtest({f"backtest_{name}": value for name, value in figures.items()}, {})
    job = SimpleNamespace(use_case=SimpleNamespace(label=question.label), log=logging.getLogger("mlops.training"))
    with caplog.at_level("INFO"):
        log_baseline(job, study)
    shown = f"{names.ranking_words} 0.7000 (linear 0.6000), {names.loss_words} 0.4000 (linear {linear:.4f})"
    assert caplog.messages[0].endswith(shown)
    assert ("the linear baseline is better than the model" in caplog.text) == warned
