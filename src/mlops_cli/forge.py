"""Keeps one comment and one issue in GitHub or Azure DevOps through their REST APIs; a marker identifies each."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlops.contract import ConfigError, MlopsError
from mlops.platform import sdk
from mlops_cli.workspace.protection import PROTECTED, Environment

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_PAGE = 100
_ENDED = ("Completed", "Removed")
"""Categories of states in which a task of Azure Boards is closed."""
_TIMEOUT = 30
"""Time limit of a call, seconds."""


@dataclass(frozen=True)
class GitHub:
    """A repository on GitHub.

    Args:
        api: as https://api.github.com.
        repository: OWNER/NAME.
        token: token of the run.
    """

    api: str
    repository: str
    token: str

    def __post_init__(self) -> None:
        """Raise ConfigError unless the repository has the form OWNER/NAME."""
        if not _REPOSITORY.fullmatch(self.repository):
            raise ConfigError(f"{self.repository!r} is no repository: write OWNER/NAME")

    def write_comment(self, number: int, marker: str, body: str) -> str:
        """Write the one comment of a pull request that carries a marker."""
        text = {"body": f"{marker}\n{body}"}
        for comment in self._list_pages(f"issues/{number}/comments"):
            if str(comment["body"]).startswith(marker):
                self._call_github("PATCH", f"issues/comments/{comment['id']}", text)
                return "comment updated"
        self._call_github("POST", f"issues/{number}/comments", text)
        return "comment written"

    def keep_issue(self, marker: str, title: str, body: str | None) -> str:
        """Keep the one open issue that carries a marker: opened or updated with a body, closed with None."""
        there = [i for i in self._list_pages("issues", state="open") if str(i.get("body") or "").startswith(marker)]
        for issue in there:
            change = {"state": "closed"} if body is None else {"title": title, "body": f"{marker}\n{body}"}
            self._call_github("PATCH", f"issues/{issue['number']}", change)
        if there or body is None:
            done = "closed" if body is None else "updated"
            return f"issue {there[0]['number']} {done}" if there else "no issue is open"
        made = self._call_github("POST", "issues", {"title": title, "body": f"{marker}\n{body}"})
        return f"issue {made['number']} opened"

    def environments(self) -> dict[str, Environment]:
        """Read the environments of the repository, by name."""
        rows = self._call_github("GET", f"environments?per_page={_PAGE}")["environments"]
        return {str(row["name"]): self._environment(row) for row in rows}

    def _environment(self, row: Mapping[str, Any]) -> Environment:
        reviews = [rule for rule in row.get("protection_rules") or () if rule["type"] == "required_reviewers"]
        path = f"environments/{quote(row['name'], safe='')}"
        variables = self._call_github("GET", f"{path}/variables?per_page=30")["variables"]
        policy = row.get("deployment_branch_policy")
        branches: tuple[str, ...] | None = None
        if policy and policy["protected_branches"]:
            branches = (PROTECTED,)
        elif policy:
            rules = self._call_github("GET", f"{path}/deployment-branch-policies?per_page={_PAGE}")
            branches = tuple(str(rule["name"]) for rule in rules["branch_policies"])
        return Environment(
            reviewers=sum(len(rule.get("reviewers") or ()) for rule in reviews),
            self_review=not any(rule.get("prevent_self_review") for rule in reviews),
            bypass=bool(row.get("can_admins_bypass", True)),
            branches=branches,
            variables=tuple(str(variable["name"]) for variable in variables),
        )

    def _list_pages(self, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
        page = 1
        while True:
            asked = "".join(f"&{name}={value}" for name, value in query.items())
            rows = self._call_github("GET", f"{path}?per_page={_PAGE}&page={page}{asked}")
            yield from rows
            if len(rows) < _PAGE:
                return
            page += 1

    def _call_github(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return _call_api(method, f"{self.api}/repos/{self.repository}/{path}", f"Bearer {self.token}", body, headers)


@dataclass(frozen=True)
class AzureDevOps:
    """A repository in Azure Repos.

    Args:
        collection: as https://dev.azure.com/organisation/.
        project: name or id.
        repository: id.
        token: token of the run.
    """

    collection: str
    project: str
    repository: str
    token: str

    def write_comment(self, number: int, marker: str, body: str) -> str:
        """Write the one comment of a pull request that carries a marker, in a closed thread, which blocks no merge."""
        threads = f"git/repositories/{quote(self.repository, safe='')}/pullRequests/{number}/threads"
        text = f"{marker}\n{body}"
        for thread in self._call_azure("GET", threads)["value"]:
            first = (thread.get("comments") or [{}])[0]
            if str(first.get("content", "")).startswith(marker):
                self._call_azure("PATCH", f"{threads}/{thread['id']}/comments/{first['id']}", {"content": text})
                return "comment updated"
        comment = {"parentCommentId": 0, "content": text, "commentType": 1}
        self._call_azure("POST", threads, {"comments": [comment], "status": "closed"})
        return "comment written"

    def keep_issue(self, marker: str, title: str, body: str | None) -> str:
        """Keep the one open task of Azure Boards that has the marker as a tag, as `GitHub.keep_issue`.

        Every process of Azure Boards has tasks; the names of their states differ, so they are read first.
        """
        states = self._call_azure("GET", "wit/workitemtypes/Task/states")["value"]
        tag = marker.strip("<!-> ")
        ended = [str(state["name"]).replace("'", "''") for state in states if state["category"] in _ENDED]
        clauses = [
            "[System.TeamProject] = @project",
            "[System.WorkItemType] = 'Task'",
            f"[System.Tags] CONTAINS '{tag}'",
        ]
        clauses += [f"[System.State] <> '{name}'" for name in ended]
        query = f"SELECT [System.Id] FROM WorkItems WHERE {' AND '.join(clauses)}"  # noqa: S608 (quotes are doubled)
        there = [row["id"] for row in self._call_azure("POST", "wit/wiql", {"query": query})["workItems"]]
        if body is None:
            completed = next(str(state["name"]) for state in states if state["category"] == "Completed")
            change = {"System.State": completed}
        else:
            change = {"System.Title": title, "System.Description": f"<pre>{body}</pre>"}
        for number in there:
            self._write("PATCH", f"wit/workitems/{number}", change)
        if there or body is None:
            done = "closed" if body is None else "updated"
            return f"task {there[0]} {done}" if there else "no task is open"
        made = self._write("POST", "wit/workitems/$Task", {**change, "System.Tags": tag})
        return f"task {made['id']} opened"

    def _write(self, method: str, path: str, fields: Mapping[str, str]) -> Any:
        patch = [{"op": "add", "path": f"/fields/{name}", "value": value} for name, value in fields.items()]
        return self._call_azure(method, path, patch, {"Content-Type": "application/json-patch+json"})

    def _call_azure(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        url = f"{self.collection.rstrip('/')}/{quote(self.project, safe='')}/_apis/{path}?api-version=7.1"
        return _call_api(method, url, f"Bearer {self.token}", body, headers or {})


def _call_api(method: str, url: str, authorization: str, body: object, headers: Mapping[str, str]) -> Any:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ConfigError(f"{url.partition('?')[0]!r} is no address to send a token to: it begins with https://")
    call, data = f"{method} {url.partition('?')[0]}", None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310 (checked above)
    request.add_unredirected_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 (checked above)
            return json.load(answer)
    except urllib.error.HTTPError as error:
        answer_text = sdk.redact_secrets(error.read(300).decode(errors="replace"))
        raise MlopsError(f"{call} was answered {error.code}: {answer_text}") from None
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise MlopsError(f"{call}: no usable answer ({sdk.redact_secrets(str(error))})") from None
