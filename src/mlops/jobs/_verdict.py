"""Keep a verdict: as a page and a document in a run of its own, in the version's tags and in its description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta

from mlops.adapters import pages
from mlops.adapters.registry import Version
from mlops.contract import MlopsError, Rule, Verdict
from mlops.jobs._champion import APPROVAL_TAGS, CHALLENGER
from mlops.jobs._evidence import Evidence, Job
from mlops.lifecycle import splits
from mlops.lifecycle.evaluation import measure
from mlops.lifecycle.gates import Scored

_HEADING = "\n\n## Verdict\n\n"


def keep(job: Job, version: Version, about: Mapping[str, str], verdict: Verdict, evidence: Evidence | None) -> Verdict:
    """Returns the verdict; one whose report cannot be written becomes a refusal. An older approval ends here.

    A verdict that something failed in is no answer to its case, which is then judged again when it is asked again.
    """
    run_id = ""
    try:
        run_id, document = _reported(job, version, verdict, evidence)
    except Exception as error:  # noqa: BLE001 (fail closed)
        reason = f"its report could not be written: {type(error).__name__}: {error}"
        verdict = Verdict((*verdict.rules, Rule("report", passed=False, value=None, limit=None, reason=reason)))
        document = _document(version, verdict)
    failed = not run_id or evidence is None
    kept = {
        "verdict": _answer(verdict),
        "verdict_digest": hashlib.sha256(document.encode()).hexdigest(),
        "validation_run": run_id or "none",
        "verdict_report": f"runs:/{run_id}/verdict.html" if run_id else "none",
    }
    # The case goes first and comes back last: whoever is stopped in between judges again.
    case = about["verdict_case"]
    job.registry.tag(version, {**about, "verdict_case": None, **dict.fromkeys(APPROVAL_TAGS), **kept})
    job.registry.describe(version, version.description.split(_HEADING)[0] + _HEADING + _in_words(verdict, kept))
    if verdict.accepted:
        job.registry.set_alias(version, CHALLENGER)
    elif CHALLENGER in version.aliases:
        job.registry.drop_alias(version.model, CHALLENGER)
    if not failed:
        job.registry.tag(version, {"verdict_case": case})
    for rule in verdict.rules:
        job.log.info("%s %s: %s", "passed " if rule.passed else "REFUSED", rule.name, rule.reason)
    return verdict


def _answer(verdict: Verdict) -> str:
    return "accepted" if verdict.accepted else "refused"


def _document(version: Version, verdict: Verdict) -> str:
    return json.dumps({"version": str(version), "verdict": _answer(verdict), **asdict(verdict)}, indent=1)


def _reported(job: Job, version: Version, verdict: Verdict, evidence: Evidence | None) -> tuple[str, str]:
    document = _document(version, verdict)
    figures = {rule.name: rule.value for rule in verdict.rules if rule.value is not None}
    documents = {"verdict.json": document, "verdict.html": _page(job, version, verdict, evidence)}
    with job.registry.run(job.config.experiment, f"validation of {version}", {"verdict": _answer(verdict)}) as run_id:
        job.registry.log(job.config.model_dump(mode="json"), figures, documents)
    return run_id, document


def _page(job: Job, version: Version, verdict: Verdict, evidence: Evidence | None) -> str:
    windows = splits.windows(job.config.as_of, job.use_case.policy)
    last = windows.holdout_until - timedelta(days=1)
    answers = _answers(evidence)
    metrics = {who: asdict(measure(scored.y, scored.p)) for who, scored in answers.items()}
    plots: dict[str, str] = {}
    if answers:
        first, said = next(iter(answers.values())), {who: scored.p for who, scored in answers.items()}
        plots = {**pages.quality_plots(first.y, said), "per day": pages.daily_plot(first.day, first.y, said)}
    return pages.verdict(
        title=str(version),
        summary=f"{job.use_case.question} Judged as of {job.config.as_of:%Y-%m-%d %H:%M} UTC on the matured events of "
        f"{windows.holdout_from:%Y-%m-%d} to {last:%Y-%m-%d}, beside "
        f"{'the champion' if 'champion' in answers else 'no champion'}.",
        accepted=verdict.accepted,
        rules=verdict.rules,
        metrics=metrics,
        plots=plots,
    )


def _answers(evidence: Evidence | None) -> Mapping[str, Scored]:
    """Who answered the challenger's rows with something that can be drawn; the rules say what was wrong with others."""
    drawn: dict[str, Scored] = {}
    for who in ("challenger", "champion"):
        scored = getattr(evidence, who, None)
        if isinstance(scored, Scored):
            try:
                measure(scored.y, scored.p)
            except (ValueError, MlopsError):
                continue
            drawn[who] = scored
    return drawn


def _in_words(verdict: Verdict, kept: Mapping[str, str]) -> str:
    lines = [f"- {'passed' if rule.passed else '**refused**'} {rule.name}: {rule.reason}" for rule in verdict.rules]
    return "\n".join([f"**{kept['verdict']}**, report `{kept['verdict_report']}`", "", *lines])
