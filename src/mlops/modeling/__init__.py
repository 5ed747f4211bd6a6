"""Splits, backtest, metrics, holdout and gate."""
