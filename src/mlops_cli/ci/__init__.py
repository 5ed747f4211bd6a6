"""`mlops ci`: what GitHub's workflows and Azure's pipelines call. They hold no logic of their own.

The `*_commands` read the facts and print the answers; the decisions are pure functions beside them.
"""

from __future__ import annotations

import click

from mlops_cli.ci import check_commands, notices, plan_commands, promotion_commands, release_commands
from mlops_cli.ci.options import EXITS


@click.group(epilog=EXITS)
def ci() -> None:
    """Run the checks of a pipeline: plan, drift, release, audit.

    Example: mlops ci plan plan.json --target prod
    """


for _module in (release_commands, plan_commands, promotion_commands, check_commands, notices):
    for _command in _module.COMMANDS:
        ci.add_command(_command)
