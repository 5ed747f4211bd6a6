"""Baselines that a model is compared with: the base rate, and a logistic regression on the same features."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def fit_baselines(inputs: pd.DataFrame) -> dict[str, Pipeline]:
    """Make unfitted baselines: `dummy` predicts the base rate, `linear` is a logistic regression.

    Args:
        inputs: one column per feature, shape (n_rows, n_features). Text columns are categories. A missing category is
            a category of its own; a missing number becomes the median.
    """
    numbers = list(inputs.select_dtypes("number").columns)
    categories = [name for name in inputs.columns if name not in numbers]
    scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    codes = OneHotEncoder(handle_unknown="ignore", max_categories=30)
    columns = make_column_transformer((scaled, numbers), (codes, categories))
    return {
        "dummy": make_pipeline(DummyClassifier(strategy="prior")),
        "linear": make_pipeline(columns, LogisticRegression(max_iter=1000)),
    }
