"""The command `mlops`: what people and pipelines run. No task imports it."""
