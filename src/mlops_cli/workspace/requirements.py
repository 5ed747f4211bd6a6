"""Reads the identities that act in a target of the bundle, and the privileges that their calls need.

The source is the resolved bundle, as `databricks bundle validate --output json` prints it. RIGHTS is the table of
docs/reference/rights.md. Privileges that the bundle grants itself are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mlops.contract import ConfigError
from mlops_cli.workspace.state import Kind

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PART = re.compile(r"[A-Za-z0-9_]{1,255}")
_PRINCIPAL = re.compile(r"[^\x00-\x1f\x7f`'\"\\]{1,255}")
UNSET = "unset-"
"""Prefix of a principal whose variable has no value yet."""

Place = Literal[
    "catalog", "schema", "volume", "model",
    "data catalog", "data schema", "source catalog", "source schema", "source model", "trial model",
]  # fmt: skip


@dataclass(frozen=True)
class CallPrivilege:
    """A privilege, the jobs whose run_as needs it, and the calls that require it."""

    jobs: tuple[str, ...]
    on: Place
    privilege: str
    calls: str


_READERS = ("training", "validation", "deployment", "inference", "monitoring", "rollout", "streaming")
_WRITERS = ("ingestion", *_READERS[1:], "promotion", "rollback", "review")
_LOADERS = (*_READERS, "promotion", "rollback", "review")
_TAGGERS = ("training", "promotion", "validation", "deployment", "rollback", "review", "rollout")
_MOVERS = ("promotion", "validation", "deployment", "rollback", "review", "rollout")
_EVERY = ("sample", "ingestion", *_LOADERS)
RIGHTS: tuple[CallPrivilege, ...] = (
    CallPrivilege(_EVERY, "catalog", "USE_CATALOG", "everything inside it"),
    CallPrivilege(_EVERY, "schema", "USE_SCHEMA", "everything inside it"),
    CallPrivilege(
        ("sample", "ingestion", "streaming"),
        "volume",
        "READ_VOLUME",
        "storage.list_entries, storage.write_text (compares what is there), streams.process_new_rows (its checkpoint)",
    ),
    CallPrivilege(
        ("sample", "streaming"),
        "volume",
        "WRITE_VOLUME",
        "storage.write_text, streams.process_new_rows (its checkpoint)",
    ),
    CallPrivilege(_WRITERS, "schema", "CREATE_TABLE", "tables.Schema.create_table"),
    CallPrivilege(_WRITERS, "schema", "SELECT", "tables.Schema.read_table"),
    CallPrivilege(
        _WRITERS, "schema", "MODIFY", "tables.Schema.merge_rows, tables.Schema.insert_new, tables.Schema.append_rows"
    ),
    CallPrivilege(_READERS, "data catalog", "USE_CATALOG", "reading features and labels"),
    CallPrivilege(_READERS, "data schema", "USE_SCHEMA", "reading features and labels"),
    CallPrivilege(_READERS, "data schema", "SELECT", "tables.Schema.read_table, tables.Schema.newest_version"),
    CallPrivilege(
        _LOADERS,
        "model",
        "EXECUTE",
        "registry: get_version, list_versions, find_alias_holder, fetch_files, load_model, open_version",
    ),
    CallPrivilege(("training", "promotion"), "model", "CREATE_MODEL_VERSION", "registry: register_model, copy_version"),
    CallPrivilege(_TAGGERS, "model", "APPLY_TAG", "registry: set_tags"),
    CallPrivilege(
        _MOVERS, "model", "MANAGE", "registry: set_alias, drop_alias, delete_version, set_description; or ownership"
    ),
    CallPrivilege(("promotion",), "source catalog", "USE_CATALOG", "reading the version of the target below"),
    CallPrivilege(("promotion",), "source schema", "USE_SCHEMA", "reading the version of the target below"),
    CallPrivilege(("promotion",), "source schema", "SELECT", "reading its audit table: was the version accepted there"),
    CallPrivilege(("promotion",), "source model", "EXECUTE", "registry: get_version, copy_version"),
    CallPrivilege(("integration",), "trial model", "CREATE_MODEL_VERSION", "registry: register_model"),
)


@dataclass(frozen=True)
class Identity:
    """A user, a group or a service principal that acts in the target."""

    name: str
    """As the bundle names it: application id, user name or group; or UNSET and the variable."""
    kind: Literal["user", "service principal", "group"]
    variable: str = ""
    """The bundle variable that names it, as in run_principal; empty where grants or permissions do."""

    @property
    def role(self) -> str:
        """The variable's name without its ending, as in `run`."""
        return self.variable.removesuffix("_principal")


