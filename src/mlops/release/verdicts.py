"""Save a verdict: its report in an MLflow run, a row in the audit table, and the version's tags and alias."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from mlops.contract import Conflict, Metrics, MlopsError, Rule, Verdict
from mlops.contract.model_version import Version
from mlops.modeling import splits
from mlops.modeling.gate_case import Scored
from mlops.modeling.holdout import HoldoutScores, Job
from mlops.platform import run_links
from mlops.questions import Question, question_of
from mlops.release import aliases, audit_log
from mlops.release.aliases import CHALLENGER
from mlops.release.version_record import BUTTON, FACTS, PAGE, AuditRow, champion_of, read_record
from mlops.reports import charts, pages

DOCUMENT = "verdict.json"
"""File of a validation's run: the verdict for programs."""
_HEADING = "\n\n## Verdict\n\n"
Measured = Mapping[str, tuple[Scored, Metrics]]
"""Scores and figures of challenger and champion on the holdout."""


def save_verdict(
    job: Job, version: Version, judged: tuple[str, int | None], verdict: Verdict, evidence: HoldoutScores | None
) -> Verdict:
    """Write the report, then the row of the audit table, which decides, then tags and alias of the registry.

    A verdict that is based on an error gets no case digest, so that the next validation judges the case again.

    Args:
        job: validation or deployment.
        version: the version that was judged.
        judged: digest of the case, and number of the champion that it was judged against.
        verdict: the verdict of the gate.
        evidence: the scores that it is based on; None: they could not be computed.

    Returns:
        The verdict; if its report cannot be written, it becomes a refusal.
    """
    case, champion = judged
    measured = _measure_scored(question_of(job.use_case.label), evidence)
    run_id = ""
    try:
        run_id, digest = _log_report(job, version, verdict, evidence, measured)
    except Exception as error:  # noqa: BLE001 (fail closed)
        reason = f"its report could not be written: {type(error).__name__}: {error}"
        verdict = Verdict((*verdict.rules, Rule("report", passed=False, value=None, limit=None, reason=reason)))
        digest = report_digest(_verdict_document(version, verdict), "")
    row = audit_log.new_row(
        job, "verdict", version, verdict=name_verdict(verdict), verdict_digest=digest, judged_against=champion,
        verdict_case=case if run_id and evidence is not None and evidence.is_complete else "", validation_run=run_id,
        judged_on=f"{job.config.data_catalog}.{job.config.data_schema}", reason=_describe_refusal(verdict),
        **{name: getattr(version.facts, name) for name in FACTS},
    )  # fmt: skip
    rows = audit_log.add_row(job, row, lambda rows: champion_of(rows) != champion)
    if rows is None:
        raise Conflict(f"the champion changed while {version} was judged; nothing was recorded: start the job again")
    words = f"{version.description.split(_HEADING)[0]}{_HEADING}{_describe_verdict(verdict, row)}"
    job.registry.set_description(version, words)
    show_verdict(job, version, rows)
    question = question_of(job.use_case.label)
    for who, (_, metrics) in measured.items():
        job.log.info("%s on the holdout: %s", who, question.describe_metrics(metrics))
    for rule in verdict.rules:
        job.log.info("%s %s: %s", "passed " if rule.passed else "REFUSED", rule.name, rule.reason)
    return verdict


def show_verdict(job: Job, version: Version, rows: Sequence[AuditRow]) -> None:
    """Show the newest verdict as alias and tags, and drop the button's tag, which was set for an older verdict."""
    if read_record(rows, version.number).is_accepted:
        job.registry.set_alias(version, CHALLENGER)
    elif CHALLENGER in version.aliases:
        job.registry.drop_alias(version.model, CHALLENGER)
    aliases.show_record(job, version, rows, (BUTTON,))


def report_digest(document: str, page: str) -> str:
    """Compute the digest of a verdict's report: sha256 over its document and its page."""
    return hashlib.sha256(f"{document}\0{page}".encode()).hexdigest()


