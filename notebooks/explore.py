# Databricks notebook source
# MAGIC %md
# MAGIC # Explore: what has landed, and what the features say about the label
# MAGIC On a laptop: `uv run laptop notebook notebooks/explore.py -t dev`. It reads tables and changes nothing.

# COMMAND ----------

# MAGIC %pip install --quiet ..

# COMMAND ----------

import matplotlib.pyplot as plt
from pyspark.sql import functions as F

from mlops.platform import tables
from usecase import USE_CASE

for name in ("data_catalog", "data_schema"):
    dbutils.widgets.text(name, "")
data = tables.open_schema(
    dbutils.widgets.get("data_catalog"), dbutils.widgets.get("data_schema"), prefix=USE_CASE.table_prefix
)

# COMMAND ----------

# MAGIC %md ## Rows of every feed, and since when they are known

# COMMAND ----------

for source in USE_CASE.sources:
    known = F.col(source.known_at)
    print(source.name, "-", source.comment)
    display(
        data.read_table(source.name).agg(
            F.count("*").alias("rows"), F.min(known).alias("first"), F.max(known).alias("last")
        )
    )

# COMMAND ----------

# MAGIC %md ## What was set aside

# COMMAND ----------

display(data.read_table("quarantine").groupBy("source").count())

# COMMAND ----------

# MAGIC %md ## The label by day, and the share of it that a feature's values explain

# COMMAND ----------

label = USE_CASE.label
key = list(USE_CASE.entity.key)
truth = (
    data.read_table(label.source)
    .where(label.matured)
    .select(*key, F.expr(label.value).cast("double").alias(label.name))
)
rows = data.read_table("features").join(truth, key)
daily = (
    rows.groupBy(F.to_date("event_time").alias("day")).agg(F.avg(label.name).alias("rate")).orderBy("day").toPandas()
)
figure, axis = plt.subplots(figsize=(9, 3))
axis.plot(daily["day"], daily["rate"])
axis.set(title=f"share of {label.name} by day (UTC)", ylim=(0, 1))
display(figure)

# COMMAND ----------

sample = rows.orderBy(F.xxhash64(*key)).limit(50_000).toPandas()
numbers = sample[[f.name for f in USE_CASE.features if f.dtype in {"double", "long"}]]
correlations = numbers.corrwith(sample[label.name], method="spearman").abs().sort_values()
figure, axis = plt.subplots(figsize=(6, 0.25 * len(correlations) + 1))
axis.barh(correlations.index, correlations)
axis.set(title=f"rank correlation with {label.name}, absolute")
display(figure)
display(numbers.isna().mean().rename("missing").sort_values(ascending=False).head(10))
