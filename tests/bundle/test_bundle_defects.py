"""At least one seeded defect per rule, and real bugs of other templates: each found by its rule and at its line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from names import BUNDLE, SCHEMA

from laptop.bundle import BundleError, read_source
from laptop.lint import find_problems, lint_bundle
from laptop.lint.project import Project

DATABRICKS, LAKEHOUSE = "databricks.yml", "resources/lakehouse.yml"
TRAINING, MONITORING, DEPLOYMENT = (f"resources/{job}.job.yml" for job in ("training", "monitoring", "deployment"))
RIGHTS = "resources/rights.yml"
INGESTION, SAMPLE, PROMOTION = (f"resources/{job}.job.yml" for job in ("ingestion", "sample", "promotion"))


@dataclass(frozen=True)
class Defect:
    """In `file`, the first `old` becomes `new`; then `rule` uses the first line that holds `at`."""

    rule: str
    file: str
    old: str
    new: str
    at: str
    says: str = ""
    where: str = ""
    """The file of that line, if it is another one."""
    last: bool = False
    """It is the last such line, not the first."""

    def __str__(self) -> str:
        return f"{self.rule} {self.at.strip()}"


ENVIRONMENT = "          environment_version: ${var.environment_version}\n"
HANDOVER = "        - task_key: handover\n          depends_on:\n            - task_key: training\n"
OWN = '            named_parameters:\n              job: training\n              run_id: "{{job.run_id}}"\n'
OWN_APPROVAL = OWN.replace("job: training", "job: deployment").join(["            entry_point: approval\n", ""])
CONDITION = "            op: EQUAL_TO\n"
RUN_JOB = "          run_job_task:\n            job_id: ${resources.jobs.training.id}\n"
LOOP = """        - task_key: each
          depends_on:
            - task_key: training
          timeout_seconds: 60
          for_each_task:
            inputs: "[1, 2]"
            task:
              task_key: one
              timeout_seconds: 60
              run_job_task:
                job_id: ${resources.jobs.validation.id}
                job_parameters:
                  model_version: "{{input}}"
