# Databricks notebook source
# MAGIC %md
# MAGIC # Review a challenger before it is approved
# MAGIC On a laptop: `uv run laptop notebook notebooks/review.py -t prod`. It reads the registry and changes nothing.

# COMMAND ----------

# MAGIC %pip install --quiet ..

# COMMAND ----------

import json

import mlflow
import pandas as pd

from mlops.platform import runtime
from mlops.platform.registry import Registry
from mlops.release.version_record import ShownTags, TrainingRun

dbutils.widgets.text("model_name", "")
dbutils.widgets.text("target", "")
registry = Registry(runtime.home())
model = dbutils.widgets.get("model_name")
challenger = registry.find_alias_holder(model, "challenger")
champion = registry.find_alias_holder(model, "champion")
print("challenger:", challenger, "| champion:", champion)

# COMMAND ----------

# MAGIC %md ## Every rule of the gate, with its figure and its limit

# COMMAND ----------

judged = challenger or champion
if judged is None:
    print(f"{model} has no version yet: run the training job first")
else:
    page = ShownTags.of(judged).report
    verdict = json.loads(mlflow.artifacts.load_text(page.replace("verdict.html", "verdict.json")))
    print(judged, verdict["verdict"])
    display(pd.DataFrame(verdict["rules"]).to_string())

# COMMAND ----------

# MAGIC %md ## What it was made from

# COMMAND ----------

if judged is not None:
    for tag, value in TrainingRun.parse(registry.read_run_tags(judged.run_id)).to_tags().items():
        print(f"{tag:28} {value}")
if challenger is not None:
    words = (str(challenger.number), "--target", dbutils.widgets.get("target"))
    print("to let it serve: ", runtime.command("mlops", "approve", *words))
    print("to close it:     ", runtime.command("mlops", "reject", *words, "--reason", "REASON"))