def name_verdict(verdict: Verdict) -> str:
    """Return the verdict as the audit table has it: accepted or refused."""
    return "accepted" if verdict.is_accepted else "refused"


def _describe_refusal(verdict: Verdict) -> str:
    refused = [rule.name for rule in verdict.rules if not rule.passed]
    return f"refused by {', '.join(refused)}" if refused else f"passed {len(verdict.rules)} rules"


def _verdict_document(version: Version, verdict: Verdict) -> str:
    return json.dumps({"version": str(version), "verdict": name_verdict(verdict), **asdict(verdict)}, indent=1)


def _log_report(
    job: Job, version: Version, verdict: Verdict, evidence: HoldoutScores | None, measured: Measured
) -> tuple[str, str]:
    """Write the report into a run of its own; returns the run's id and the report's digest."""
    document, page = _verdict_document(version, verdict), _render_page(job, version, verdict, measured)
    figures = {rule.name: rule.value for rule in verdict.rules if rule.value is not None}
    for who, (_, metrics) in measured.items():
        known = question_of(job.use_case.label).names.known_figures
        figures |= {f"{who}_{name}": metrics.figures[name] for name in known}
    with job.registry.open_run(
        job.config.experiment, f"validation of {version}", {"verdict": name_verdict(verdict)}
    ) as run_id:
        page = run_links.add_links(page, version)
        if evidence is not None:
            job.registry.log_tables(evidence.tables, "validation")
        settings, linked = job.config.model_dump(mode="json"), job.registry.link_model(version)
        job.registry.log_to_run(settings, figures, {DOCUMENT: document, PAGE: page}, model_id=linked)
    return run_id, report_digest(document, page)


def _render_page(job: Job, version: Version, verdict: Verdict, measured: Measured) -> str:
    windows = splits.split_windows(job.config.as_of, job.use_case.policy)
    last = windows.holdout_until - timedelta(days=1)
    question = question_of(job.use_case.label)
    answers = {who: scored for who, (scored, _) in measured.items()}
    plots: dict[str, charts.Plot] = {}
    if answers:
        first, scores = next(iter(answers.values())), {who: scored.p for who, scored in answers.items()}
        plots = {
            **charts.quality_plots(question.draw_curves(first.y, scores)),
            "per day": charts.daily_plot(
                first.day, {who: question.daily_level(first.y, p) for who, p in scores.items()}
            ),
        }
    return pages.render_verdict(
        title=str(version),
        summary=f"{job.use_case.question} Validated as of {job.config.as_of:%Y-%m-%d %H:%M} UTC on the matured events "
        f"from {windows.holdout_from:%Y-%m-%d} to {last:%Y-%m-%d}, "
        f"{'beside the champion' if 'champion' in answers else 'without a champion to compare with'}.",
        accepted=verdict.is_accepted,
        rules=verdict.rules,
        metrics={who: metrics.figures for who, (_, metrics) in measured.items()},
        plots=plots,
    )


def _measure_scored(question: Question, evidence: HoldoutScores | None) -> Measured:
    """Measure the versions whose scores can be measured; the gate's rules say what is wrong with the others."""
    measured: dict[str, tuple[Scored, Metrics]] = {}
    for who in ("challenger", "champion"):
        scored = getattr(evidence, who, None)
        if isinstance(scored, Scored):
            try:
                measured[who] = (scored, question.compute_metrics(scored.y, scored.p))
            except (ValueError, MlopsError):
                continue
    return measured


def _describe_verdict(verdict: Verdict, row: AuditRow) -> str:
    lines = [f"- {'passed' if rule.passed else '**refused**'} {rule.name}: {rule.reason}" for rule in verdict.rules]
    report = f"runs:/{row.validation_run}/{PAGE}" if row.validation_run else "none"
    return "\n".join([f"**{row.verdict}**, report `{report}`", "", *lines])
