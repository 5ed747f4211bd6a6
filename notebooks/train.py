# Databricks notebook source
# MAGIC %md
# MAGIC # Train interactively: try an idea on the very rows that the training job would use
# MAGIC On a laptop: `uv run laptop notebook notebooks/train.py -t dev -p as_of=2013-04-01T00:00:00Z`.
# MAGIC Nothing is registered: a version that may serve comes from the job, under the gate.

# COMMAND ----------

# MAGIC %pip install --quiet ..

# COMMAND ----------

from datetime import datetime

from importlib.metadata import version

import mlflow
import pandas as pd

from mlops.platform import autologging, model_scan
from mlops.platform import runtime, tables
from mlops.platform.registry import Registry
from mlops.data import predictions
from mlops.data import labels
from mlops.modeling import splits
from mlops.questions import question_of
from usecase import USE_CASE

for name in ("data_catalog", "data_schema", "experiment", "as_of"):
    dbutils.widgets.text(name, "")
dbutils.widgets.dropdown("autologging", "on", ["on", "off"])
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

# MAGIC %md ## One run per idea, with its model, and with all parameters if `autologging` is on

# COMMAND ----------

registry, question = Registry(runtime.home()), question_of(USE_CASE.label)
inputs = predictions.model_input(training, USE_CASE)
logged = {"method": question.method, "trusted_types": USE_CASE.model.trusted_types}
logged["requirements"] = [f"{name}=={version(name)}" for name in (*model_scan.PACKAGES, *USE_CASE.model.packages)]
ideas = {"as the job fits it": {}, "fewer, larger leaves": {"min_samples_leaf": 1000}}
for idea, parameters in ideas.items():
    with registry.open_run(dbutils.widgets.get("experiment"), f"notebook: {idea}", {"source": "notebook"}):
        with autologging.autolog_fit(dbutils.widgets.get("autologging")):
            model = USE_CASE.model.build(parameters).fit(inputs, question.training_target(training[labels.LABEL]))
        info = registry.log_model(model, predictions.pick_example(inputs), **logged)
        scores = predictions.predict(model, holdout, USE_CASE)
        metrics = question.compute_metrics(holdout[labels.LABEL], scores)
        figures = {f"holdout_{name}": value for name, value in metrics.figures.items()}
        registry.log_to_run({}, figures, {}, model_id=info.model_id)
        asked = predictions.model_input(holdout, USE_CASE, model)
        answers = {"label": question.training_target(holdout[labels.LABEL]), "answer": model.predict(asked)}
        # From answers and not from the model: MLflow need not load its file, and puts the figures on the logged model.
        kind = "regressor" if USE_CASE.label.kind == "number" else "classifier"
        standard = mlflow.models.evaluate(
            data=pd.DataFrame(answers),
            targets="label",
            predictions="answer",
            model_type=kind,
            evaluators=[kind],
            model_id=info.model_id,
        )
    print(f"{idea}: " + ", ".join(f"{name} {round(value, 4):,.12g}" for name, value in metrics.figures.items()))
    print("by MLflow: " + ", ".join(f"{name} {round(value, 4):,.12g}" for name, value in standard.metrics.items()))
