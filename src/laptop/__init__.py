"""Runs the jobs of the bundle on a laptop."""
