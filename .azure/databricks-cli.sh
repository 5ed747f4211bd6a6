#!/usr/bin/env bash
# Installs the Databricks CLI for the steps that follow, if the archive is the one that somebody looked at.
set -euo pipefail

version=1.13.0
# Fill this in once per version, from the release's own list of checksums: it could not be looked up when this was written.
sha256=""

if [ -z "$sha256" ]; then
  echo "write the sha256 of databricks_cli_${version}_linux_amd64.zip into .azure/databricks-cli.sh" >&2
  exit 1
fi
cd "$AGENT_TEMPDIRECTORY"
curl --fail --silent --show-error --location --proto '=https' --output databricks.zip \
  "https://github.com/databricks/cli/releases/download/v${version}/databricks_cli_${version}_linux_amd64.zip"
echo "$sha256  databricks.zip" | sha256sum --check --strict
unzip -q databricks.zip -d databricks-cli
echo "##vso[task.prependpath]$PWD/databricks-cli"
