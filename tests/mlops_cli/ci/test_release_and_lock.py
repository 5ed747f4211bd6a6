"""What stops a pipeline: other files than were built, an old tag, a vulnerability, a credential, a refused version."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError
from mlops.release.version_record import ShownTags
from mlops_cli.ci.deploy_targets import parse_deploy_targets
from mlops_cli.ci.lock_audit import (
    AcceptedVulnerability,
    Vulnerability,
    licence_errors,
    open_vulnerabilities,
    parse_exceptions,
    parse_vulnerabilities,
)
from mlops_cli.ci.promotion_status import Copy, PromotionStep, promotion_status
from mlops_cli.ci.release_files import check_tag, parse_release, release_errors, release_notes
from mlops_cli.ci.secret_scan import SECRETS, find_secrets

COMMIT, OTHER = "a" * 40, "b" * 40
DIGEST, LOCK = "1" * 64, "2" * 64
WHEEL = "mlops_template-0.1.0-py3-none-any.whl"
FILES = {WHEEL: DIGEST, "sbom.cdx.json": "3" * 64}
RECORD = {"commit": COMMIT, "version": "0.1.0", "lock": LOCK, "files": FILES}


def attestation(digest: str = DIGEST, commit: str = COMMIT, bill: str = FILES["sbom.cdx.json"]) -> dict[str, Any]:
    certificate = {"sourceRepositoryDigest": commit}
    statement = {"subject": [{"name": name, "digest": {"sha256": d}} for name, d in ((WHEEL, digest), ("bill", bill))]}
    return {"verificationResult": {"signature": {"certificate": certificate}, "statement": statement}}


def judge(record: dict[str, Any] = RECORD, **other: Any) -> tuple[str, ...]:
    facts = {"files": FILES, "commit": COMMIT, "lock": LOCK, "attested": [attestation()], **other}
    return release_errors(parse_release(json.dumps(record)), **facts)


def test_what_was_built_may_be_deployed() -> None:
    assert judge() == ()
    assert judge(attested=None) == ()
    assert judge(attested=[attestation(commit=OTHER), attestation()]) == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"files": {**FILES, WHEEL: "9" * 64}},
            f"{WHEEL} is not what was built: sha256 999999999999, built 111111111111",
        ),
        ({"files": {WHEEL: DIGEST}}, "sbom.cdx.json is missing"),
        ({"files": {**FILES, "more.whl": DIGEST}}, "more.whl was not built here"),
        ({"commit": OTHER, "attested": None}, "it was built from commit aaaaaaaaaaaa, not bbbbbbbbbbbb"),
        ({"lock": "4" * 64}, "uv.lock is not the one that it was built with"),
        ({"attested": []}, "no attestation says that all of these files were built from commit aaaaaaaaaaaa"),
        *(
            ({"attested": attested}, "no attestation says that all of these files were built from commit aaaaaaaaaaaa")
            for attested in (
                [attestation(digest="5" * 64)],
                [attestation(bill="5" * 64)],
                [attestation(commit=OTHER)],
                [attestation(commit=OTHER), attestation(digest="5" * 64)],
                [{}],
                [{"verificationResult": {"signature": {}, "statement": {"subject": [{}]}}}],
            )
        ),
    ],
)
def test_anything_else_may_not(other: dict[str, Any], said: str) -> None:
    assert judge(**other) == (said,)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    files = {"z.txt": DIGEST, "a.txt": DIGEST, WHEEL: "9" * 64}
    assert judge(files=files, commit=OTHER, lock="4" * 64, attested=[]) == (
        "a.txt was not built here",
        "z.txt was not built here",
        f"{WHEEL} is not what was built: sha256 999999999999, built 111111111111",
        "sbom.cdx.json is missing",
        "it was built from commit aaaaaaaaaaaa, not bbbbbbbbbbbb",
        "uv.lock is not the one that it was built with",
        "no attestation says that all of these files were built from commit bbbbbbbbbbbb",
    )


def test_a_release_has_one_wheel() -> None:
    none = {"sbom.cdx.json": "3" * 64}
    assert judge({**RECORD, "files": none}, files=none) == ("there are 0 wheels, not one",)
    two = {WHEEL: DIGEST, "other.whl": DIGEST}
    assert judge({**RECORD, "files": two}, files=two) == ("there are 2 wheels, not one",)


def test_the_commit_that_was_attested_may_be_any_of_the_statements_and_the_wheel_any_of_its_subjects() -> None:
    several = attestation()
    several["verificationResult"]["statement"]["subject"].insert(0, {"digest": {"sha256": "7" * 64}})
    assert judge(attested=[several, attestation(commit=OTHER)]) == ()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", json.dumps({**RECORD, "commit": "main"}), json.dumps({**RECORD, "lock": "x"}),
     json.dumps({**RECORD, "files": {"../evil.whl": DIGEST}}), json.dumps({**RECORD, "files": {WHEEL: "short"}}),
     json.dumps({**RECORD, "version": ""}), json.dumps({**RECORD, "files": None}), json.dumps({**RECORD, "more": 1}),
     json.dumps({**RECORD, "commit": 3})],
)  # fmt: skip
def test_a_record_of_another_form_is_none(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_release(text)
    assert str(told.value) == "this is no release.json: build again with `mlops ci build`"


def test_a_tag_is_the_projects_version() -> None:
    assert check_tag("v0.1.0", "0.1.0") == "v0.1.0"


@pytest.mark.parametrize("text", ["0.1.0", "v0.1", "v0.1.0\n", "v0.1.0;id", "--help", "v0.1.0 ", "v1.0.0"])
def test_any_other_tag_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        check_tag(text, "0.1.0")
    assert str(told.value) == (
        "tag v1.0.0 is not version 0.1.0 of pyproject.toml: set the version, then tag"
        if text == "v1.0.0"
        else f"{text!r} is no release tag: write it as v1.2.3"
    )


def test_the_notes_of_a_release_are_its_section() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [0.2.0] - 2026-11-24\n\n- this\n\n## [0.1.0]\n\n- that\n"
    )
    assert release_notes(changelog, "0.2.0") == "- this"
    assert release_notes(changelog, "0.1.0") == "- that"
    for missing in ("0.3.0", "2.0"):
        with pytest.raises(ConfigError) as told:
            release_notes(changelog, missing)
        assert str(told.value) == f"CHANGELOG.md says nothing about {missing}: add a section ## [{missing}]"
    with pytest.raises(ConfigError):
        release_notes("## [1.0.0]\n\n## [0.9.0]\n- x\n", "1.0.0")


# --- the way of a version --------------------------------------------------------------------------------------------

SOURCE = {"verdict": "accepted"}
PLACE = ("--target", "prod")
COPY = {"promoted_from": "staging.m/3@d1"}


def steps(
    source: dict[str, str], *copies: dict[str, str], champion: int | None = None, files: str = "d1"
) -> tuple[PromotionStep, ...]:
    made = [Copy(5 + n, ShownTags(**shown), files) for n, shown in enumerate(copies)]
    return promotion_status(ShownTags(**source), made, digest="d1", champion=champion, target_options=PLACE)


def states(source: dict[str, str] = SOURCE, *copies: dict[str, str], champion: int | None = None) -> dict[str, str]:
    return {s.name: s.state for s in steps(source, *copies, champion=champion)}


@pytest.mark.parametrize(
    ("copies", "champion", "wanted"),
    [
        ((), None, "done open open open open"),
        ((COPY,), None, "done done open open open"),
        (({**COPY, "verdict": "refused"},), 4, "done done refused open open"),
        (({**COPY, "verdict": "rejected"},), 4, "done done refused open open"),
        (({**COPY, "verdict": "accepted"},), 4, "done done done waiting open"),
        (({**COPY, "verdict": "accepted", "approved_by": "ada"},), 4, "done done done done open"),
        (
            ({**COPY, "verdict": "accepted", "approved_by": "ada"},),
            5,
            "done done done done done",
        ),
        (({**COPY, "verdict": "accepted"},), 5, "done done done done done"),
    ],
)
def test_the_journal_tells_where_a_version_stands(
    copies: tuple[dict[str, str], ...], champion: int | None, wanted: str
) -> None:
    names = ("source", "copy", "verdict", "approval", "champion")
    assert states(SOURCE, *copies, champion=champion) == dict(zip(names, wanted.split(), strict=True))


def test_a_source_that_was_not_accepted_is_refused() -> None:
    assert states({})["source"] == "refused"


def test_two_copies_and_a_changed_copy_are_refused() -> None:
    assert states(SOURCE, COPY, COPY)["copies"] == "refused"
    assert states(SOURCE, {"promoted_from": "staging.m/3@d2"})["digest"] == "refused"
    assert {s.name: s.state for s in steps(SOURCE, COPY, files="d2")}["digest"] == "refused"


def test_the_journal_says_who_approved_and_what_to_do() -> None:
    def said(*copies: dict[str, str], source: dict[str, str] = SOURCE, champion: int | None = None) -> list[str]:
        return [s.what for s in steps(source, *copies, champion=champion)]

    accepted = {**COPY, "verdict": "accepted"}
    judged = ["verdict there: accepted", "version 5", "accepted"]
    waits = "a person decides: mlops approve 5 --target prod"
    assert said() == [
        "verdict there: accepted",
        "not made yet",
        "not judged here yet",
        waits.replace("5", "N"),
        "none yet",
    ]
    assert said(source={})[0] == "verdict there: none"
    assert said(accepted, champion=4) == [*judged, waits, "version 4"]
    assert said({**accepted, "approved_by": "ada"}) == [*judged, "by ada", "none yet"]
    assert said(accepted, champion=5) == [*judged, "automatic in this target", "version 5"]
    assert said(COPY, {**COPY, "verdict": "refused"})[1:3] == ["version 5", "2 copies of one version: [5, 6]"]
    assert said({"promoted_from": "staging.m/3@d2", "verdict": "refused"})[1:4] == [
        "version 5",
        "the copy's files are not the source's",
        "refused",
    ]


# --- vulnerabilities -------------------------------------------------------------------------------------------------

AUDIT = json.dumps({"schema": {"version": "preview"}, "vulnerabilities": [
    {"dependency": {"name": "click", "version": "8.5.1"}, "display_id": "PYSEC-1", "fix_versions": ["9", "8.5.2"]},
    {"dependency": {"name": "aiohttp", "version": "3"}, "display_id": "PYSEC-2", "fix_versions": []},
]})  # fmt: skip
DAY = date(2026, 11, 24)


def policy(*rows: tuple[str, str, str]) -> Any:
    return parse_exceptions("".join(f'[accepted.{i}]\nreason = "{r}"\nuntil = {u}\n' for i, r, u in rows))


def test_a_vulnerability_stops_until_somebody_accepts_it() -> None:
    assert open_vulnerabilities(parse_vulnerabilities(AUDIT), (), DAY) == (
        "click 8.5.1: PYSEC-1; lock 9, 8.5.2",
        "aiohttp 3: PYSEC-2; there is no fix yet: replace it, or accept it with a reason",
    )
    both = policy(("PYSEC-1", "server only", "2026-12-31"), ("PYSEC-2", "server only", "2026-11-24"))
    assert open_vulnerabilities(parse_vulnerabilities(AUDIT), both, DAY) == ()


def test_an_exception_ends_is_short_and_is_about_something() -> None:
    click, aiohttp = parse_vulnerabilities(AUDIT)
    assert open_vulnerabilities(
        [click, aiohttp], policy(("PYSEC-1", "x", "2026-11-23"), ("PYSEC-2", "x", "2026-11-24")), DAY
    ) == ("click 8.5.1: PYSEC-1 was accepted until 2026-11-23; lock 9, 8.5.2",)
    assert open_vulnerabilities(
        [click], policy(("PYSEC-1", "x", "2027-02-23"), ("PYSEC-9", "x", "2026-12-01")), DAY
    ) == (
        "exception PYSEC-1 lasts until 2027-02-23: at most 90 days",
        "exception PYSEC-9 has no vulnerability any more: remove it",
    )
    assert open_vulnerabilities([click], policy(("PYSEC-1", "x", "2027-02-22")), DAY) == ()


@pytest.mark.parametrize(
    "text",
    ["[accepted.A]\nreason = ''\nuntil = 2026-12-01", "[accepted.A]\nreason = 'x'\nuntil = '2026-12-01'",
     "[accepted.A]\nreason = 'x'\nuntil = 2026-12-01T00:00:00Z", "[accepted.A]\nuntil = 2026-12-01", "accepted = 3",
     "[accepted.A]\nreason = 'x'", "no toml", "[accepted]\nA = 3"],
)  # fmt: skip
def test_an_exception_without_reason_or_day_is_none(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_exceptions(text)
    assert str(told.value) in (
        'an exception is written as [accepted.ID] with reason = "…" and until = 2026-01-31',
        "exception A needs a reason and a day: until = 2026-01-31, without quotes",
    )


def test_exceptions_are_read_and_there_may_be_none() -> None:
    assert policy(("A", " server only ", "2026-12-01")) == (
        AcceptedVulnerability("A", "server only", date(2026, 12, 1)),
    )
    assert parse_exceptions("") == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"vulnerabilities": [{}]}', "error: no network"])
def test_an_audit_that_did_not_happen_is_not_a_clean_one(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_vulnerabilities(text)
    assert str(told.value) == "this is no audit: give what `uv audit --output-format json` printed"


def test_an_audit_may_say_nothing_of_fixes() -> None:
    row = {"dependency": {"name": "click", "version": "8"}, "display_id": "A"}
    assert parse_vulnerabilities(json.dumps({"vulnerabilities": [row]})) == (Vulnerability("A", "click 8", ""),)


# --- secrets ---------------------------------------------------------------------------------------------------------

# Put together here, so that this file holds none.
CANARIES = {
    "Databricks token or secret": "dapi" + "0123456789abcdef" * 2,
    "GitHub token": "ghp_" + "a1B2" * 9,
    "Entra client secret": "abc" + "8Q~" + "x" * 34,
    "Azure storage key": "AccountKey=" + "A" * 86 + "==",
    "AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "Google API key": "AIza" + "a" * 35,
    "PyPI token": "pypi-AgE" + "a" * 60,
    "Slack token": "xoxb-" + "123456789012",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "signed token": "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20,
    "password in an address": "postgres://ada" + ":correcthorse@db.example.com/x",
}


def test_there_is_a_canary_of_every_kind() -> None:
    assert CANARIES.keys() == SECRETS.keys()


@pytest.mark.parametrize("kind", CANARIES)
def test_a_canary_is_found_with_its_line_and_never_shown(kind: str) -> None:
    found = find_secrets(f"first\ntoken = '{CANARIES[kind]}' # here\n")
    assert found == ((2, kind),)
    assert find_secrets(f"{CANARIES[kind]}\n\n{CANARIES[kind]}") == ((1, kind), (3, kind))
    assert CANARIES[kind] not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["dapi", "see dapi1234 in the docs", "--hash=sha256:" + "a" * 64, "https://dev.azure.com/octo/flights",
     "eyJ", "a@b.example",
     "https://${USER}:${PASSWORD}@host", "git@github.com:octo/flights.git", "@" + "a" * 40 + " # v1.0.0"],
)  # fmt: skip
def test_what_only_looks_a_little_like_one_is_none(text: str) -> None:
    assert find_secrets(text) == ()


# --- licences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["MIT", "Apache-2.0 AND MIT", "BSD License", "Mozilla Public License 2.0 (MPL 2.0)"])
def test_a_permissive_licence_is_none_to_look_at(text: str) -> None:
    assert licence_errors({"a": text}) == ()


@pytest.mark.parametrize(
    "text", ["", "GPL-3.0-only", "AGPL", "MIT AND GPL-2.0", "GNU General Public License", "Ours\nMore"]
)
def test_any_other_licence_is_one_to_look_at(text: str) -> None:
    first = text.partition("\n")[0] or "declares no licence"
    assert licence_errors({"b": "MIT", "a": text}) == (f"a: {first}",)


def test_licences_are_told_by_package_and_a_text_by_its_first_line() -> None:
    given = {"b": "Ours " * 50, "a": "Commercial", "c": "BSD License\nNot the GPL"}
    assert licence_errors(given) == ("a: Commercial", f"b: {('Ours ' * 50)[:80]}")


# --- targets ---------------------------------------------------------------------------------------------------------

ORDER = ("staging", "prod")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("", ()),
        (" ", ()),
        ("staging", ("staging",)),
        ("staging, prod", ORDER),
        ("prod staging", ORDER),
        ("prod,\n staging, staging", ORDER),
    ],
)
def test_targets_are_switched_on_in_their_order(text: str, targets: tuple[str, ...]) -> None:
    assert parse_deploy_targets(text, ORDER) == targets


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prd", "DEPLOY_TARGETS names 'prd': write one or more of staging, prod"),
        ("staging prod;", "DEPLOY_TARGETS names 'prod;'"),
        ("Staging", "DEPLOY_TARGETS names 'Staging'"),
        ("dev", "DEPLOY_TARGETS names 'dev'"),
        ("prod", "DEPLOY_TARGETS names prod without staging, which proves a release first: add it"),
    ],
)
def test_a_switch_that_means_nothing_or_skips_staging_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_deploy_targets(text, ORDER)
    assert str(caught.value).startswith(said)


@given(st.lists(st.sampled_from([*ORDER, "prd", "PROD", "", "dev"])), st.sampled_from([" ", ",", ", ", "\n"]))
def test_what_is_switched_on_was_named_and_leaves_out_nothing_that_was(names: list[str], between: str) -> None:
    wanted = set(names) - {""}
    try:
        targets = parse_deploy_targets(between.join(names), ORDER)
    except ConfigError:
        assert wanted - set(ORDER) or wanted == {"prod"}
    else:
        assert set(targets) == wanted
        assert list(targets) == [name for name in ORDER if name in wanted]
