"""Task training: fit the model on matured labels before the holdout, log it and register one version."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import joblib
import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.config import TrainingConfig
from mlops.context import Context, task
from mlops.contract import ConfigError, DataError, Model
from mlops.contract.model_version import Version
from mlops.data import labels as label_tables
from mlops.data import predictions, training_sample
from mlops.data.sample_plan import SamplePlan
from mlops.modeling import backtest as backtests
from mlops.modeling import splits, volume
from mlops.modeling.fitting import takes_weights
from mlops.modeling.trial_fit import check_types
from mlops.platform import model_scan, runtime
from mlops.questions import question_of
from mlops.release.model_card import render_model_card
from mlops.release.model_owner import check_model_owner
from mlops.release.version_record import ShownTags, TrainingRun

Job = Context[TrainingConfig]


def run(job: Job) -> None:
    """Train and register one version, and set the task value `model_version`; a repeat in the job run adds nothing."""
    if (before := _find_registered(job)) is not None:
        runtime.set_task_value("model_version", str(before.number))
        job.log.info("%s was registered by this run before", before)
        return
    check_model_owner(job)
    as_of, model = job.config.as_of, job.use_case.model
    train_until = splits.split_windows(as_of, job.use_case.policy).train_until
    tables = _choose_table_versions(job)
    rows, plan = _training_rows(job, train_until, tables)
    weights = None if plan is None else training_sample.weigh_rows(rows, plan, job.use_case)
    question = question_of(job.use_case.label)
    inputs, labels = predictions.model_input(rows, job.use_case), question.training_target(rows[label_tables.LABEL])
    check_types(model, inputs, labels)
    facts = _training_facts(job, train_until, tables, _describe_sample(job, plan))
    # One thread: with another number of threads the same data gives another fitted model.
    new_run = job.registry.open_run(job.config.experiment, f"training {as_of:%Y-%m-%d}", facts.to_tags())
    with new_run, threadpool_limits(limits=1):
        job.registry.log_tables({job.data.full_name(table): tables[table] for table in tables})
        folds = backtests.split_training_rows(job.use_case, rows, plan)
        parameters = backtests.search_parameters(job, inputs, labels, folds, weights=weights)
        settings = job.config.model_dump(mode="json") | {f"model.{name}": value for name, value in parameters.items()}
        # Before the fit: where autologging has a parameter of the same name, MLflow keeps the first.
        job.registry.log_to_run(settings, {}, {})
        pipeline, study = backtests.fit_with_backtest(job, parameters, inputs, labels, folds[-1], weights=weights)
        pipeline = pipeline if plan is None else _fit_on_spark(job, pipeline, train_until, tables)
        facts = replace(facts, model_digest=joblib.hash(pipeline))
        unjudged = _log_unjudged(job, rows, train_until, plan)
        card = render_model_card(job, study, facts, rows=len(rows), parameters=parameters, unjudged=unjudged)
        documents = {**study.plots, "model_card.md": card, "environment.txt": _list_installed_packages()}
        job.registry.log_to_run({}, {"rows": len(rows), **study.metrics}, documents)
        version = job.registry.register_model(
            job.config.model_name,
            pipeline,
            predictions.pick_example(inputs),
            method=question.method,
            trusted_types=model.trusted_types,
            requirements=_list_requirements(model),
            facts=facts,
            tags=ShownTags(trained_until=f"{train_until:%Y-%m-%d}").to_tags(),
            description=card,
        )
    runtime.set_task_value("model_version", str(version.number))
    job.log.info("%s registered: %d rows, model digest %s", version, len(rows), facts.model_digest[:12])


def _fit_on_spark(job: Job, pipeline: Pipeline, train_until: datetime, tables: Mapping[str, int]) -> Pipeline:
    """Have the use case fit the model on all labelled rows; without `fit_on_spark` it stays as it is.

    Raises:
        ConfigError: what it returns is no pipeline for the same features.
    """
    if (fit := job.use_case.model.fit_on_spark) is None:
        return pipeline
    early = label_tables.select_event_times(job.data.read_table("features", tables["features"]), None, train_until)
    rows = training_sample.label_all_rows(early, job.data, job.use_case, job.config.as_of, versions=tables)
    job.log.info("fit_on_spark fits the model on all labelled rows")
    fitted = fit(rows, pipeline)
    names = list(pipeline.feature_names_in_)
    if not isinstance(fitted, Pipeline) or list(getattr(fitted, "feature_names_in_", ())) != names:
        raise ConfigError("fit_on_spark must return the pipeline that it was given, fitted for the same features")
    return fitted


def _list_requirements(model: Model) -> list[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in (*model_scan.PACKAGES, *model.packages)]


def _describe_sample(job: Job, plan: SamplePlan | None) -> str:
    if plan is None:
        return ""
    return plan.describe() + (", backtest only: fit_on_spark had all rows" if job.use_case.model.fit_on_spark else "")


def _log_unjudged(job: Job, rows: pd.DataFrame, train_until: datetime, plan: SamplePlan | None) -> tuple[str, ...]:
    """Log which limits of the policy can never be judged, counted on the newest days, as many as a holdout has.

    Logs nothing for a sample of the rows, from which the volume of groups and weeks cannot be counted.
    """
    if plan is not None:
        return ()
    policy = job.use_case.policy
    newest = rows[rows["event_time"] >= pd.Timestamp(train_until - policy.holdout).tz_localize(None)]
    unjudged = volume.find_unjudged(question_of(job.use_case.label), newest, policy.holdout, policy)
    for sentence in unjudged:
        job.log.warning("never judged: %s", sentence)
    return unjudged


def _choose_table_versions(job: Job) -> dict[str, int]:
    """Choose the version of each table that training reads: the newest, or that of the parameter `table_versions`.

    Raises:
        ConfigError: the parameter names another table.
        DataError: a table no longer has that version.
    """
    given = dict(pair.split("=") for pair in job.config.table_versions.split(",") if pair != "newest")
    names = ("features", *label_tables.label_sources(job.use_case))
    if unknown := sorted(given.keys() - set(names)):
        raise ConfigError(f"table_versions names {', '.join(unknown)}: training reads {', '.join(names)}")
    for name, version in given.items():
        job.data.check_version(name, int(version))
    return {name: int(given[name]) if name in given else job.data.newest_version(name) for name in names}


def _training_rows(
    job: Job, train_until: datetime, tables: Mapping[str, int]
) -> tuple[pd.DataFrame, SamplePlan | None]:
    """Read the labelled rows, and the plan of the sample that they are; None: they are all rows."""
    early = label_tables.select_event_times(job.data.read_table("features", tables["features"]), None, train_until)
    weighs = takes_weights(job.use_case.model.build({}))
    by_class = weighs and job.use_case.label.kind != "number"
    early, plan = training_sample.sample_rows(
        early, job.data, job.use_case, job.config.as_of, versions=tables, by_class=by_class
    )
    if plan is not None:
        limit = job.use_case.policy.max_training_rows
        job.log.warning("max_training_rows is %d: training reads %s", limit, plan.describe())
    rows = label_tables.join_labels(early, job.data, job.use_case, job.config.as_of, versions=tables)
    before = f"before {train_until:%Y-%m-%d}"
    if rows.empty:
        raise DataError(f"no row {before} has a matured label: land more days, or train with a later as_of")
    question_of(job.use_case.label).check_training(rows[label_tables.LABEL], before)
    return rows, plan


def _find_registered(job: Job) -> Version | None:
    """Find the version that this job run has registered before; None: it has not."""
    runs = job.registry.search_runs(job.config.experiment, TrainingRun(trained_in=job.config.run_id).to_tags())
    ids = {run.info.run_id for run in runs}
    versions = job.registry.list_versions(job.config.model_name) if ids else ()
    return next((version for version in versions if version.run_id in ids), None)


def _training_facts(job: Job, train_until: datetime, tables: Mapping[str, int], sample: str) -> TrainingRun:
    """Collect what trains the same model again: code, environment, tables, moment, parameters."""
    return TrainingRun(
        trained_until=train_until,
        trained_as_of=job.config.as_of,
        trained_by=runtime.identity(),
        trained_in=job.config.run_id,
        table_versions=",".join(f"{name}={version}" for name, version in tables.items()),
        training_sample=sample,
        search_trials=str(job.config.search_trials),
        seed=str(job.use_case.model.seed),
        git_commit=job.config.git_commit.removeprefix("git:") or "unknown",
        wheel_version=importlib.metadata.version("mlops-template"),
        environment_digest=joblib.hash(_list_installed_packages()),
        use_case=job.use_case.name,
    )


def _list_installed_packages() -> str:
    """List every installed distribution with its version, one per line."""
    installed = {f"{package.name}=={package.version}" for package in importlib.metadata.distributions()}
    return "\n".join(sorted(installed, key=str.lower))


main = task(run)
