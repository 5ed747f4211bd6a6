"""Converts problems to SARIF 2.1.0, which code hosts show as annotations in the files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from laptop.document import Diagnostic


def to_sarif(problems: Iterable[Diagnostic]) -> dict[str, Any]:
    """Make the SARIF document. Every problem has the level error and the linter's rule as its id."""
    diagnostics = list(problems)
    rules = [{"id": rule} for rule in sorted({problem.rule for problem in diagnostics})]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "laptop", "rules": rules}},
                "results": [_to_result(diagnostic) for diagnostic in diagnostics],
            }
        ],
    }


def _to_result(problem: Diagnostic) -> dict[str, Any]:
    file, line = problem.location.file.as_posix(), problem.location.line
    return {
        "ruleId": problem.rule,
        "level": "error",
        "message": {"text": f"{problem.summary} ({problem.reason}; {problem.fix})"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": line}}}],
    }
