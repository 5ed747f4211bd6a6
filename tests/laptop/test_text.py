"""Text of feeds and people on a screen and in a log of CI: one line each, and no command to anybody."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from laptop.console import Console
from laptop.document import Diagnostic, Location
from laptop.home import LaptopError
from laptop.text import printable
from mlops_cli import options

COMMANDS = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)
ANY_TEXT = st.text() | st.lists(
    st.sampled_from(["::", ":", "##", "#", "vso", "[", "]", "\n", "\r", "\x1b[2J", " "])
).map("".join)


@given(text=ANY_TEXT)
@example(text="\u2028forged")
@example(text="a\r::stop-commands::x")
@example(text="\x1b]8;;http://x\x07")
@example(text="\u202egnol")
def test_no_text_is_more_than_one_line_or_a_command(text: str) -> None:
    out = StringIO()
    Console(out).show_task_line(text)
    for shown in (printable(text), out.getvalue().removesuffix("\n")):
        assert shown.isprintable()
        assert len(shown.splitlines()) <= 1
        assert not COMMANDS.search(shown)


@pytest.mark.parametrize("text", ["plain text", "größe: 5 °F", "a::b", "C# and ## headings", "日本"])
def test_text_that_commands_nothing_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_problems_and_errors_are_shown_in_lines_of_their_own() -> None:
    problem = Diagnostic("type", Location(Path("a.yml"), 1), "x is 'a\n::b'", "why", "cure")
    assert str(problem) == "a.yml:1: x is 'a\\n::b' (why; cure)"
    assert LaptopError("one\n::two\x1b").format_message() == "one\n: :two\\x1b"


def test_a_reason_forges_no_line_of_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    options.print_line("7  2013-04-01  rollback 2 -> 1 by ada: bad\n8  2013-04-02  deployment 1 -> 9 by bob: fine")
    assert len(capsys.readouterr().out.splitlines()) == 1
