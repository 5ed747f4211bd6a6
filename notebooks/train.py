# Databricks notebook source
# MAGIC %md
# MAGIC # Train interactively: try an idea on the very rows that the training job would use
# MAGIC On a laptop: `uv run laptop notebook notebooks/train.py -t dev -p as_of=2013-04-01T00:00:00Z`.
# MAGIC Nothing is registered: a version that may serve comes from the job, under the gate.

# COMMAND ----------

# MAGIC %pip install --quiet ..

# COMMAND ----------

from datetime import datetime

import mlflow
from mlops.platform import runtime, tables
from mlops.platform.registry import Registry
from mlops.data import predictions
from mlops.data import labels
from mlops.modeling import splits
from mlops.questions import question_of
from usecase import USE_CASE

for name in ("data_catalog", "data_schema", "experiment", "as_of"):
    dbutils.widgets.text(name, "")
data = tables.open_schema(
    dbutils.widgets.get("data_catalog"), dbutils.widgets.get("data_schema"), prefix=USE_CASE.table_prefix
)
as_of = datetime.fromisoformat(dbutils.widgets.get("as_of"))
windows = splits.split_windows(as_of, USE_CASE.policy)
print(windows)

# COMMAND ----------


def fetch(start, end):
    rows = labels.select_event_times(data.read_table("features"), start, end)
    return labels.join_labels(rows, data, USE_CASE, as_of)


training, holdout = fetch(None, windows.train_until), fetch(windows.holdout_from, windows.holdout_until)
print(len(training), "rows to fit,", len(holdout), "to judge")

# COMMAND ----------

# MAGIC %md ## One run per idea. Autologging keeps the parameters; the model itself stays here

# COMMAND ----------

registry, question = Registry(runtime.home()), question_of(USE_CASE.label)
mlflow.sklearn.autolog(log_models=False, log_datasets=False, log_post_training_metrics=False, silent=True)
ideas = {"as the job fits it": {}, "fewer, larger leaves": {"min_samples_leaf": 1000}}
for idea, parameters in ideas.items():
    with registry.open_run(dbutils.widgets.get("experiment"), f"notebook: {idea}", {"source": "notebook"}):
        model = USE_CASE.model.build(parameters)
        model.fit(predictions.model_input(training, USE_CASE), question.training_target(training[labels.LABEL]))
        scores = predictions.predict(model, holdout, USE_CASE)
        metrics = question.compute_metrics(holdout[labels.LABEL], scores)
        mlflow.log_metrics({f"holdout_{name}": value for name, value in metrics.figures.items()})
    print(f"{idea}: " + ", ".join(f"{name} {round(value, 4):,.12g}" for name, value in metrics.figures.items()))
mlflow.sklearn.autolog(disable=True)