@dataclass(frozen=True)
class RequiredGrant:
    """A privilege on a securable that a principal needs, and why."""

    kind: Kind
    name: str
    who: str
    privilege: str
    why: str


@dataclass(frozen=True)
class TargetRequirements:
    """A target of the bundle, resolved."""

    document: Mapping[str, Any]

    @property
    def bundle(self) -> str:
        """Return the bundle's name."""
        return str(self.document["bundle"]["name"])

    @property
    def target(self) -> str:
        """Return the target's name."""
        return str(self.document["bundle"]["target"])

    @property
    def is_personal(self) -> bool:
        """Whether each person has a separate deployment, as in development mode."""
        return bool(self.document["bundle"].get("mode") == "development")

    def variable_value(self, name: str) -> str:
        """Return a variable's value; empty: the bundle has no such variable."""
        variable = self.document.get("variables", {}).get(name, {})
        return str(variable.get("value", variable.get("default", "")))

    @cached_property
    def securable_names(self) -> dict[Place, tuple[Kind, str]]:
        """Return kind and full name of every securable of the target.

        Raises:
            ConfigError: Unity Catalog does not accept a name.
        """
        schema, volume, model = (self._first_resource(kind) for kind in ("schemas", "volumes", "registered_models"))
        catalog = str(schema["catalog_name"])
        own = f"{catalog}.{schema['name']}"
        data_catalog, data_schema = self.variable_value("data_catalog"), self.variable_value("data_schema")
        data = f"{data_catalog or catalog}.{data_schema or schema['name']}"
        source = self.variable_value("source_model")
        if not source or source.startswith(UNSET):  # the source model of promotion is not set yet
            source = f"{own}.{model['name']}"
        for name in (own, data, source, f"{own}.{volume['name']}", f"{own}.{model['name']}"):
            if not all(_PART.fullmatch(part) for part in name.split(".")):
                raise ConfigError(f"{name!r} is no name of Unity Catalog: letters, digits and underscores, at most 255")
        return {
            "catalog": ("catalog", catalog),
            "schema": ("schema", own),
            "volume": ("volume", f"{own}.{volume['name']}"),
            "model": ("function", f"{own}.{model['name']}"),
            "data catalog": ("catalog", data.partition(".")[0]),
            "data schema": ("schema", data),
            "source catalog": ("catalog", source.partition(".")[0]),
            "source schema": ("schema", source.rsplit(".", 1)[0]),
            "source model": ("function", source),
            "trial model": ("function", self._trial_model),
        }

    @property
    def owner(self) -> str:
        """Return the group that owns the model; empty: the deployer owns it."""
        return "" if self.is_personal else self.variable_value("model_owners")

    @cached_property
    def identities(self) -> tuple[Identity, ...]:
        """List the identities that the bundle names, those of variables first.

        Raises:
            ConfigError: a name holds a quote, a backslash or a control character.
        """
        identities: dict[str, Identity] = {}
        for variable in self.document.get("variables", {}):
            name = self.variable_value(variable)
            if variable.endswith("_principal") and name:
                identities.setdefault(name, Identity(name, "user" if "@" in name else "service principal", variable))
        for name in (*self._principals_in(self.document.get("resources", {})), self.owner):
            if name:
                kind = "user" if "@" in name else "service principal" if _UUID.fullmatch(name) else "group"
                identities.setdefault(name, Identity(name, kind))  # type: ignore[arg-type]
        for name in identities:
            if not _PRINCIPAL.fullmatch(name):
                raise ConfigError(f"{name!r} cannot name a principal: no quote, backslash or control character")
        return tuple(identities.values())

    def identity_of_job(self, job: str) -> str:
        """Return the identity that a job runs as.

        Raises:
            ConfigError: neither the job, nor the target, nor a variable says so.
        """
        for run_as in (self._jobs[job].get("run_as"), self.document.get("run_as")):
            if run_as:
                return str(run_as.get("service_principal_name") or run_as.get("user_name"))
        deployer = self.variable_value("deploy_principal")
        if not deployer:
            raise ConfigError(f"nothing says who job {job!r} runs as: give target {self.target} a run_as")
        return deployer

    def grants_needed(self) -> tuple[RequiredGrant, ...]:
        """List the privileges that are needed and that the bundle does not grant itself."""
        grants: dict[tuple[Kind, str, str, str], RequiredGrant] = {}
        for need in (*self._people_grants(), *self._job_grants()):
            if need.privilege not in self._bundle_privileges(need):
                grants.setdefault((need.kind, need.name, need.who, need.privilege), need)
        return tuple(grants.values())

    def _people_grants(self) -> Iterator[RequiredGrant]:
        kind, catalog = self.securable_names["catalog"]
        for identity in self.identities:
            match identity.role:
                case "deploy":
                    for privilege in ("USE_CATALOG", "CREATE_SCHEMA"):
                        yield RequiredGrant(kind, catalog, identity.name, privilege, "deploys the bundle")
                case "plan":
                    yield RequiredGrant(kind, catalog, identity.name, "BROWSE", "plans, and reads no data")
                case "promote":  # the job reads the audit table of the source, not the pipeline
                    source = [right for right in RIGHTS if right.on.startswith("source ")]
                    for on, privilege in (
                        (right.on, right.privilege) for right in source if right.privilege != "SELECT"
                    ):
                        securable = self.securable_names[on]
                        yield RequiredGrant(*securable, identity.name, privilege, "reads the version to promote")
        # Principals of permissions are left out: the CLI adds the deployer to all of them, and they need no catalog.
        for name in dict.fromkeys(self._principals_in(self._resources, ("principal",))):
            yield RequiredGrant(kind, catalog, name, "USE_CATALOG", "the bundle grants it rights inside")

    def _job_grants(self) -> Iterator[RequiredGrant]:
        for right in RIGHTS:
            kind, name = self.securable_names[right.on]
            if right.privilege == "MANAGE" and self.owner:
                continue  # members of the owning group have the privilege
            jobs: dict[str, list[str]] = {}
            for job in filter(self._jobs.__contains__, right.jobs):
                jobs.setdefault(self.identity_of_job(job), []).append(job)
            for who, names in jobs.items():
                yield RequiredGrant(kind, name, who, right.privilege, f"{', '.join(names)}: {right.calls}")

    @property
    def _trial_model(self) -> str:
        """Return the model of which the job integration makes versions; empty: there is no such job."""
        model = self._resources.get("registered_models", {}).get("trial_model", {})
        return ".".join(str(model[key]) for key in ("catalog_name", "schema_name", "name")) if model else ""

    def job_identities(self) -> tuple[str, ...]:
        """Return the identities that jobs run as."""
        return tuple(dict.fromkeys(self.identity_of_job(job) for job in self._jobs))

    def alias_movers(self) -> tuple[str, ...]:
        """Return the identities whose jobs move aliases: they have to be members of the model's owner."""
        jobs = next(right.jobs for right in RIGHTS if right.privilege == "MANAGE")
        return tuple(dict.fromkeys(self.identity_of_job(job) for job in jobs if job in self._jobs))

    @property
    def _resources(self) -> Mapping[str, Any]:
        return dict(self.document.get("resources", {}))

    @property
    def _jobs(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self._resources.get("jobs", {}))

    def _first_resource(self, kind: str) -> Mapping[str, Any]:
        resources = list(self._resources.get(kind, {}).values())
        if not resources:
            raise ConfigError(f"target {self.target} has no {kind}: give what `bundle validate -o json` prints")
        return dict(resources[0])

    def _bundle_privileges(self, need: RequiredGrant) -> set[str]:
        """Return the privileges that the bundle grants on the securable or, since they are inherited, on its schema."""
        granted: set[str] = set()
        around = {"schemas": "schema", "volumes": "volume", "registered_models": "model"}
        for kind, place in around.items():
            name = self.securable_names[place][1]  # type: ignore[index]
            if need.name == name or need.name.startswith(f"{name}."):
                for grant in self._first_resource(kind).get("grants", ()):
                    if grant["principal"] == need.who:
                        granted.update(grant["privileges"])
        return granted

    def _principals_in(
        self, node: Any, keys: tuple[str, ...] = ("principal", "group_name", "service_principal_name", "user_name")
    ) -> Iterator[str]:
        """Yield the principals of all grants and permissions of the bundle."""
        if isinstance(node, Mapping):
            for key in keys:
                if isinstance(node.get(key), str):
                    yield str(node[key])
        children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
        for child in children:
            yield from self._principals_in(child, keys)
