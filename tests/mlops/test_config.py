"""Moments and days as text: one form, or a sentence; what pydantic would read as seconds since 1970 is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops import config
from mlops.contract import ConfigError

BASE = ("--job=ingestion", "--run_id=1", "--catalog=c", "--schema=s", "--landing=/l", "--experiment=/e")
SAMPLE = ("--job=sample", "--run_id=1", "--catalog=c", "--schema=s", "--landing=/l", "--as_of=2013-01-01")


def as_of(text):
    return config.parse_arguments([*BASE, f"--as_of={text}"]).as_of


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2013-04-01", 0),
        ("2013-04-01T05:00", 5),
        ("2013-04-01 05:00:00", 5),
        ("2013-04-01T05:00:00Z", 5),
        ("2013-04-01T05:00:00.000000+00:00", 5),
        ("2013-04-01T05:00:00+02:00", 3),
        ("2013-04-01T05:00:00-0430", 9.5),
    ],
)
def test_a_moment_is_read_as_utc(text, hour):
    assert as_of(text) == datetime(2013, 4, 1, tzinfo=UTC) + timedelta(hours=hour)


offsets = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda t: timezone(timedelta(minutes=t.seconds // 60))
)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 12, 31), timezones=offsets))  # noqa: DTZ001
def test_what_python_writes_of_a_moment_comes_back(moment):
    assert as_of(moment.isoformat()) == moment


WRONG = (
    *("20140103", "2013", "-5", "0", "1e9", "1388707200.0", "", " ", "now"),
    *("2014-W01-1", "2014-001", "2014-13-01", "2014-02-30", "14-01-03", "2014-1-3", "03.01.2014", "2014-01-03\n"),
    *("2014-01-03T", "2014-01-03T5:00", "2014-01-03T25:00:00Z", "2014-01-03T05:00:00 Z", "2014-01-03T05:00:00+25:00"),
    *("0001-01-01", "1969-12-31", "9999-12-31T23:59:59Z", "\uff12\uff10\uff11\uff14-01-03"),
)


@pytest.mark.parametrize("text", WRONG)
def test_any_other_text_is_refused_with_the_form_that_does(text):
    with pytest.raises(ConfigError, match=r"^parameter 'as_of' is .*"):
        as_of(text)


@given(st.text("0123456789-+.eE_ ", max_size=12))
@example("20140103")
@example("2013")
def test_no_number_is_a_moment_or_a_day(text):
    digits = text.strip().replace("-", "", 1)
    if len(text) != 10 or text.count("-") != 2:
        with pytest.raises(ConfigError, match="2013-04-01T00:00:00Z"):
            as_of(text)
    if digits.isdigit():
        with pytest.raises(ConfigError, match=r"since.*2013-04-01"):
            config.parse_arguments([*SAMPLE, f"--since={text}", "--until=2013-01-02"])


@pytest.mark.parametrize("text", ["1388707200", "20140103", "0", "2014-01-03T00:00:00Z", "2014-02-30", ""])
def test_a_day_is_a_day(text):
    with pytest.raises(ConfigError, match="parameter 'until' is"):
        config.parse_arguments([*SAMPLE, "--since=2013-01-01", f"--until={text}"])
    assert config.parse_arguments([*SAMPLE, "--since=2013-01-01", "--until=2013-01-02"]).until.day == 2
