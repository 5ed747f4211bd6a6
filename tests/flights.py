"""The flights' sample in tests: which days, and how a file reads."""

from __future__ import annotations

import io
from datetime import date

import pandas as pd

REFERENCES, SINCE, UNTIL = date(2012, 12, 31), date(2013, 1, 20), date(2013, 1, 24)


def parsed(text, source):
    """A file as a frame; its times UTC without zone."""
    times = [c.name for c in source.columns if c.type == "timestamp"]
    frame = pd.read_csv(io.StringIO(text))
    for name in times:
        frame[name] = pd.to_datetime(frame[name], format="%Y-%m-%dT%H:%M:%SZ").astype("datetime64[ns]")
    return frame
