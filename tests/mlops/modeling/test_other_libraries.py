"""A model of another library, or with a transformer of one's own: which types it holds, and where they come from."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops.contract import ConfigError, Model
from mlops.modeling.trial_fit import check_types
from mlops.platform import model_scan

BOOSTER = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier")
XGBOOST = ("xgboost.core.Booster", "xgboost.sklearn.XGBClassifier")
TREE = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)


class Clip(TransformerMixin, BaseEstimator):
    """A transformer of one's own."""

    def fit(self, inputs, labels=None):
        self.low_ = float(inputs.min().min())
        return self

    def transform(self, inputs):
        return inputs.clip(self.low_)


def boosted(_):
    from lightgbm import LGBMClassifier

    return make_pipeline(Clip(), LGBMClassifier(n_estimators=3, verbose=-1))


def boosted_by_xgboost(_):
    from xgboost import XGBClassifier

    return make_pipeline(Clip(), XGBClassifier(n_estimators=3, n_jobs=1))


LIBRARIES = pytest.mark.parametrize(
    ("make", "types"), [(boosted, BOOSTER), (boosted_by_xgboost, XGBOOST)], ids=["LightGBM", "XGBoost"]
)


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    inputs = pd.DataFrame(generator.normal(size=(2000, 2)), columns=["a", "b"])
    return inputs, (inputs["a"] > 2).astype("int64").rename("label")  # one of forty


@LIBRARIES
def test_missing_types_are_said_with_the_line_to_add_before_the_model_is_fitted(rows, make, types):
    fits = []

    def build(parameters):
        pipeline = make(parameters)
        fits.append(pipeline)
        return pipeline

    own = f"{__name__}.Clip"
    with pytest.raises(ConfigError) as error:
        check_types(Model(build=build, trusted_types=TREE), *rows)
    line = str(error.value).partition("trusted_types=")[2]
    assert sorted(ast.literal_eval(line)) == sorted({own, *types, *TREE})
    assert [pipeline[-1].n_features_in_ for pipeline in fits] == [2]
    check_types(Model(build=build, trusted_types=(own, *types)), *rows)


@pytest.mark.parametrize(
    ("make", "types"), [(LogisticRegression, ()), (HistGradientBoostingClassifier, TREE)], ids=["plain", "trees"]
)
def test_scikit_learns_own_models_need_no_more_than_their_types(rows, make, types):
    check_types(Model(build=lambda _: make_pipeline(make()), trusted_types=types), *rows)


def test_the_trial_is_on_few_rows_of_every_label(rows):
    seen = []

    def fit(inputs, labels):
        seen.append((inputs, labels))
        return make_pipeline(Clip()).fit(inputs)

    model = SimpleNamespace(fit=fit)
    inputs, labels = rows
    check_types(Model(build=lambda _: model, trusted_types=(f"{__name__}.Clip",)), inputs, labels)
    check_types(Model(build=lambda _: model, trusted_types=(f"{__name__}.Clip",)), inputs, inputs["b"])
    (binary, numbers) = (labels for _, labels in seen)
    assert binary.value_counts().to_dict() == {0: 100, 1: min(100, int(labels.sum()))}
    assert len(numbers) == 400
    assert all((inputs.index == labels.index).all() for inputs, labels in seen)


@pytest.mark.parametrize(
    ("types", "packages"),
    [
        ((), ()),
        (TREE, ()),
        (("collections.OrderedDict",), ()),
        (("usecase.model.Own", "mlops.contract.Own", f"{__name__}.Clip"), ()),
        (BOOSTER, ("lightgbm",)),
        (XGBOOST, ("xgboost-cpu",)),
        ((*BOOSTER, "scipy.interpolate.BSpline", "yaml.Node"), ("PyYAML", "lightgbm", "scipy")),
    ],
)
def test_the_packages_of_a_model_follow_from_its_types(types, packages):
    assert Model(build=boosted, trusted_types=types).packages == packages


def test_a_type_of_a_package_that_is_not_installed_is_named():
    with pytest.raises(ConfigError, match="names a type of nowhere, which is not installed"):
        _ = Model(build=boosted, trusted_types=("nowhere.Thing",)).packages


@LIBRARIES
def test_a_file_of_such_a_model_gives_the_same_answers(rows, tmp_path, make, types):
    import skops.io

    inputs, labels = rows
    pipeline = make({}).fit(inputs, labels)
    model = Model(build=make, trusted_types=(f"{__name__}.Clip", *types))
    assert model_scan.find_missing_types(pipeline, model) == []
    skops.io.dump(pipeline, tmp_path / "model.skops")
    again = skops.io.load(tmp_path / "model.skops", trusted=[*model_scan.HARMLESS, *model.trusted_types])
    np.testing.assert_array_equal(again.predict_proba(inputs), pipeline.predict_proba(inputs))


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (
            lambda inputs: inputs.assign(dock="A13"),
            r"could not convert string to float: 'A13'.*\(dock\) need an encoder",
        ),
        (lambda inputs: inputs.assign(b=np.nan), "contains NaN.*missing values an imputer"),
    ],
    ids=["text", "missing"],
)
def test_rows_that_a_step_cannot_take_are_told_in_one_sentence(rows, spoil, what):
    inputs, labels = rows
    model = Model(build=lambda _: make_pipeline(LogisticRegression()))
    with pytest.raises(ConfigError, match=what) as error:
        check_types(model, spoil(inputs), labels)
    assert "\n" not in str(error.value)


class Adds:
    """A transformer whose author forgot that a column may be a text."""

    def fit(self, inputs, labels=None):
        return self

    def transform(self, inputs):
        return inputs + inputs.shape


def test_an_error_of_the_use_case_names_its_line(rows):
    inputs, labels = rows
    model = Model(build=lambda _: make_pipeline(Adds(), LogisticRegression()))
    line = Adds.transform.__code__.co_firstlineno + 1
    with pytest.raises(
        ConfigError, match=rf"Error: .* own code raised it at .*test_other_libraries\.py:{line}: "
    ) as error:
        check_types(model, inputs.assign(dock="A13"), labels)
    assert error.value.__cause__ is not None


@pytest.mark.nightly
def test_the_page_s_code_fits_xgboost_on_all_rows_on_spark(spark):
    from sklearn.compose import make_column_transformer
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import OrdinalEncoder
    from xgboost import XGBClassifier

    page = (Path(__file__).parents[3] / "docs/how-to/add-a-model.md").read_text()
    own: dict[str, object] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], own)  # noqa: S102 (this repository's own page)
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"size": generator.normal(size=6000), "kind": generator.choice(["x", "y"], 6000)})
    rows.loc[::9, "size"] = np.nan
    chance = 1 / (1 + np.exp(-2 * rows["size"].fillna(0) - np.where(rows["kind"] == "x", 1, -1)))
    rows["label"] = (generator.random(6000) < chance).astype("int64")
    encoder = make_column_transformer((OrdinalEncoder(), ["kind"]), remainder="passthrough")
    pipeline = make_pipeline(encoder, XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1))
    sample, judged = rows.head(500), rows.tail(2000)
    pipeline.fit(sample[["size", "kind"]], sample["label"])
    few = roc_auc_score(judged["label"], pipeline.predict_proba(judged[["size", "kind"]])[:, 1])
    fitted = own["fit_on_spark"](spark.createDataFrame(rows.head(4000)).repartition(2), pipeline)
    many = roc_auc_score(judged["label"], fitted.predict_proba(judged[["size", "kind"]])[:, 1])
    assert many > max(few, 0.8)
    assert fitted[-1].get_booster().num_boosted_rounds() == 20
