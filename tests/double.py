"""A workspace over HTTP, for the real databricks-sdk: the paths, bodies, paging and errors of the platform's REST API.

What is there is plain data that a test fills in. It checks the token of every call, can be told to fail (`fail`), and
keeps what it was asked (`calls`). It knows nothing of rights: a test says which call is refused.
"""
# ruff: noqa: N815 (every route is given the same; the names of methods are those of http.server)

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import serving_double
from refusals import Refused, away, busy, denied, missing
from serving_double import Endpoints

__all__ = [
    "ACCOUNT",
    "PIPELINE_TOKEN",
    "TOKEN",
    "WORKSPACE_ID",
    "Double",
    "Refused",
    "away",
    "busy",
    "denied",
    "missing",
    "serve",
]

TOKEN = "dapi" + "0123456789abcdef" * 2
PIPELINE_TOKEN = ".".join(("eyJhbGciOi", "eyJzdWIiOiJyZXBvIn0", "c2lnbmF0dXJl"))
ACCOUNT = "11111111-2222-3333-4444-555555555555"
WORKSPACE_ID = 4711


@dataclass
class Double:
    """All that the workspace holds."""

    url: str = ""
    me: dict[str, Any] = field(
        default_factory=lambda: {"id": "1", "userName": "ada@example.com", "displayName": "Ada", "groups": []}
    )
    groups: list[dict[str, Any]] = field(default_factory=list)
    service_principals: list[dict[str, Any]] = field(default_factory=list)
    catalogs: dict[str, dict[str, Any]] = field(default_factory=dict)
    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    permissions: dict[tuple[str, str], dict[str, list[str]]] = field(default_factory=dict)
    bindings: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    policies: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    secrets: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    rule_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: list[str] = field(default_factory=lambda: ["databricks_ml_v5", "databricks_ml_v6"])
    metastore: str | None = "metastore-1"
    endpoints: Endpoints = field(default_factory=Endpoints)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    monitors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of data quality, by the id of the table."""
    dbfs: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Runs of jobs, newest last; a new one is running when it is asked for first, and then has ended as `ends`."""
    ends: str = "SUCCESS"
    warehouses: list[dict[str, Any]] = field(default_factory=list)
    statement: dict[str, Any] = field(default_factory=dict)
    """The answer of a SQL warehouse to every statement."""
    query: Callable[[str], list[dict[str, Any]]] | None = None
    """Answers each statement by its text with rows, or raises Refused; None: `statement` is the answer."""
    page: int = 2
    """Entries per page, wherever the API has pages."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    failures: list[tuple[str, str, Refused]] = field(default_factory=list)
    uploads: dict[int, tuple[str, bytearray]] = field(default_factory=dict)
    always: list[tuple[str, str, Refused]] = field(default_factory=list)

    def fail(self, method: str, path: str, *answers: Refused) -> None:
        """Answer the next calls whose path matches a pattern with these, one call each."""
        self.failures += [(method, path, answer) for answer in answers]

    def refuse(self, method: str, path: str, answer: Refused) -> None:
        """Answer every call whose path matches a pattern with this."""
        self.always.append((method, path, answer))

    def count(self, method: str, path: str) -> int:
        """How often a path was called."""
        return sum(1 for m, p in self.calls if m == method and re.search(path, p))

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """What the platform would say: a dict (JSON), bytes (a file) or None (nothing)."""
        for rule in self.failures:
            if rule[0] == method and re.search(rule[1], path):
                self.failures.remove(rule)
                raise rule[2]
        for rule in self.always:
            if rule[0] == method and re.search(rule[1], path):
                raise rule[2]
        for verb, pattern, handle in ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return handle(self, query, body, *found.groups())
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")

    def paged(self, key: str, rows: list[Any], query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("page_token") or 0)
        answer: dict[str, Any] = {key: rows[start : start + self.page]}
        if start + self.page < len(rows):
            answer["next_page_token"] = str(start + self.page)
        return answer


def _scim(rows: list[dict[str, Any]], query: dict[str, str], page: int) -> dict[str, Any]:
    found = re.fullmatch(r'(\w+) eq "(.*)"', query.get("filter", ""))
    hits = [r for r in rows if found is None or r.get(found[1]) == found[2]]
    start = int(query.get("startIndex", 1)) - 1
    return {
        "totalResults": len(hits),
        "startIndex": start + 1,
        "Resources": [
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0"], **row} for row in hits[start : start + page]
        ],
    }


def _named(rows: dict[str, dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    if name not in rows:
        raise Refused(404, f"{kind.upper()}_DOES_NOT_EXIST", f"{kind} '{name}' does not exist.")
    return {"full_name": name, "name": name.rsplit(".", 1)[-1], **rows[name]}


def _permissions(d: Double, query: dict[str, str], kind: str, name: str) -> dict[str, Any]:
    # A model is a function to this API, and an error of the platform where it is asked for by another kind.
    if kind not in {"catalog", "schema", "function", "volume"}:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"SECURABLE_TYPE {kind} is not valid")
    rows = [
        {"principal": who, "privileges": [{"privilege": p} for p in privileges]}
        for who, privileges in sorted(d.permissions.get((kind, name), {}).items())
        if query.get("principal") in (None, who)
    ]
    return d.paged("privilege_assignments", rows, query)


def _get_monitor(d: Double, table: str) -> dict[str, Any]:
    if table not in d.monitors:
        raise missing(f"Monitor of table '{table}'")
    return d.monitors[table]


def _create_monitor(d: Double, given: dict[str, Any]) -> dict[str, Any]:
    if given["object_id"] in d.monitors:
        raise Refused(409, "ALREADY_EXISTS", "The table has a monitor already.")
    d.monitors[given["object_id"]] = given
    return given


def _registered(d: Double, name: str, change: dict[str, Any] | None = None) -> dict[str, Any]:
    if name not in d.models:
        raise missing(f"RegisteredModel '{name}'")
    d.models[name].update(change or {})
    return {"registered_model": {"name": name, **d.models[name]}}


# --- jobs and statements ---------------------------------------------------------------------------------------------


def _run_statement(d: Double, text: str) -> dict[str, Any]:
    """Start a statement; what `query` answers is ready at the next question for it."""
    if d.query is not None:
        try:
            rows = d.query(text)
        except Refused as refused:
            failed = {"state": "FAILED", "error": {"message": refused.body["message"]}}
            d.statement = {"statement_id": "s", "status": failed}
        else:
            d.statement = {
                "statement_id": "s",
                "status": {"state": "SUCCEEDED"},
                "manifest": {"schema": {"columns": [{"name": name} for name in (rows[0] if rows else ())]}},
                "result": {"data_array": [list(row.values()) for row in rows]},
            }
    return {"statement_id": "s", "status": {"state": "RUNNING"}}


def _get_statement(d: Double) -> dict[str, Any]:
    rows = d.statement.get("result", {}).get("data_array")
    if rows is None:
        return d.statement
    manifest = {"total_row_count": len(rows), "truncated": False} | d.statement["manifest"]
    return d.statement | {"manifest": manifest, "result": _get_chunk(d, 0)}


def _get_chunk(d: Double, number: int) -> dict[str, Any]:
    """A part of the answer, with the number of the next one, if there is one."""
    rows, start = d.statement["result"]["data_array"], number * d.page
    following = {"next_chunk_index": number + 1} if start + d.page < len(rows) else {}
    return {"chunk_index": number, "row_offset": start, "data_array": rows[start : start + d.page], **following}


def _run_now(d: Double, body: bytes) -> dict[str, Any]:
    given = json.loads(body)
    run_id = len(d.runs) + 1
    parameters = [{"name": name, "value": value} for name, value in given.get("job_parameters", {}).items()]
    d.runs[run_id] = {"job_id": given["job_id"], "run_id": run_id, "job_parameters": parameters, **_state("RUNNING")}
    return {"run_id": run_id}


def _state(life: str, result: str | None = None) -> dict[str, Any]:
    return {"state": {"life_cycle_state": life, "result_state": result, "state_message": "as the double says"}}


def _get_run(d: Double, run_id: int) -> dict[str, Any]:
    answer = {**d.runs[run_id], "run_page_url": f"{d.url}/run/{run_id}"}
    d.runs[run_id].update(_state("TERMINATED", d.ends))
    return answer


def _repair(d: Double, body: bytes) -> dict[str, Any]:
    d.runs[json.loads(body)["run_id"]].update(_state("RUNNING"))
    return {"repair_id": 1}


# --- files -----------------------------------------------------------------------------------------------------------


def _children(store: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
    start = folder.rstrip("/") + "/"
    found: dict[str, dict[str, Any]] = {}
    for path, data in sorted(store.items()):
        if path.startswith(start):
            name, deeper, _ = path[len(start) :].partition("/")
            size = 0 if deeper else len(data)
            found[name] = {"path": start + name, "name": name, "is_dir": bool(deeper), "file_size": size}
    return list(found.values())


def _dbfs_path(text: str) -> str:
    return text.removeprefix("dbfs:")


def _dbfs_list(d: Double, query: dict[str, str]) -> dict[str, Any]:
    path = _dbfs_path(query["path"])
    if path in d.dbfs:
        return {"files": [{"path": path, "is_dir": False, "file_size": len(d.dbfs[path])}]}
    found = _children(d.dbfs, path)
    if not found:
        raise missing(f"No file or directory exists on path {path}")
    return {"files": found}


def _dbfs_status(d: Double, query: dict[str, str]) -> dict[str, Any]:
    path = _dbfs_path(query["path"])
    if path in d.dbfs:
        return {"path": path, "is_dir": False, "file_size": len(d.dbfs[path])}
    if _children(d.dbfs, path):
        return {"path": path, "is_dir": True, "file_size": 0}
    raise missing(f"No file or directory exists on path {path}")


def _dbfs_read(d: Double, query: dict[str, str]) -> dict[str, Any]:
    length = int(query["length"])
    if length > 1 << 20:
        raise Refused(400, "MAX_READ_SIZE_EXCEEDED", "Maximum read size exceeded")
    start = int(query.get("offset", 0))
    block = d.dbfs[_dbfs_path(query["path"])][start : start + length]
    return {"bytes_read": len(block), "data": base64.b64encode(block).decode()}


def _dbfs_create(d: Double, body: bytes) -> dict[str, Any]:
    given = json.loads(body)
    path = _dbfs_path(given["path"])
    if path in d.dbfs and not given.get("overwrite"):
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"A file or directory already exists at the input path {path}")
    handle = len(d.uploads) + 1
    d.uploads[handle] = (path, bytearray())
    d.dbfs[path] = b""
    return {"handle": handle}


def _dbfs_block(d: Double, body: bytes) -> dict[str, Any]:
    given = json.loads(body)
    block = base64.b64decode(given["data"])
    if len(block) > 1 << 20:
        raise Refused(400, "MAX_BLOCK_SIZE_EXCEEDED", "Maximum block size exceeded")
    d.uploads[given["handle"]][1].extend(block)
    return {}


def _dbfs_close(d: Double, body: bytes) -> dict[str, Any]:
    path, data = d.uploads[json.loads(body)["handle"]]
    d.dbfs[path] = bytes(data)
    return {}


def _dbfs_move(d: Double, body: bytes) -> dict[str, Any]:
    given = json.loads(body)
    source, target = _dbfs_path(given["source_path"]), _dbfs_path(given["destination_path"])
    if target in d.dbfs:
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"{target} already exists")
    d.dbfs[target] = d.dbfs.pop(source)
    return {}


def _dbfs_delete(d: Double, body: bytes) -> dict[str, Any]:
    d.dbfs.pop(_dbfs_path(json.loads(body)["path"]), None)
    return {}


def _folder(d: Double, query: dict[str, str], path: str) -> dict[str, Any]:
    found = _children(d.files, unquote(path))
    if not found:
        raise Refused(404, "NOT_FOUND", "The directory being accessed is not found.")
    rows = [
        {"path": f["path"], "name": f["name"], "is_directory": f["is_dir"], "file_size": f["file_size"]} for f in found
    ]
    return d.paged("contents", rows, query)


def _file(d: Double, path: str) -> bytes:
    if unquote(path) not in d.files:
        raise Refused(404, "NOT_FOUND", "The file being accessed is not found.")
    return d.files[unquote(path)]


def _put_file(d: Double, query: dict[str, str], body: bytes, path: str) -> None:
    if unquote(path) in d.files and query.get("overwrite") != "true":
        raise Refused(409, "ALREADY_EXISTS", "The file being created already exists.")
    d.files[unquote(path)] = body


def _exchange(body: bytes) -> dict[str, Any]:
    given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if given.get("subject_token") != PIPELINE_TOKEN or not given.get("client_id"):
        raise Refused(401, "invalid_client", "no federation policy trusts this token")
    return {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}


def _unless_none(value: Any, what: str) -> Any:
    if value is None:
        raise missing(what)
    return value


_UC = "/api/2.1/unity-catalog"
_MLFLOW = "/api/2.0/mlflow/unity-catalog/registered-models"
_SCIM = "/api/2.0/preview/scim/v2"
_ACCOUNT = f"/api/2.0/accounts/{ACCOUNT}"
Handler = Callable[..., Any]
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", f"{_MLFLOW}/get", lambda d, q, b: _registered(d, (q or json.loads(b))["name"])),
    ("PATCH", f"{_MLFLOW}/update", lambda d, q, b: _registered(d, json.loads(b)["name"], json.loads(b))),
    ("GET", "/.well-known/databricks-config",
     lambda d, q, b: {"oidc_endpoint": f"{d.url}/oidc", "account_id": ACCOUNT, "workspace_id": str(WORKSPACE_ID)}),
    ("GET", "/oidc/.well-known/oauth-authorization-server",
     lambda d, q, b: {f"{kind}_endpoint": f"{d.url}/oidc/v1/{kind}" for kind in ("authorization", "token")}),
    ("POST", "/oidc/v1/token", lambda d, q, b: _exchange(b)),
    ("GET", f"{_SCIM}/Me", lambda d, q, b: d.me),
    ("GET", f"{_SCIM}/Groups", lambda d, q, b: _scim(d.groups, q, d.page)),
    ("GET", f"{_SCIM}/ServicePrincipals", lambda d, q, b: _scim(d.service_principals, q, d.page)),
    ("GET", f"{_UC}/current-metastore-assignment",
     lambda d, q, b: {"metastore_id": _unless_none(d.metastore, "Metastore"), "workspace_id": WORKSPACE_ID}),
    ("GET", f"{_UC}/catalogs/([^/]+)", lambda d, q, b, name: _named(d.catalogs, "Catalog", name)),
    ("GET", f"{_UC}/schemas/([^/]+)", lambda d, q, b, name: _named(d.schemas, "Schema", name)),
    ("GET", f"{_UC}/volumes/([^/]+)", lambda d, q, b, name: _named(d.volumes, "Volume", name)),
    ("GET", f"{_UC}/models/([^/]+)", lambda d, q, b, name: _named(d.models, "Function", name)),
    ("GET", f"{_UC}/effective-permissions/([^/]+)/([^/]+)", lambda d, q, b, kind, name: _permissions(d, q, kind, name)),
    ("GET", f"{_UC}/bindings/catalog/([^/]+)", lambda d, q, b, name: d.paged("bindings", d.bindings[name], q)),
    ("GET", f"{_ACCOUNT}/servicePrincipals/([^/]+)/federationPolicies",
     lambda d, q, b, who: d.paged("policies", d.policies[who], q)),
    ("GET", "/api/2.0/accounts/servicePrincipals/([^/]+)/credentials/secrets",
     lambda d, q, b, who: d.paged("secrets", d.secrets[who], q)),
    ("GET", "/api/2.0/preview/accounts/access-control/rule-sets",
     lambda d, q, b: d.rule_sets.get(q["name"], {"name": q["name"], "etag": "e1", "grant_rules": []})),
    ("GET", "/api/environments/v1/workspace-base-environments",
     lambda d, q, b: d.paged(
         "workspace_base_environments", [{"name": f"workspace-base-environments/{e}"} for e in d.environments], q)),
    ("GET", f"{_UC}/tables/([^/]+)", lambda d, q, b, name: _named(d.tables, "Table", name)),
    ("GET", "/api/data-quality/v1/monitors/table/([^/]+)", lambda d, q, b, table: _get_monitor(d, table)),
    ("POST", "/api/data-quality/v1/monitors", lambda d, q, b: _create_monitor(d, json.loads(b))),
    ("POST", "/api/2.2/jobs/run-now", lambda d, q, b: _run_now(d, b)),
    ("GET", "/api/2.2/jobs/runs/get", lambda d, q, b: _get_run(d, int(q["run_id"]))),
    ("GET", "/api/2.2/jobs/runs/list", lambda d, q, b: {"runs": list(reversed(d.runs.values()))}),
    ("POST", "/api/2.2/jobs/runs/repair", lambda d, q, b: _repair(d, b)),
    ("GET", "/api/2.0/sql/warehouses", lambda d, q, b: {"warehouses": d.warehouses}),
    ("POST", "/api/2.0/sql/statements", lambda d, q, b: _run_statement(d, json.loads(b)["statement"])),
    ("GET", "/api/2.0/sql/statements/s", lambda d, q, b: _get_statement(d)),
    ("GET", r"/api/2.0/sql/statements/s/result/chunks/(\d+)", lambda d, q, b, chunk: _get_chunk(d, int(chunk))),
    ("GET", "/api/2.0/dbfs/list", lambda d, q, b: _dbfs_list(d, q)),
    ("GET", "/api/2.0/dbfs/get-status", lambda d, q, b: _dbfs_status(d, q)),
    ("GET", "/api/2.0/dbfs/read", lambda d, q, b: _dbfs_read(d, q)),
    ("POST", "/api/2.0/dbfs/create", lambda d, q, b: _dbfs_create(d, b)),
    ("POST", "/api/2.0/dbfs/add-block", lambda d, q, b: _dbfs_block(d, b)),
    ("POST", "/api/2.0/dbfs/close", lambda d, q, b: _dbfs_close(d, b)),
    ("POST", "/api/2.0/dbfs/move", lambda d, q, b: _dbfs_move(d, b)),
    ("POST", "/api/2.0/dbfs/delete", lambda d, q, b: _dbfs_delete(d, b)),
    ("GET", "/api/2.0/fs/directories(/.*)", lambda d, q, b, path: _folder(d, q, path)),
    ("PUT", "/api/2.0/fs/directories(/.*)", lambda d, q, b, path: None),
    ("HEAD", "/api/2.0/fs/files(/.*)", lambda d, q, b, path: _file(d, path)),
    ("GET", "/api/2.0/fs/files(/.*)", lambda d, q, b, path: _file(d, path)),
    ("PUT", "/api/2.0/fs/files(/.*)", _put_file),
    *serving_double.ROUTES,
)  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer: without this each call waits 40 ms for the other side's acknowledgement
    disable_nagle_algorithm = True
    double: Double

    def log_message(self, *_: object) -> None:
        """Nothing: the test has `calls`."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        body = self._body()
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.double.calls.append((self.command, url.path))
        if body and self.headers.get("Content-Type", "").startswith("application/json"):
            self.double.bodies.append(json.loads(body))
        try:
            self._log_in(url.path)
            answer = self.double.answer(self.command, url.path, query, body)
        except Refused as refused:
            content = json.dumps({**refused.body, "request_id": str(uuid.uuid4())}).encode()
            self._send(refused.status, content, "application/json", refused.headers)
            return
        if isinstance(answer, bytes):
            self._send(200, answer, "application/octet-stream", {})
        elif answer is None:
            self._send(204, b"", "application/json", {})
        else:
            content, headers = answer if isinstance(answer, tuple) else (answer, {})
            self._send(200, json.dumps(content).encode(), "application/json", headers)

    def _log_in(self, path: str) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith(("/.well-known/", "/oidc/")):
            raise Refused(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        modified = {"Last-Modified": "Tue, 24 Nov 2026 08:00:00 GMT"} if kind.endswith("octet-stream") else {}
        org = {"X-Databricks-Org-Id": str(WORKSPACE_ID)}
        length = {} if status == 204 else {"Content-Length": str(len(content)), "Content-Type": kind}
        for name, value in {**length, **modified, **org, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _handle


@contextmanager
def serve() -> Iterator[Double]:
    """A double on a port of its own, until the block ends."""
    double = Double()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": double}))
    server.daemon_threads = True
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
