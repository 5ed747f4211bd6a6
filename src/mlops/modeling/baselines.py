"""What any model must beat: the base rate, and a straight line through the same features."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def fit_baselines(inputs: pd.DataFrame) -> dict[str, Pipeline]:
    """Unfitted baselines for inputs of these columns: `dummy` answers the base rate, `linear` is a logistic regression.

    Args:
        inputs: one column per feature, shape (n_rows, n_features); text columns are categories, a missing value is
            its own category, or the median of a number.
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
