"""What a run of a workflow or pipeline does: which jobs run, and what their steps leave, in bash and in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pipelinefiles import ROOT, document

STUB = """#!/bin/sh
echo "$(basename "$0") in $PWD with $(cat src/mlops_cli/cli.py)" >> "$LOG"
"""
PROGRAMS = ("uv", "databricks", "gh")


def conditions(workflow: str, github: dict[str, Any], variables: dict[str, str], **inputs: str) -> dict[str, bool]:
    """Which jobs of a workflow run, if every job that runs succeeds: condition and needs, as GitHub reads them."""
    jobs = document(ROOT / f".github/workflows/{workflow}.yml")["jobs"]
    runs: dict[str, bool] = {}
    while len(runs) < len(jobs):
        for name, job in jobs.items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            if name in runs or not all(need in runs for need in needs):
                continue
            text = re.sub(r"^\$\{\{|\}\}$", "", str(job.get("if", "success()"))).strip()
            whatever = "cancelled()" in text or "always()" in text
            context = {
                "github": github,
                "vars": variables,
                "inputs": inputs,
                "needs": {need: _needed(need, runs[need], variables) for need in needs},
            }
            runs[name] = (whatever or all(runs[need] for need in needs)) and bool(_value(text, context))
    return runs


def _needed(name: str, ran: bool, variables: dict[str, str]) -> dict[str, Any]:
    listed = re.findall(r"\w+", variables.get("DEPLOY_TARGETS", ""))
    outputs = {"targets": json.dumps(listed)} if name == "targets" and ran else {}
    return {"outputs": outputs, "result": "success" if ran else "skipped"}


def _value(text: str, context: dict[str, Any]) -> Any:
    """An expression of GitHub, in the part of its language that the workflows use."""

    def look(match: re.Match[str]) -> str:
        found: Any = context
        for part in match[0].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return repr(found)

    python = re.sub(r"\b(?:github|vars|inputs|needs)(?:\.[\w-]+)+", look, text)
    python = python.replace("&&", " and ").replace("||", " or ")
    python = re.sub(r"!(?!=)", " not ", python)
    known = {
        "contains": lambda where, what: what in where,
        "fromJSON": json.loads,
        "cancelled": lambda: False,
        "success": lambda: True,
    }
    return eval(python, {"__builtins__": {}}, known)  # noqa: S307 (expressions of our own workflows)


class Machine:
    """A runner: a checkout, a folder beside it, artifacts of somebody else, and programs that only say that they ran.

    Every folder holds the same small project, whose files say where they come from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.temp = folder, folder / "s", folder / "temp"
        self.log, self.artifact = folder / "log", folder / "artifact"
        for place in (self.temp, folder / "bin", self.work):
            place.mkdir(parents=True)
        self.log.write_text("")
        self.project(self.artifact, "planted")
        for name in PROGRAMS:
            (folder / "bin" / name).write_text(STUB)
            (folder / "bin" / name).chmod(0o755)

    def project(self, folder: Path, origin: str) -> None:
        """Write every file that a job runs or reads, each naming its origin."""
        for name in (".ci/setup", ".ci/run", ".ci/databricks-cli"):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'#!/bin/sh\necho "{name} of {origin}" >> "$LOG"\n')
            file.chmod(0o755)
        for name in ("src/mlops_cli/cli.py", "src/sitecustomize.py", "uv.toml", "pyproject.toml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(origin)
        for name in ("plan.md", "plan.json", "x-1-py3-none-any.whl", "sbom.cdx.json"):
            (folder / name).write_text(origin)

    def github(self, workflow: str, job: str) -> None:
        """Run a job of a workflow that a pull request, a merge or a tag started."""
        found = document(ROOT / f".github/workflows/{workflow}.yml")["jobs"][job]
        for step in found["steps"]:
            used, given = step.get("uses", ""), step.get("with", {})
            if used.startswith("actions/checkout@"):
                base = "base.sha" in str(given.get("ref", "")) or workflow != "plan"
                self.project(self.work, "main" if base else "the pull request")
            elif used.startswith("actions/download-artifact@"):
                self.unpack(str(given.get("path", ".")).replace("${{ runner.temp }}", str(self.temp)))
            elif "run" in step:
                self.bash(step["run"], step.get("env", {}))

    def azure(self, steps: list[Any], *, pull_request: bool) -> None:
        """Run the steps of a job of Azure DevOps; `git checkout … origin/main` is the only git that changes files."""
        for step in steps:
            if step.get("checkout") == "self":
                self.project(self.work, "the pull request" if pull_request else "main")
            elif "download" in step:
                self.unpack(str(self.folder / step["artifact"]))
            elif "origin/main --" in step.get("bash", ""):
                self.project(self.work, "main")
            elif "bash" in step:
                self.bash(step["bash"], step.get("env", {}))

    def unpack(self, path: str) -> None:
        shutil.copytree(self.artifact, self.work / path, dirs_exist_ok=True)

    def bash(self, script: str, env: dict[str, str]) -> None:
        text = {name: re.sub(r"\$\{\{.*?\}\}|\$\(.*?\)", "value", value) for name, value in env.items()}
        subprocess.run(
            ["bash", "-c", f"git() {{ :; }}\n{script}"],
            cwd=self.work,
            env={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "LOG": str(self.log), "FOLDER": ".", **text},
            capture_output=True,
            check=False,
        )
