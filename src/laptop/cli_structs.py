"""What may stand in databricks.yml outside `resources`: the CLI's own structs (bundle/config/*.go), as dataclasses.

databricks-bundles has such classes for every kind of resource and none for these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Mode(Enum):
    """What sort of target it is."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Engine(Enum):
    """Who carries a deployment out."""

    DIRECT = "direct"
    TERRAFORM = "terraform"


class PauseStatus(Enum):
    """Whether schedules and triggers fire."""

    PAUSED = "PAUSED"
    UNPAUSED = "UNPAUSED"


class Complex(Enum):
    """The only type of a variable that has to be said."""

    COMPLEX = "complex"


class ArtifactType(Enum):
    """What is built."""

    WHL = "whl"
    JAR = "jar"


class Level(Enum):
    """What the bundle as a whole may be given for."""

    CAN_MANAGE = "CAN_MANAGE"
    CAN_VIEW = "CAN_VIEW"
    CAN_RUN = "CAN_RUN"


@dataclass(frozen=True)
class Git:
    """Where the bundle comes from."""

    branch: str | None = None
    origin_url: str | None = None


@dataclass(frozen=True)
class Lock:
    """Whether one deployment waits for another."""

    enabled: bool | None = None
    force: bool | None = None


@dataclass(frozen=True)
class Deployment:
    """How deployments behave."""

    fail_on_active_runs: bool | None = None
    lock: Lock | None = None


@dataclass(frozen=True)
class BundleSection:
    """`bundle:` of the root and, in part, of a target."""

    name: str | None = None
    engine: Engine | None = None
    databricks_cli_version: str | None = None
    deployment: Deployment | None = None
    git: Git | None = None
    cluster_id: str | None = None
    compute_id: str | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class Workspace:
    """`workspace:`; who logs in how is the CLI's business, and stands here only because it is allowed to."""

    host: str | None = None
    profile: str | None = None
    auth_type: str | None = None
    client_id: str | None = None
    account_id: str | None = None
    workspace_id: str | None = None
    google_service_account: str | None = None
    azure_workspace_resource_id: str | None = None
    azure_use_msi: bool | None = None
    azure_client_id: str | None = None
    azure_tenant_id: str | None = None
    azure_environment: str | None = None
    azure_login_app_id: str | None = None
    experimental_is_unified_host: bool | None = None
    root_path: str | None = None
    file_path: str | None = None
    resource_path: str | None = None
    artifact_path: str | None = None
    state_path: str | None = None


@dataclass(frozen=True)
class Presets:
    """What holds for every resource that does not say it itself."""

    name_prefix: str | None = None
    pipelines_development: bool | None = None
    trigger_pause_status: PauseStatus | None = None
    jobs_max_concurrent_runs: int | None = None
    source_linked_deployment: bool | None = None
    artifacts_dynamic_version: bool | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ArtifactFile:
    """A built file."""

    source: str


@dataclass(frozen=True)
class Artifact:
    """Something that is built before it is deployed."""

    type: ArtifactType | None = None
    path: str | None = None
    files: list[ArtifactFile] = field(default_factory=list)
    build: str | None = None
    executable: str | None = None
    dynamic_version: bool | None = None


@dataclass(frozen=True)
class Sync:
    """Which files go along."""

    paths: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunAs:
    """Who the jobs run as."""

    service_principal_name: str | None = None
    user_name: str | None = None


@dataclass(frozen=True)
class Permission:
    """Who may do what with everything the bundle deploys."""

    level: Level
    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None


@dataclass(frozen=True)
class Variable:
    """A variable, as the root declares it."""

    description: str | None = None
    default: Any = None
    type: Complex | None = None
    lookup: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What differs in a target."""

    mode: Mode | None = None
    default: bool | None = None
    bundle: BundleSection | None = None
    workspace: Workspace | None = None
    presets: Presets | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    git: Git | None = None
    run_as: RunAs | None = None
    sync: Sync | None = None
    permissions: list[Permission] = field(default_factory=list)
    cluster_id: str | None = None
    compute_id: str | None = None


@dataclass(frozen=True)
class Script:
    """A command of the bundle's own."""

    content: str
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Root:
    """The whole file."""

    bundle: BundleSection
    include: list[str] = field(default_factory=list)
    workspace: Workspace | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    sync: Sync | None = None
    run_as: RunAs | None = None
    presets: Presets | None = None
    permissions: list[Permission] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    python: dict[str, Any] = field(default_factory=dict)
    experimental: dict[str, Any] = field(default_factory=dict)
