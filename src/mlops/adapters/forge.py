"""GitHub and Azure DevOps, whose REST APIs only this module knows: one comment, one issue, each found by its marker."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlops.adapters import sdk
from mlops.contract import ConfigError, MlopsError

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_PAGE = 100
_PATIENCE = 30
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class GitHub:
    """A repository on GitHub.

    Args:
        api: as https://api.github.com.
        repository: OWNER/NAME.
        token: of the run.
    """

    api: str
    repository: str
    token: str

    def __post_init__(self) -> None:
        """Raise ConfigError unless the repository has the form OWNER/NAME."""
        if not _REPOSITORY.fullmatch(self.repository):
            raise ConfigError(f"{self.repository!r} is no repository: write OWNER/NAME")

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write the one comment of a pull request that carries a marker."""
        text = {"body": f"{marker}\n{body}"}
        for found in self._pages(f"issues/{number}/comments"):
            if str(found["body"]).startswith(marker):
                self._call("PATCH", f"issues/comments/{found['id']}", text)
                return "comment updated"
        self._call("POST", f"issues/{number}/comments", text)
        return "comment written"

    def issue(self, marker: str, title: str, body: str | None) -> str:
        """Keep the one open issue that carries a marker: opened or updated with a body, closed with None."""
        there = [i for i in self._pages("issues", state="open") if str(i.get("body") or "").startswith(marker)]
        for found in there:
            change = {"state": "closed"} if body is None else {"title": title, "body": f"{marker}\n{body}"}
            self._call("PATCH", f"issues/{found['number']}", change)
        if there or body is None:
            done = "closed" if body is None else "updated"
            return f"issue {there[0]['number']} {done}" if there else "no issue is open"
        made = self._call("POST", "issues", {"title": title, "body": f"{marker}\n{body}"})
        return f"issue {made['number']} opened"

    def _pages(self, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
        page = 1
        while True:
            asked = "".join(f"&{name}={value}" for name, value in query.items())
            rows = self._call("GET", f"{path}?per_page={_PAGE}&page={page}{asked}")
            yield from rows
            if len(rows) < _PAGE:
                return
            page += 1

    def _call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return _call(method, f"{self.api}/repos/{self.repository}/{path}", f"Bearer {self.token}", body, headers)


@dataclass(frozen=True)
class AzureDevOps:
    """A repository in Azure Repos.

    Args:
        collection: as https://dev.azure.com/organisation/.
        project: name or id.
        repository: id.
        token: of the run.
    """

    collection: str
    project: str
    repository: str
    token: str

    def comment(self, number: int, marker: str, body: str) -> str:
        """Write the one comment of a pull request that carries a marker; its closed thread blocks nothing."""
        text = f"{marker}\n{body}"
        for thread in self._call("GET", number, "")["value"]:
            first = (thread.get("comments") or [{}])[0]
            if str(first.get("content", "")).startswith(marker):
                self._call("PATCH", number, f"/{thread['id']}/comments/{first['id']}", {"content": text})
                return "comment updated"
        comment = {"parentCommentId": 0, "content": text, "commentType": 1}
        self._call("POST", number, "", {"comments": [comment], "status": "closed"})
        return "comment written"

    def _call(self, method: str, number: int, path: str, body: object = None) -> Any:
        project, repository = quote(self.project, safe=""), quote(self.repository, safe="")
        base = f"{self.collection.rstrip('/')}/{project}/_apis/git/repositories/{repository}"
        url = f"{base}/pullRequests/{number}/threads{path}?api-version=7.1"
        return _call(method, url, f"Bearer {self.token}", body, {})


def _call(method: str, url: str, authorization: str, body: object, headers: Mapping[str, str]) -> Any:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ConfigError(f"{url.partition('?')[0]!r} is no address to send a token to: it begins with https://")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {**headers, "Content-Type": "application/json"}, method=method)  # noqa: S310 (checked above)
    request.add_unredirected_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 (checked above)
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = sdk.redacted(error.read(300).decode(errors="replace"))
        raise MlopsError(f"{method} {url.partition('?')[0]} was answered {error.code}: {said}") from None
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise MlopsError(f"{method} {url.partition('?')[0]}: no usable answer ({sdk.redacted(str(error))})") from None
