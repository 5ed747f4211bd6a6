"""Task sample: write the sample's files to the landing folder, as `<landing>/<source>/<day>.csv`."""

from __future__ import annotations

from mlops.config import SampleConfig
from mlops.context import Context, task
from mlops.contract import ConfigError
from mlops.platform import storage


def run(job: Context[SampleConfig]) -> None:
    """Write the files of the days since..until, both included; a file that exists with the same content stays."""
    since, until = job.config.since, job.config.until
    if until < since:
        raise ConfigError(f"until ({until}) is before since ({since}): give the earlier day as since")
    landed = [
        storage.write_text(f"{job.config.landing}/{path}", text) for path, text in job.use_case.sample(since, until)
    ]
    if not landed:
        raise ConfigError(f"the sample has no files for {since}..{until}")
    job.log.info("%d files landed, %d were there before", sum(landed), len(landed) - sum(landed))


main = task(run)
