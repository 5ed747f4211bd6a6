"""Counts, drift, quality, alerts and the decision to retrain."""
