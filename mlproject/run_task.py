"""Installs the project's wheel and runs one of its tasks, on a cluster that MLflow started.

MLflow writes lines of its own before this text, so there is no `from __future__` here, which must come first.
"""

import argparse
import importlib
import subprocess
import sys
from importlib import metadata

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--wheel", required=True, help="Path of the wheel that the cluster can read, as in a volume.")
parser.add_argument("--task", required=True, help="Entry point of the wheel.")
given, words = parser.parse_known_args()
# MLflow writes `--name value`, the tasks read `--name=value`.
arguments = [f"{name}={value}" for name, value in zip(words[::2], words[1::2], strict=True)]

subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", given.wheel])  # noqa: S603
importlib.invalidate_caches()
tasks = metadata.distribution("mlops-template").entry_points.select(group="console_scripts")
tasks[given.task].load()(arguments)
