# Databricks notebook source
# MAGIC %md
# MAGIC # Read the monitor: how good the champion was, and which columns moved
# MAGIC On a laptop: `uv run laptop notebook notebooks/monitor.py -t prod`. It reads tables and changes nothing.

# COMMAND ----------

# MAGIC %pip install --quiet ..

# COMMAND ----------

import matplotlib.pyplot as plt

from mlops.contract import resolve_limit
from mlops.platform import tables
from mlops.questions import question_of
from usecase import USE_CASE

for name in ("catalog", "schema"):
    dbutils.widgets.text(name, "")
own = tables.open_schema(dbutils.widgets.get("catalog"), dbutils.widgets.get("schema"), prefix=USE_CASE.table_prefix)

# COMMAND ----------

# MAGIC %md ## Quality per window of matured labels

# COMMAND ----------

names = question_of(USE_CASE.label).names
metrics = own.read_table("metrics").where("slice = '' AND state = 'judged'").orderBy("window_end").toPandas()
figures = [names.ranking, names.loss, names.gap, f"baseline_{names.ranking}"]
display(metrics[["window_end", "model_version", "rows", *figures]].to_string())

# COMMAND ----------

# A limit that is a Share is one of the mean label.
limit = resolve_limit(USE_CASE.policy.retrain_gap, metrics[names.level].iloc[-1])
figure, (quality, gap) = plt.subplots(2, 1, figsize=(9, 5), sharex=True)
quality.plot(metrics["window_end"], metrics[names.ranking], marker="o")
quality.set(title=names.ranking_words, ylim=(0.5, 1))
gap.plot(metrics["window_end"], metrics[names.gap], marker="o")
gap.axhspan(-limit, limit, alpha=0.15)
gap.set(title=f"{names.gap_words}; outside the band retraining is due")
display(figure)

# COMMAND ----------

# MAGIC %md ## What is open, and what was decided on retraining

# COMMAND ----------

display(own.read_table("alerts").where("resolved IS NULL").select("severity", "owner", "rule", "subject", "first_seen"))
display(
    own.read_table("decisions").orderBy("as_of").select("as_of", "model_version", "rule", "fired", "value", "limit")
)

# COMMAND ----------

# MAGIC %md ## The columns that moved most in the newest window

# COMMAND ----------

drift = own.read_table("drift").toPandas()
newest = drift[(drift["week"] == drift["week"].max()) & (drift["slice"] == "")]
display(newest.sort_values("psi", ascending=False).head(10)[["column", "psi", "limit", "state"]].to_string(index=False))

# COMMAND ----------

# MAGIC %md ## Who made which version champion, when and why

# COMMAND ----------

display(
    own.read_table("audit")
    .orderBy("sequence")
    .select("sequence", "move", "from_version", "to_version", "by", "reason", "as_of")
)
