"""The linter reads the types of parameters as text; pydantic, which the jobs ask, says which values they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from laptop.lint.project import Parameter, Project
from mlops.config import CONFIGS

VALUES = st.one_of(
    st.sampled_from(["0", "1", "-1", "+7", "99", "100", "1000", "1001", "100000", "0_x", "1.5", "1e3", "on"]),
    st.sampled_from(["a-b", "a_b", "a.b.c", "a.b", "x" * 64, "x" * 256, "newest", "features=3", "x=y", " 5 "]),
    st.from_regex(r"[A-Za-z0-9_.=,+-]{1,12}|[+-]?[0-9_.]{1,6}", fullmatch=True),
).filter(lambda value: "__" not in value)  # pydantic takes 0__0 for 0 and refuses 1__0  # fmt: skip


def parameters(project: Project) -> list[tuple[str, str, Parameter]]:
    return [(job, name, field) for job, fields in (project.configs or {}).items() for name, field in fields.items()]


def takes(job: str, name: str, value: str) -> bool:
    """Whether the configuration takes the value, whatever else it is given."""
    try:
        CONFIGS[job].model_validate({name: value})
    except ValidationError as error:
        return not [problem for problem in error.errors() if problem["loc"] == (name,)]
    return True


@given(value=VALUES)
def test_the_linter_refuses_what_the_configuration_refuses_and_nothing_else(project: Project, value: str) -> None:
    for job, name, field in parameters(project):
        if field.allowed or field.form:
            assert (field.explain_refusal(value) is None) == takes(job, name, value), (job, name, value)


@pytest.mark.parametrize("value", ["", "{{job.start_time.iso_date}}", "${var.anything}"])
def test_what_only_a_run_knows_is_not_judged(project: Project, value: str) -> None:
    assert not [field.explain_refusal(value) for *_, field in parameters(project) if field.explain_refusal(value)]


@pytest.mark.parametrize(
    ("parameter", "value", "cure"),
    [
        ("rollout_rows", "99", "write a whole number from 100 to 100000"),
        ("endpoint_calls_per_minute", "0_x", "write a whole number from 0"),
        ("endpoint_calls_per_minute", "ten", "write a whole number from 0"),
        ("endpoint_rollout", "onn", "did you mean 'on'?"),
        ("catalog", "main-data", r"write a value of the form ^[A-Za-z0-9_]{1,255}$"),
        ("model_name", "dev.late", r"write a value of the form ^[A-Za-z0-9_]{1,255}\."),
    ],
)
def test_a_refusal_says_what_to_write(project: Project, parameter: str, value: str, cure: str) -> None:
    assert project.configs is not None
    refusal = project.configs["rollout"][parameter].explain_refusal(value)
    assert refusal is not None
    assert refusal.startswith(cure)
