"""Adapters for Spark, Delta, MLflow and the workspace."""