"""

DEFECTS = (
    # --- reading and merging
    Defect("yaml", TRAINING, "resources:\n", "resources: [\n", "    training:", "cannot be read"),
    Defect(
        "yaml", TRAINING, "      queue:", "      name: again\n      queue:", "name: again",
        "stands twice (line 5",
    ),
    Defect("type", DATABRICKS, "    mode: development\n", "    mode: development\n    bundle: [x]\n", "bundle: [x]"),
    Defect(
        "merge", TRAINING, "resources:\n", "variables: {schema: {default: 5}}\nresources:\n", "default: 5",
        f"the number 5 stands where databricks.yml:26 has the text '{SCHEMA}'",
    ),
    Defect("include", DATABRICKS, "  - resources/*.yml", "  - resource/*.yml", "resource/*.yml", "matches no file"),
    Defect("include", TRAINING, "resources:\n", "include: [x.yml]\nresources:\n", "include:", "an included file"),
    Defect(
        "keys", LAKEHOUSE, "    landing:\n", "    training:\n", "    training:", "resource key 'training' is taken",
        TRAINING,
    ),
    Defect("target", "laptop.yml", "staging:\n", "stagng:\n", "stagng:", "did you mean 'staging'"),
    Defect("target", DATABRICKS, "    default: true\n", "", "targets:", "0 targets are the default"),
    # --- variables and references
    Defect("reference", TRAINING, "${var.catalog}", "${var.catlog}", "${var.catlog}", "did you mean 'catalog'"),
    Defect("reference", TRAINING, "${resources.jobs.deployment.id}", "${resources.jobs.deploy.id}", "jobs.deploy.id"),
    Defect("reference", TRAINING, "${var.catalog}", "${var.}", "${var.}", "without a reference"),
    Defect(
        "reference", DATABRICKS, f"  name: {BUNDLE}", "  name: ${var.schema}", "  name:",
        "does not resolve it there",
    ),
    Defect(
        "variables", DATABRICKS, "      catalog: staging\n", "", "  catalog:\n", "has no value (target staging)",
    ),
    Defect(
        "variables", DATABRICKS, "      approval: automatic\n", "      aproval: automatic\n", "aproval:",
        "'approval'",
    ),
    Defect(
        "variables", DATABRICKS, f"    default: {SCHEMA}\n", "    default: [a_list]\n", "  schema:",
        "no single value",
    ),
    Defect(
        "variables", DATABRICKS, "    default: ${var.catalog}\n", "", "  data_catalog:",
        "neither a default nor a value",
    ),
    Defect("variables", DATABRICKS, "  schema:\n", "  spare:\n    default: x\n  schema:\n", "  spare:", "used nowhere"),
    # --- structure
    Defect(
        "unknown", TRAINING, "      queue:", "      timout_seconds: 1\n      queue:", "timout",
        "'timeout_seconds'",
    ),
    Defect(
        "unknown", DATABRICKS, "variables:\n", "varables: {}\nvariables:\n", "varables:", "did you mean 'variables'",
    ),
    Defect("unknown", DATABRICKS, "    mode: production\n", "    mod: production\n", "mod:", "did you mean 'mode'"),
    Defect("unknown", LAKEHOUSE, "  schemas:\n", "  schema:\n", "  schema:", "did you mean 'schemas'"),
    Defect("type", TRAINING, "timeout_seconds: 7200", "timeout_seconds: two hours", "two hours", "a whole number"),
    Defect("type", DATABRICKS, "mode: production", "mode: prodution", "prodution", "did you mean 'production'"),
    Defect("type", DEPLOYMENT, CONDITION, "            op: EQUALS\n", "op: EQUALS", "EQUAL_TO"),
    Defect("type", DEPLOYMENT, "      tasks:\n", "      tasks: all\n      tags:\n", "tasks: all", "a list"),
    Defect("required", DEPLOYMENT, CONDITION, "", "condition_task:", "has no 'op'"),
    Defect(
        "required", LAKEHOUSE, "      catalog_name: ${var.catalog}\n", "", "    lakehouse:", "has no 'catalog_name'",
    ),
    # --- graph
    Defect(
        "task-type", TRAINING, HANDOVER, HANDOVER + "          notebook_task: {notebook_path: x}\n",
        "python_wheel_task:", last=True,
    ),
    Defect("task-type", MONITORING, RUN_JOB, "", "task_key: retraining\n", "does nothing"),
    Defect(
        "empty", "resources/rollback.job.yml", "      tasks:\n", "      tasks: []\n      budget_policy_id: |\n",
        "tasks: []",
    ),
    Defect(
        "twice", INGESTION, "task_key: features", "task_key: ingestion", "task_key: ingestion\n          depends_on:",
        "two tasks named",
    ),
    Defect(
        "twice", TRAINING, "        - name: schema\n", "        - name: catalog\n", "name: catalog",
        "two parameters", last=True,
    ),
    Defect(
        "depends-on", TRAINING, "            - task_key: training\n", "            - task_key: trainin\n",
        "trainin\n", "'training'",
    ),
    Defect(
        "cycle", TRAINING, "            - task_key: training\n", "            - task_key: handover\n",
        "- task_key: handover", last=True,
    ),
    Defect(
        "cycle", INGESTION, "        - task_key: ingestion\n",
        "        - task_key: ingestion\n          depends_on:\n            - task_key: features\n",
        "- task_key: features", "which depends on it",
    ),
    Defect(
        "outcome", DEPLOYMENT, '              outcome: "true"\n', "", "            - task_key: accepted",
        "on which answer",
    ),
    Defect("outcome", DEPLOYMENT, 'outcome: "true"', 'outcome: "yes"', 'outcome: "yes"', "is true or false"),
    Defect(
        "outcome", TRAINING, "            - task_key: training\n",
        '            - task_key: training\n              outcome: "true"\n', "outcome:", "only a condition_task",
    ),
    Defect("condition", DEPLOYMENT, CONDITION, "            op: GREATER_THAN\n", "right: accepted", "compares numbers"),
    Defect("condition", DEPLOYMENT, "right: accepted", "right: acepted", "right: acepted", "nothing in the module"),
    Defect(
        "condition", DEPLOYMENT, '"{{tasks.validation.values.verdict}}"', "accepted", "condition_task:",
        "two constants",
    ),
    Defect("loop", TRAINING, HANDOVER, LOOP.replace("[1, 2]", "1, 2") + HANDOVER, "inputs:", "no JSON list"),
    Defect("run-job", MONITORING, "${resources.jobs.training.id}", '"123"', 'job_id: "123"', "none of the bundle's"),
    Defect("run-job", MONITORING, "jobs.training.id", "jobs.monitoring.id", "job_id:", "in a circle"),
    Defect(
        "pushed-down", MONITORING, "jobs.training.id", "jobs.validation.id", "task_key: retraining\n",
        "'model_version'",
    ),
    Defect(
        "pushed-down", MONITORING, "jobs.training.id", "jobs.inference.id", "default: ${resources.experiments",
        "no such",
    ),
    Defect(
        "compute", TRAINING, "          environment_key: default\n", "          environment_key: other\n",
        "key: other", "there is default",
    ),
    Defect("compute", TRAINING, "          environment_key: default\n", "", "task_key: training", "where it runs"),
    Defect("twice", TRAINING, HANDOVER, LOOP.replace("key: one", "key: handover") + HANDOVER, "    task:\n", "another"),
    Defect(
        "depends-on", TRAINING, "            - task_key: training\n", "            - task_key: training\n" * 2,
        "            - task_key: training", "twice", last=True,
    ),
    Defect(
        "depends-on", TRAINING, HANDOVER,
        LOOP.replace("key: one\n", "key: one\n              depends_on: [{task_key: training}]\n") + HANDOVER,
        "            task:\n", "inside a loop",
    ),
    Defect(
        "loop", TRAINING, HANDOVER,
        LOOP.replace("run_job", "for_each_task: {inputs: '[1]', task: {task_key: x}}\n              run_job")
        + HANDOVER,
        "            task:\n", "a loop inside a loop",
    ),
    Defect(
        "condition", MONITORING, RUN_JOB,
        "          condition_task: {op: EQUAL_TO, left: '{{job.id}}', right: '1'}\n", "task_key: retraining\n",
        "no task uses",
    ),
    # --- dynamic references
    Defect(
        "dynamic", TRAINING, "{{tasks.training.values.model_version}}", "{{tasks.training.values.model-version}}",
        "model-version", "its syntax is wrong",
    ),
    Defect(
        "dynamic", TRAINING, "tasks.training.values.", "tasks.training.value.", "training.value.", "no such value",
    ),
    Defect(
        "dynamic", DEPLOYMENT, OWN_APPROVAL, OWN_APPROVAL.replace("job.run_id", "tasks.accepted.values.verdict"),
        "tasks.accepted", "runs no code",
    ),
    Defect(
        "dynamic", TRAINING, "values.model_version", "values.version", "values.version",
        "did you mean 'model_version'",
    ),
    Defect(
        "dynamic", TRAINING, "tasks.training.values", "tasks.train.values", "tasks.train.",
        "did you mean 'training'",
    ),
    Defect(
        "dynamic", TRAINING, "          depends_on:\n            - task_key: training\n", "", "model_version:",
        "need not have ended",
    ),
    Defect("dynamic", TRAINING, "{{job.run_id}}", "{{job.runid}}", "{{job.runid}}", "did you mean 'job.run_id'"),
    Defect("dynamic", TRAINING, "{{job.run_id}}", "{{job.parameters.run}}", "job.parameters.run", "no parameter 'run'"),
    Defect("dynamic", TRAINING, "{{job.run_id}}", "{{input}}", "{{input}}", "not inside a for_each_task"),
    Defect("dynamic", TRAINING, "{{job.run_id}}", "{{job.run_id", "{{job.run_id", "not closed"),
    Defect(
        "dynamic", TRAINING, "start_time.iso_datetime", "start_time.isodatetime", "isodatetime",
        "when the job starts",
    ),
    Defect(
        "dynamic", TRAINING, "name: ${bundle.name}-${bundle.target}-training", 'name: "{{job.name}}"',
        "{{job.name}}", "does not fill it in",
    ),
    Defect(
        "dynamic", TRAINING, '              model_version: "{{tasks.training.values.model_version}}"\n', "",
        "- task_key: training", "no task reads",
    ),
    # --- code
    Defect(
        "entry-point", TRAINING, "entry_point: training", "entry_point: trainin", "trainin\n",
        "did you mean 'training'",
    ),
    Defect(
        "entry-point", TRAINING, "task_key: handover", "task_key: hand", "entry_point: handover",
        "one name has to mean task, entry point and module",
    ),
    Defect(
        "entry-point", "pyproject.toml", "mlops.jobs.training:main", "mlops.jobs.train:main", "training =",
        "no such module",
    ),
    Defect(
        "entry-point", "pyproject.toml", "rollback =", 'extra = "mlops.jobs.rollback:main"\nrollback =', "extra =",
        "by no task",
    ),
    Defect(
        "wheel", TRAINING, "package_name: mlops-template", "package_name: mlops", "package_name: mlops\n",
        "another name",
    ),
    Defect(
        "keywords", TRAINING, "            named_parameters:\n",
        '            parameters: ["x"]\n            named_parameters:\n', "parameters: [",
    ),
    Defect(
        "parameters", TRAINING, "              job: training\n", "              job: monitoring\n",
        "job: monitoring", "its job is",
    ),
    Defect(
        "parameters", TRAINING, "        - name: catalog\n",
        "        - name: job\n          default: x\n        - name: catalog\n", "default: x", "win over",
    ),
    Defect(
        "parameters", TRAINING, "- name: data_schema\n          default: ${var.data_schema}",
        "- name: dataschema\n          default: ${var.data_schema}", "- name: dataschema",
        "did you mean 'data_schema'",
    ),
    Defect(
        "parameters", DATABRICKS, "approval: automatic", "approval: automatik", "default: ${var.approval}",
        "automatic", DEPLOYMENT,
    ),
    Defect(
        "parameters", "src/mlops/config.py", '    "rollback":', '    "spare": RollbackConfig,\n    "rollback":',
        '    "spare"', "belongs to no job",
    ),
    Defect(
        "overridden", TRAINING, "              job: training\n",
        "              job: training\n              catalog: other\n", "catalog: other",
    ),
    # --- policy
    Defect(
        "run-as", RIGHTS, "${var.train_principal}\n          permissions",
        "${var.run_principal}  # both\n          permissions", "  # both", "both run as",
    ),
    Defect(
        "job", TRAINING,
        "{metric: RUN_DURATION_SECONDS, op: GREATER_THAN, value: 3600}", "", "health:", "when it is slow",
    ),
    Defect("target", DATABRICKS, "    git:\n      branch: main\n", "", "  staging:", "which branch"),
    Defect("engine", DATABRICKS, "  engine: direct\n", "  engine: terraform\n", "engine:", "deprecated"),
    Defect("cli", DATABRICKS, '">=1.13.0"', '"1.13.0"', "databricks_cli_version:", "no floor"),
    Defect(
        "target", DATABRICKS, "    run_as:\n      service_principal_name: ${var.run_principal}\n", "", "  staging:",
        "run as whoever",
    ),
    Defect("target", DATABRICKS, "service_principal_name:", "user_name:", "user_name:", "as a person"),
    Defect("target", DATABRICKS, "    mode: development\n", "", "  dev:", "has no mode"),
    Defect("job", TRAINING, "max_concurrent_runs: 1", "max_concurrent_runs: 4", "max_concurrent_runs: 4", "two runs"),
    Defect("job", TRAINING, "{enabled: true}", "{enabled: false}", "queue:", "skipped"),
    Defect(
        "timeout", TRAINING, "          timeout_seconds: 5400\n", "          timeout_seconds: 0\n",
        "timeout_seconds: 0", "hang",
    ),
    Defect(
        "retries", DEPLOYMENT, "          timeout_seconds: 600\n",
        "          timeout_seconds: 600\n          max_retries: 3\n", "max_retries",
    ),
    Defect(
        "retries", DEPLOYMENT, "          disable_auto_optimization: true\n", "", "task_key: validation",
        "serverless retries",
    ),
    Defect(
        "chain", INGESTION, "          depends_on:\n            - task_key: ingestion\n", "", "task_key: features",
        "beside",
    ),
    Defect(
        "approval", DEPLOYMENT, "        - name: model_version\n", "        - name: version\n", "      parameters:",
        "'model_version'",
    ),
    Defect(
        "approval", DEPLOYMENT, "            - task_key: approval\n", "            - task_key: validation\n",
        "task_key: deployment", "whether or not",
    ),
    Defect(
        "approval", DEPLOYMENT, "          depends_on:\n            - task_key: approval\n",
        "          depends_on:\n            - task_key: accepted\n              outcome: \"true\"\n",
        "task_key: approval", "no task depends on it",
    ),
    Defect("rights", RIGHTS, "[USE_SCHEMA]", "[ALL_PRIVILEGES]", "[ALL_PRIVILEGES]", "privileges that no job needs"),
    Defect("rights", RIGHTS, "principal: ${var.consumers}", "principal: a@b.c", "a@b.c", "a person"),
    Defect(
        "host", DATABRICKS, "    workspace:\n", "    workspace:\n      host: https://x\n", "host: https",
        "deploy there",
    ),
    Defect("home", LAKEHOUSE, "name: /Users/${var.deploy_principal}", "name: /Users/a@b.c", "/Users/a@b.c", "home of"),
    Defect(
        "file", TRAINING, HANDOVER, HANDOVER + "          notebook_task: {notebook_path: ../gone}\n", "../gone",
        "no file",
    ),
    Defect(
        "file", TRAINING, HANDOVER, HANDOVER + "          spark_python_task: {python_file: ../src/mlops/config.py}\n",
        "../src/mlops/config.py", "lies in no folder of sync.paths",
    ),
    Defect("legacy", LAKEHOUSE, "comment: ${var.question}", "comment: models:/m/Production", "models:/", "uses"),
    Defect("cron", MONITORING, "0 0 6 * * ?", "0 0 6 * * *", "0 0 6", "needs ?"),
    Defect("cron", MONITORING, "0 0 6 * * ?", "0 0 26 * * ?", "0 0 26", "'26' is no hours"),
    Defect("cron", MONITORING, "timezone_id: UTC", "timezone_id: Mars/Olympus", "Mars", "no such zone"),
    Defect("environment", DATABRICKS, ENVIRONMENT, "", "        spec:", "no environment_version"),
    Defect("environment", DATABRICKS, "mlflow==${var.mlflow_version}", "mlflow>=3", "mlflow>=3", "not pinned"),
    Defect("wheel", DATABRICKS, "./dist/*.whl", "../dist/*.whl", "../dist", "not where a wheel is built"),
    Defect("wheel", DATABRICKS, "    files:\n      - source: dist/*.whl\n", "", "  wheel:", "no code"),
    Defect("wheel", DATABRICKS, "source: dist/*.whl", "source: dist/*.jar", "source: dist", "no job installs"),
    Defect("wheel", DATABRICKS, "    type: whl\n", "", "  wheel:", "has no type"),
    Defect(
        "environment", DATABRICKS, 'default: "6"', 'default: "5"', "environment_version: $", "pandas 2.2.3",
    ),
    Defect("environment", DATABRICKS, 'default: "6"', 'default: "99"', "environment_version: $", "not listed"),
    Defect("environment", DATABRICKS, "mlflow==${var.mlflow_version}", "mlflow==3.1.0", "mlflow==3.1.0", "in uv.lock"),
    Defect(
        "environment", DATABRICKS, "mlflow==$", "pyspark==4.2.0\n            - mlflow==$", "pyspark==",
        "second Spark",
    ),
    Defect(
        "classic", TRAINING, "      tasks:\n", "      job_clusters: []\n      tasks:\n", "job_clusters:",
        "job_clusters",
    ),
    Defect(
        "classic", TRAINING, "          environment_key: default\n", "          existing_cluster_id: 1-a\n",
        "existing_cluster_id:", "serverless workspaces have none",
    ),
    Defect(
        "grant", RIGHTS, "[READ_VOLUME, WRITE_VOLUME]", "[READ_VOLUME, SELECT]", "[READ_VOLUME, S",
        "on volumes.landing",
    ),
    Defect(
        "grant", RIGHTS, "[READ_VOLUME, WRITE_VOLUME]", "[]",
        "- principal: ${var.run_principal}\n              privileges: []", "no privileges",
    ),
    Defect("grant", RIGHTS, "- principal: ${var.consumers}\n              p", "- p", "- privileges:", "no principal"),
    Defect(
        "identity", RIGHTS, "- level: CAN_RUN\n        service",
        "- level: CAN_RUN\n        group_name: x\n        service",
        "- level: CAN_RUN", "group_name and service",
    ),
    Defect(
        "identity", RIGHTS, "          run_as:\n", "          run_as:\n            user_name: x\n", "          run_as:",
        "run_as names user_name and",
    ),
    Defect(
        "identity", RIGHTS, "        group_name: ${var.job_runners}\n", "", "- level: CAN_VIEW\n      - ",
        "names nobody",
    ),
    Defect(
        "run-as", LAKEHOUSE, "  experiments:\n",
        "  dashboards: {x: {display_name: x, embed_credentials: true}}\n  experiments:\n",
        "dashboards:", "deployer's rights",
    ),
    Defect(
        "paused", MONITORING, "timezone_id: UTC", "timezone_id: UTC\n        pause_status: PAUSED", "pause_status",
        "'prod' UNPAUSED",
    ),
    Defect(
        "paused", MONITORING, "timezone_id: UTC", "timezone_id: UTC\n        pause_status: UNPAUSED", "pause_status",
        "'dev' PAUSED",
    ),
    Defect(
        "paused", MONITORING, "      schedule:\n", "      continuous: {}\n      schedule:\n", "continuous:",
        "by one of them",
    ),
    Defect(
        "home", DATABRICKS, "/Workspace/Users/${var.deploy_principal}", "/Workspace/Shared", "/Workspace/Shared",
        "everybody",
    ),
    Defect(
        "catalog", LAKEHOUSE, "name: /Users/${var.deploy_principal}/", "name: ", "name: ${bundle.name}-",
        "absolute path",
    ),
    Defect(
        "hard-coded", INGESTION, "${resources.volumes.landing.volume_path}", f"/Volumes/prod/{SCHEMA}/landing",
        "/Volumes",
        "of one target",
    ),
    Defect("dynamic", TRAINING, '"{{job.run_id}}"', '"{job.run_id}"', '"{job.run_id}"', "are not filled in"),
    Defect("catalog", LAKEHOUSE, "      comment: Files", "      # comment: Files", "    landing:", "no comment"),
)  # fmt: skip

PEERS = (
    # mlops-stacks and its copies: fields that the API does not have
    Defect(
        "unknown", LAKEHOUSE, "      comment: ${var.question}", "      description: ${var.question}", "description:",
        "no key 'description'",
    ),
    Defect(
        "unknown", LAKEHOUSE, "      name: /Users", "      description: runs\n      name: /Users",
        "description: runs",
    ),
    Defect("unknown", DEPLOYMENT, CONDITION, CONDITION + "            git_source_info: {}\n", "git_source_info"),
    # databricks-agent-skills: a model's name with its catalog and schema
    Defect(
        "catalog", LAKEHOUSE, "      name: ${var.model}", "      name: prod.ml.${var.model}", "prod.ml.",
        "last part only",
    ),
    # mlops-stacks: the monitor's table is dev's in every target
    Defect(
        "hard-coded", LAKEHOUSE, "      catalog_name: ${var.catalog}", "      catalog_name: dev",
        "catalog_name: dev", "in the others",
    ),
    # mlops-stacks 217: an endpoint in the bundle fails the first deployment
    Defect(
        "first-deployment", LAKEHOUSE, "  experiments:\n",
        "  model_serving_endpoints:\n    live: {name: live}\n  experiments:\n", "live:", "first deployment",
    ),
    # bundle-examples: job parameters that never reach a wheel task, which has positional ones
    Defect(
        "keywords", TRAINING, OWN, '            parameters: ["${var.catalog}"]\n', "parameters: [",
        "none of the job's",
    ),
    # bundle-examples: a level that the kind does not have
    Defect(
        "type", TRAINING, "      queue:", "      permissions: [{group_name: all, level: VIEW}]\n      queue:",
        "permissions", "CAN_VIEW",
    ),
    # bundle-examples, six times: trigger.type
    Defect(
        "unknown", TRAINING, "      queue:", "      trigger: {type: periodic}\n      queue:", "trigger:",
        "no key 'type'",
    ),
    # default templates: the old name of the environment's version
    Defect("environment", DATABRICKS, ENVIRONMENT, '          client: "1"\n', "client:", "deprecated"),
    # kedro-databricks 140: the DBFS root
    Defect(
        "legacy", LAKEHOUSE, "      name: /Users", "      artifact_location: dbfs:/runs\n      name: /Users",
        "dbfs:/runs",
    ),
    # mlops-stacks: production without an identity or a place of its own
    Defect(
        "target", DATABRICKS,
        "      root_path: /Workspace/Users/", "      file_path: /Workspace/Users/", "  staging:", "root_path",
    ),
    # mlops-stacks: a test that globs a folder which is gone
    Defect(
        "include", DATABRICKS, "  - resources/*.yml", "  - resources/*.yml\n  - notebooks/*.yml", "notebooks",
        "matches no file",
    ),
    # check-jsonschema passes them: a wrong root key, a wrong mode, a dangling depends_on
    Defect("unknown", DATABRICKS, "targets:\n", "target: {}\ntargets:\n", "target: {}", "did you mean 'targets'"),
)  # fmt: skip


def broken(root: Path, defect: Defect) -> tuple[Path, int]:
    """Seed the defect; gives the line where it is to be reported."""
    file = root / defect.file
    text = file.read_text()
    assert defect.old in text, "the bundle has changed: nothing to break"
    file.write_text(text.replace(defect.old, defect.new, 1))
    where = root / (defect.where or defect.file)
    found = where.read_text()
    assert defect.at in found, "the line that is to be reported is not there"
    begin = found.rindex(defect.at) if defect.last else found.index(defect.at)
    return where.relative_to(root), found.count("\n", 0, begin) + 1


@pytest.mark.parametrize("defect", [*DEFECTS, *PEERS], ids=str)
def test_a_defect_is_found_by_its_rule_at_its_line(copied: Path, project: Project, defect: Defect) -> None:
    where, line = broken(copied, defect)
    # A project is read once, and all targets where one does not show it. What it is told as: test_bundle_causes.py.
    beside = project if defect.file == DATABRICKS or defect.file.startswith("resources") else Project(copied)
    source = read_source(copied)
    one = ("prod",) if "prod" in source.targets else source.targets
    for targets in (one, source.targets):
        problems = find_problems(source, beside, targets)
        told = [each for each in problems if each.rule == defect.rule and defect.says in str(each)]
        if (where, line) in [(each.location.file, each.location.line) for each in told]:
            return
    pytest.fail("\n".join(map(str, problems)))


def test_two_levels_of_run_job_are_allowed_and_three_are_not(copied: Path) -> None:
    """monitoring runs training; let that run inference, and then let that run sample."""
    found = []
    for file, before, job in (
        (TRAINING, "handover", "inference"),
        ("resources/inference.job.yml", "inference", "sample"),
    ):
        task = (
            f"        - task_key: more\n          depends_on: [{{task_key: {before}}}]\n          timeout_seconds: 60\n"
        )
        with (copied / file).open("a") as text:
            text.write(task + RUN_JOB.replace("training", job))
        problems = find_problems(read_source(copied), Project(copied))  # without the search for what caused them
        found.append([str(each) for each in problems if each.rule == "run-job"])
    assert found[0] == []
    assert "starts 3 levels of run_job" in found[1][0]
    assert found[1][0].startswith(f"{MONITORING}:")


def rules() -> Iterator[str]:
    """The names of all rules, as the sources of the linter and the reader have them."""
    folder = Path(__file__).parents[2] / "src/laptop"
    for file in [*folder.glob("lint/*.py"), *(folder / f"{name}.py" for name in ("bundle", "document", "resolution"))]:
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) in {"Diagnostic", "task.problem"} and isinstance(call.args[0], ast.Constant):
                yield str(call.args[0].value)


def test_every_rule_has_a_defect() -> None:
    elsewhere = {"schema", "project"}  # tests/bundle/test_bundle_output.py, test_bundle_crashes.py
    elsewhere |= {"app", "cluster", "development", "script", "sync"}  # tests/bundle/cli_cases.yml
    elsewhere |= {"limit"}  # tests/laptop/test_runner_stops.py
    elsewhere |= {"tables"}  # tests/bundle/test_bundle_messages.py
    assert set(rules()) - {defect.rule for defect in (*DEFECTS, *PEERS)} == elsewhere


def test_problems_of_one_target_say_so_and_all_come_sorted(copied: Path) -> None:
    file = copied / DATABRICKS
    text = file.read_text().replace("approval: required", "approval: perhaps").replace("engine: direct", "engine: x")
    file.write_text(text)
    problems = lint_bundle(copied)
    assert [problem.location for problem in problems] == sorted(problem.location for problem in problems)
    assert any("'perhaps' (target prod)" in problem.summary for problem in problems)
    assert not any("(target" in problem.summary for problem in problems if problem.rule in {"engine", "type"})


def test_an_unknown_target_is_refused(copied: Path) -> None:
    with pytest.raises(BundleError, match="did you mean 'prod'"):
        lint_bundle(copied, ["prd"])


def test_a_message_reads_as_a_compiler_writes_it(copied: Path) -> None:
    file = copied / TRAINING
    file.write_text(file.read_text().replace("            - task_key: training", "            - task_key: trainin"))
    line = file.read_text().split("\n").index("            - task_key: trainin") + 1
    assert str(next(each for each in lint_bundle(copied) if each.rule == "depends-on")) == (
        f"{TRAINING}:{line}: task 'handover' of job 'training' depends on 'trainin', which is no task"
        " (it never runs; did you mean 'training'?)"
    )
