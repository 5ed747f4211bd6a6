"""Names of the committed bundle. `mlops adopt` changes them in databricks.yml, and so in no test."""

from __future__ import annotations

from pathlib import Path

import yaml

_DOCUMENT = yaml.safe_load((Path(__file__).parents[1] / "databricks.yml").read_text())
BUNDLE: str = _DOCUMENT["bundle"]["name"]
SCHEMA: str = _DOCUMENT["variables"]["schema"]["default"]
MODEL: str = _DOCUMENT["variables"]["model"]["default"]
