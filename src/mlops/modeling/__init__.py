"""Splits, metrics, the gate and what it judges."""
