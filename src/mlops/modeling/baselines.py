"""Baselines that a model is compared with: one without features, and a linear one on the same features."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.questions import Question


def make_baselines(question: Question, inputs: pd.DataFrame) -> dict[str, Pipeline]:
    """Make unfitted baselines: `dummy` predicts the same for all rows, `linear` is a linear model.

    Args:
        question: the kind of question, which has the estimators.
        inputs: one column per feature, shape (n_rows, n_features). Text columns are categories. A missing category is
            a category of its own; a missing number becomes the median.
    """
    numbers = list(inputs.select_dtypes("number").columns)
    categories = [name for name in inputs.columns if name not in numbers]
    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    codes = OneHotEncoder(handle_unknown="ignore", max_categories=30)
    columns = make_column_transformer((scaled, numbers), (codes, categories))
    dummy, linear = question.baseline_estimators()
    return {"dummy": make_pipeline(dummy), "linear": make_pipeline(columns, linear)}
