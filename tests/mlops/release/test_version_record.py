"""Whatever tags and aliases somebody forges, only a verdict and a person make a champion; whatever is killed, heals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from inmemory import AS_OF, MODEL, Jobs
from pydantic import TypeAdapter, ValidationError

from mlops.config import Reason
from mlops.contract import ApprovalPending, ConfigError, DataError, Forbidden, MlopsError, ModelError, clean_text
from mlops.contract.model_version import Version, VersionFacts, require_fact
from mlops.data import table_schemas
from mlops.release import aliases, approvals
from mlops.release.version_record import (
    MOVES,
    AuditRow,
    ShownTags,
    TrainingRun,
    champion_of,
    has_pressed_button,
    newest_move,
    read_record,
    version_to_restore,
)

TEXTS = st.text(st.characters(), min_size=0, max_size=30) | st.sampled_from(
    [
        " worse ",
        "worse\n",
        "\tworse",
        "a\nb",
        "x\u202ey",
        "é",
        "##vso[x]",
        "::error::",
        "'; DROP TABLE audit; --",
        "\x00",
    ]
)
NAMES = st.sampled_from(
    ["verdict", "approval", "approved_by", "approval_by", "approval_expires", "approval_artifact_digest",
     "verdict_case", "verdict_digest", "judged_against", "artifact_digest", "trained_by", "trained_until",
     "trained_as_of", "promoted_from", "rejected_reason", "champion_by", "validation_run"]
)  # fmt: skip
CLAIMS = st.sampled_from(["accepted", "Approved", "ada", "none", "1", "2", "2999-01-01T00:00:00+00:00", AS_OF]) | TEXTS
PEOPLE = st.sampled_from(["ada", "bob", "trainer"])
KILLS = st.integers(-1, 9)


class Life(RuleBasedStateMachine):
    """One target: a trainer who forges, people who decide, jobs that are killed."""

    versions = Bundle("versions")

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.jobs = Jobs(self.patch)

    def teardown(self):
        event(f"moves of the champion: {min(sum(row.move in MOVES for row in self._rows()), 3)} or more")
        self.patch.undo()

    @initialize(target=versions)
    def first(self):
        return multiple(self._made({}), self._made({}))

    def _made(self, tags):
        number = made(self.jobs, **tags)
        self.jobs.world.versions[number].tags.update(tags)
        return number

    def _attempt(self, act):
        """A refusal is an answer; anything else that is raised is a defect."""
        try:
            return act()
        except MlopsError:
            return None

    @rule(target=versions, tags=st.dictionaries(NAMES, CLAIMS, max_size=8))
    def train(self, tags):
        return self._made(tags)

    @rule(number=versions, tags=st.dictionaries(NAMES, CLAIMS, max_size=8))
    def forge_tags(self, number, tags):
        self.jobs.world.versions[number].tags.update(tags)
        self.jobs.world.claims[f"training{number}"].update(tags)

    @rule(number=versions, alias=st.sampled_from(["champion", "challenger", "previous_champion", "moving"]))
    def forge_alias(self, number, alias):
        self.jobs.world.aliases[alias] = number

    @rule(number=versions, accepts=st.booleans(), kill=KILLS)
    def deploy(self, number, accepts, kill):
        self.jobs.accepts = accepts
        self._attempt(lambda: self.jobs.deploy(number, kill))

    @rule(number=versions, by=PEOPLE | TEXTS, reason=TEXTS, rejects=st.integers(0, 5), kill=KILLS, run=st.integers(10))
    def review(self, number, by, reason, rejects, kill, run):
        self.jobs.starter = clean_text(by)
        given = {"model_version": number, "decision": "approved" if rejects else "rejected", "reason": reason}

        def act():
            context = self.jobs.job("review", run_id=run, **given)
            if not self.jobs.task("review", context, kill):
                self.jobs.task("review", context)

        self._attempt(act)

    @rule(number=versions, kill=KILLS, run=st.integers(10))
    def serve(self, number, kill, run):
        """The honest way: judged, approved by somebody else, deployed."""
        self.deploy(number, accepts=True, kill=-1)
        self.review(number, by="ada", reason="fine", rejects=1, kill=kill, run=run)
        self.deploy(number, accepts=True, kill=kill)

    @rule(reason=TEXTS, kill=KILLS, run=st.integers(10))
    def roll_back(self, reason, kill, run):
        def act():
            context = self.jobs.job("rollback", run_id=run, reason=reason)
            if not self.jobs.task("rollback", context, kill):
                self.jobs.task("rollback", context)
            self._aliases_show_the_record()

        self._attempt(act)

    @rule()
    def heal(self):
        """The next run of any deployment job puts aliases in order."""
        rows = self._rows()
        if newest_move(rows):
            self.jobs.task("validation", self.jobs.deployment(champion_of(rows)))
            self._aliases_show_the_record()

    def _rows(self):
        return [AuditRow.parse(row) for row in self.jobs.world.rows]

    def _aliases_show_the_record(self):
        last = newest_move(self._rows())
        if last is not None:
            assert self.jobs.world.aliases.get("champion") == last.to_version
            assert "moving" not in self.jobs.world.aliases or self.jobs.world.aliases["moving"] != last.to_version

    @invariant()
    def rows_have_no_gaps_and_one_line(self):
        rows = self._rows()
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert all(text == clean_text(text) for row in rows for text in (row.reason, row.by, row.trained_by))

    @invariant()
    def every_deployment_had_a_verdict_and_then_a_person(self):
        rows = self._rows()
        for at, row in enumerate(rows):
            if row.move == "deployment":
                before = rows[:at]
                (*_, verdict) = [each for each in before if (each.move, each.to_version) == ("verdict", row.to_version)]
                assert verdict.verdict == "accepted"
                assert verdict.judged_against == champion_of(before)
                since = [each for each in before if each.sequence > verdict.sequence]
                approval = [each for each in since if (each.move, each.to_version) == ("approval", row.to_version)][-1]
                assert approval.by not in {"", verdict.trained_by}
                digests = [(each.artifact_digest, each.verdict_digest) for each in (verdict, approval, row)]
                assert len(set(digests)) == 1
                assert row.artifact_digest == self.jobs.world.files[row.to_version]
                used = [each for each in since if each.sequence > approval.sequence and each.move == "deployment"]
                assert row.to_version not in {each.to_version for each in used}
                assert not [e for e in before if (e.move, e.to_version) == ("rejection", row.to_version)]

    @invariant()
    def what_serves_is_what_the_record_says(self):
        rows = self._rows()
        try:
            serves = aliases.load_serving(self.jobs.deployment(1))
        except ModelError:
            assert self.jobs.world.aliases.get("champion") != champion_of(rows)
            return
        last = newest_move(rows)
        assert (serves and serves.number) == (last and last.to_version)
        if last is not None:
            assert serves.facts.artifact_digest == self.jobs.world.files[last.to_version]


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


@pytest.fixture
def jobs(monkeypatch):
    return Jobs(monkeypatch)


def made(jobs, **tags):
    number = len(jobs.world.versions) + 1
    honest = {"trained_by": "trainer", "trained_until": AS_OF, "trained_as_of": AS_OF}
    return jobs.world.make({**honest, "artifact_digest": f"files of {number}", **tags})


def served(jobs, number):
    with pytest.raises(ApprovalPending):
        jobs.deploy(number)
    jobs.task(
        "review", jobs.job("review", model_version=number, decision="approved", reason="fine", run_id=number + 10)
    )
    assert jobs.deploy(number) == "deployed"


def test_a_version_with_every_forged_tag_is_judged_and_waits_for_a_person(jobs):
    ends = str(datetime.now(UTC) + timedelta(days=7))
    forged = {
        "verdict": "accepted", "verdict_digest": "d", "verdict_case": "c", "judged_against": "none",
        "approval": "Approved", "approval_by": "release-manager", "approval_expires": ends,
        "approval_artifact_digest": "files of 1", "approval_verdict_digest": "d", "approved_by": "release-manager",
    }  # fmt: skip
    number = made(jobs, **forged)
    jobs.world.versions[number].tags.update(forged)
    with pytest.raises(ModelError, match="has no accepting verdict in the audit table"):
        jobs.task("deployment", jobs.deployment(number))
    jobs.accepts = False
    assert jobs.deploy(number) == "refused"
    jobs.accepts = True
    jobs.world.versions[number].tags.update(forged)
    another = made(jobs, **forged)
    jobs.world.versions[another].tags.update(forged)
    with pytest.raises(ApprovalPending, match=rf"^{MODEL} version 2 waits for approval; have somebody else run: mlops"):
        jobs.deploy(another)
    assert jobs.world.aliases.get("champion") is None


def test_the_button_of_the_platform_counts_only_where_the_target_says_so(jobs):
    number = made(jobs)
    with pytest.raises(ApprovalPending):
        jobs.deploy(number)
    jobs.world.versions[number].tags["approval"] = "Approved"
    with pytest.raises(ApprovalPending):
        jobs.task("approval", jobs.deployment(number))
    jobs.task("approval", jobs.deployment(number, approval_binding="platform"))
    assert jobs.world.rows[-1]["by"] == "the platform's button"
    jobs.task("deployment", jobs.deployment(number))
    assert jobs.world.aliases["champion"] == number


def test_the_champion_is_neither_judged_nor_approved_again(jobs):
    served(jobs, made(jobs))
    before = len(jobs.world.rows)
    jobs.world.aliases.pop("champion")
    assert jobs.deploy(1) == "champion"
    assert len(jobs.world.rows) == before
    assert jobs.world.aliases == {"champion": 1}


def test_an_approval_is_used_up_by_its_deployment(jobs):
    served(jobs, made(jobs))
    served(jobs, made(jobs))
    jobs.task("rollback", jobs.job("rollback", reason="worse", run_id="99"))
    with pytest.raises(ApprovalPending, match="version 2 waits for approval"):
        jobs.deploy(2)


@pytest.mark.parametrize("reason", [" worse ", "worse ", "\nworse", "x" * 499 + " "])
def test_a_blank_at_an_end_of_a_reason_stops_nobody(jobs, reason):
    for _ in range(2):
        served(jobs, made(jobs))
    jobs.task("rollback", jobs.job("rollback", reason=reason, run_id="99"))
    assert jobs.world.aliases["champion"] == 1
    assert jobs.world.rows[-1]["reason"] == reason.strip()
    served(jobs, made(jobs))


def test_a_row_whose_texts_no_tag_takes_is_followed_all_the_same(jobs):
    """Such a row comes from an older release, which did not clean what people wrote."""
    served(jobs, made(jobs))
    served(jobs, made(jobs))
    jobs.world.rows[-1].update(reason=" worse ", by=" run\n" * 400)
    jobs.world.aliases["champion"] = 1
    assert jobs.deploy(2) == "champion"
    assert jobs.world.aliases["champion"] == 2


def test_an_alias_that_was_moved_by_hand_serves_nobody_and_says_what_to_type(jobs):
    served(jobs, made(jobs))
    served(jobs, made(jobs))
    jobs.world.aliases["champion"] = 1
    with pytest.raises(
        ModelError, match=r"points at version 1, and the audit .* says version 2 .* run: mlops deploy 2"
    ):
        aliases.load_serving(jobs.deployment(1))
    jobs.deploy(2)
    assert aliases.load_serving(jobs.deployment(1)).number == 2


def test_an_alias_without_any_row_serves_nobody(jobs):
    made(jobs)
    jobs.world.aliases["champion"] = 1
    with pytest.raises(ModelError, match="the audit table never made champion"):
        aliases.load_serving(jobs.deployment(1))


def test_tags_that_change_after_the_verdict_change_nothing_that_is_served(jobs):
    served(jobs, made(jobs))
    forged = {"trained_as_of": "1999-01-01T00:00:00Z", "trained_by": "x", "artifact_digest": "other"}
    jobs.world.versions[1].tags.update(forged)
    jobs.world.claims["training1"].update(forged)
    facts = aliases.load_serving(jobs.deployment(1)).facts
    assert facts.trained_as_of == datetime(2024, 3, 2, tzinfo=UTC)
    assert (facts.trained_by, facts.artifact_digest) == ("trainer", "files of 1")


@pytest.mark.parametrize(
    ("starter", "why"),
    [
        ("trainer", "trainer trained prod.toy.failing version 1"),
        ("0123abcd-0123-4567-89ab-0123456789ab", "is a service principal, and a person has to approve"),
        ("", "nobody is known"),
    ],
)
def test_who_may_not_approve(jobs, starter, why):
    number = made(jobs)
    with pytest.raises(ApprovalPending):
        jobs.deploy(number)
    jobs.starter = starter
    with pytest.raises((ModelError, ConfigError), match=why):
        jobs.task("review", jobs.job("review", model_version=number, decision="approved", reason="fine"))


@pytest.mark.parametrize("change", ["files", "document", "page"])
def test_an_approver_is_told_that_files_or_report_were_changed(jobs, change):
    number = made(jobs)
    with pytest.raises(ApprovalPending):
        jobs.deploy(number)
    if change == "files":
        jobs.world.files[number] = "other"
    else:
        jobs.world.runs["run0"]["verdict.json" if change == "document" else "verdict.html"] = "other"
    with pytest.raises(ModelError, match=r"(was|were) changed"):
        jobs.task("review", jobs.job("review", model_version=number, decision="approved", reason="fine"))


def test_a_rejected_version_stays_closed_whatever_its_tags_say(jobs):
    number = made(jobs)
    with pytest.raises(ApprovalPending):
        jobs.deploy(number)
    jobs.task("review", jobs.job("review", model_version=number, decision="rejected", reason="wrong feed"))
    jobs.world.versions[number].tags.update(verdict="accepted")
    assert jobs.deploy(number) == "rejected"
    with pytest.raises(ModelError, match="was rejected by ada: wrong feed"):
        jobs.task("deployment", jobs.deployment(number))


NOW = datetime(2024, 3, 2, tzinfo=UTC)


def row(move, sequence, **given):
    known = {"model_name": MODEL, "to_version": 1, "by": "run", "run_id": "1", "at": NOW, "as_of": NOW}
    return AuditRow(move=move, sequence=sequence, **{**known, **given})


JUDGED = {"verdict": "accepted", "artifact_digest": "f", "verdict_digest": "v", "trained_by": "trainer"}
GIVEN = {"by": "ada", "artifact_digest": "f", "verdict_digest": "v", "expires": NOW + timedelta(days=1)}


def test_a_rollback_brings_the_champion_before_back_and_only_once():
    def write(*words):
        return " ".join(words)

    assert version_to_restore(row("deployment", 3, from_version=1, to_version=2), MODEL, write) == 1
    for last in (None, row("deployment", 3, from_version=None, to_version=2)):
        with pytest.raises(ModelError) as nobody:
            version_to_restore(last, MODEL, write)
        assert str(nobody.value) == f"{MODEL} has no previous champion to go back to; see: mlops history"
    with pytest.raises(ModelError) as twice:
        version_to_restore(row("rollback", 4, from_version=2, to_version=1), MODEL, write)
    assert str(twice.value) == (
        f"{MODEL} was rolled back from version 2 to 1 already; a second time would bring version 2 back: deploy the "
        "version that you want instead, as in: mlops deploy N"
    )


@pytest.mark.parametrize(
    ("verdict", "approval", "champion", "error", "why"),
    [
        ({}, None, None, "ApprovalPending", "waits for approval"),
        ({}, {}, None, None, None),
        ({}, {"artifact_digest": "other"}, None, "ApprovalPending", "another artifact digest"),
        ({}, {"verdict_digest": "other"}, None, "ApprovalPending", "another verdict digest"),
        ({}, {"expires": NOW}, None, "ApprovalPending", "ended at 2024-03-02 00:00 UTC"),
        ({}, {"expires": None}, None, "ApprovalPending", "ended at no known time"),
        ({}, {"by": "trainer"}, None, "ApprovalPending", "was approved by trainer, who trained it"),
        ({"trained_by": ""}, {}, None, "ApprovalPending", "does not say who trained it"),
        ({"verdict": "refused"}, {}, None, "ModelError", r"has no accepting verdict \(refused\)"),
        ({}, {}, 7, "Conflict", "was judged against champion none, and champion is 7 now"),
        ({"artifact_digest": ""}, {}, None, "ModelError", "names no files"),
    ],
)
def test_a_decision_has_one_set_of_rules_and_gives_all_reasons(verdict, approval, champion, error, why):
    rows = [row("verdict", 1, **{**JUDGED, **verdict})]
    rows += [row("approval", 2, **{**GIVEN, **approval})] if approval is not None else []
    found = approvals.object_to_deployment(read_record(rows, 1), champion, "required", NOW)
    if error is None:
        assert list(found) == []
        return
    assert found[0].error.__name__ == error
    with pytest.raises(found[0].error, match=why):
        approvals.raise_first(found, "cure")


def test_columns_of_the_table_are_the_fields_of_a_row():
    columns = [column.name for column in table_schemas.TABLES["audit"]]
    assert columns == list(AuditRow.__dataclass_fields__)


@given(
    st.builds(row, st.sampled_from(["verdict", "approval", "rollback"]), st.integers(1), reason=TEXTS.map(clean_text))
)
def test_a_row_is_read_as_it_was_written(each):
    columns = [column.name for column in table_schemas.TABLES["audit"]]
    assert AuditRow.parse(dict(zip(columns, each.values(), strict=True))) == each
    text = {name: None if value is None else str(value) for name, value in zip(columns, each.values(), strict=True)}
    assert AuditRow.parse(text) == each


@given(st.text())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_clean_text_is_one_printable_line_and_stays_as_it_is(text):
    found = clean_text(text)
    assert found.isprintable()
    assert found == found.strip() == clean_text(found)
    assert "  " not in found


@given(
    st.text(
        st.sampled_from(
            "\u3164\u2800\u115f\u1160\uffa0\U0001d159\u200b\u00a0\u3000\ufe0f\u034f\u17b4\u0301 \n\u00ad\U000e0100"
        )
    )
)
def test_a_text_that_shows_nothing_is_blank_and_no_reason(text):
    assert clean_text(text) == ""
    assert clean_text(f"{text}{text}a{text}").strip(text + " ") == "a"
    with pytest.raises(ValidationError, match="at least 1"):
        TypeAdapter(Reason).validate_python(text)


# --- what one run leaves, whenever it is killed ----------------------------------------------------------------------


def state(jobs):
    """All that lasts, but for what differs from run to run."""
    rows = [AuditRow.parse(each) for each in jobs.world.rows]
    own = {"move_id", "at", "expires", "validation_run"}
    kept = [{name: value for name, value in vars(each).items() if name not in own} for each in rows]
    shown = {
        number: {name: text for name, text in version.tags.items() if name != "report"}
        for number, version in jobs.world.versions.items()
    }
    return kept, jobs.world.aliases, shown


def ready(jobs):
    """Version 1 served, version 2 serves, version 3 is approved and version 4 waits."""
    for _ in range(2):
        served(jobs, made(jobs))
    for approved in (True, False):
        number = made(jobs)
        with pytest.raises(ApprovalPending):
            jobs.deploy(number)
        if approved:
            given = {"model_version": number, "decision": "approved", "reason": "fine", "run_id": "50"}
            jobs.task("review", jobs.job("review", **given))


RUNS = {
    "validation": lambda jobs: jobs.deployment(made(jobs) if len(jobs.world.versions) < 5 else 5),
    "deployment": lambda jobs: jobs.deployment(3),
    "rollback": lambda jobs: jobs.job("rollback", reason=" worse\n", run_id="60"),
    "review": lambda jobs: jobs.job("review", model_version=4, decision="approved", reason="fine", run_id="70"),
    "review, rejecting": lambda jobs: jobs.job("review", model_version=4, decision="rejected", reason="x", run_id="70"),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_was_killed_before_any_write_ends_the_same_when_it_is_repaired(run, monkeypatch):
    def end(kill):
        with monkeypatch.context() as patch:
            jobs = Jobs(patch)
            ready(jobs)
            context = RUNS[run](jobs)
            lived = jobs.task(run.partition(",")[0], context, kill)
            if not lived:
                jobs.task(run.partition(",")[0], context)
            return lived, state(jobs)

    _, whole = end(-1)
    for kill in range(100):
        lived, found = end(kill)
        assert found == whole, f"killed before write {kill + 1}"
        if lived:
            break
    assert kill >= 2


def test_the_same_verdict_once_more_needs_a_new_approval():
    rows = [row("verdict", 1, **JUDGED), row("approval", 2, **GIVEN), row("verdict", 3, **JUDGED)]
    assert read_record(rows[:2], 1).approval == rows[1]
    assert read_record(rows, 1).approval is None
    assert str(read_record((), 1)) == " version 1", "a model without rows has no name yet"


@pytest.mark.parametrize("ends", [{"move": "deployment"}, {"move": "rollback", "to_version": 2, "from_version": 1}])
def test_a_move_ends_an_approval(ends):
    rows = [row("verdict", 1, **JUDGED), row("approval", 2, **GIVEN), row(**{"sequence": 3, **ends})]
    assert read_record(rows, 1).approval is None


def test_a_fact_that_the_row_lacks_is_not_taken_from_the_training_run(jobs):
    made(jobs, trained_as_of="2999-01-01T00:00:00Z", trained_by="trainer")
    version = jobs.deployment(1).registry.get_version(MODEL, 1)
    assert version.facts == VersionFacts()
    known = aliases.as_recorded(version, row("deployment", 1, artifact_digest="f"))
    assert known.facts == VersionFacts(artifact_digest="f")
    with pytest.raises(ModelError, match="lacks a fact about its files or its training"):
        require_fact(known.facts.trained_until, known)


@pytest.mark.parametrize("error", [ModelError, Forbidden])
def test_a_tag_that_cannot_be_set_stops_nobody(jobs, error, monkeypatch):
    made(jobs)
    job = jobs.deployment(1)
    version = job.registry.get_version(MODEL, 1)
    rows = [row("verdict", 1, **JUDGED), row("approval", 2, **{**GIVEN, "by": " ada\n" + "x" * 2000})]
    aliases.show_record(job, version, rows)
    assert jobs.world.versions[1].tags["approved_by"] == ("ada " + "x" * 2000)[:1000]

    def refuse(*_):
        raise error("no")

    monkeypatch.setattr(type(job.registry), "set_tags", refuse)
    aliases.show_record(job, version, rows[:1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"move": "coup", "sequence": 3}, "row 3 of the audit table has the unknown move 'coup'"),
        ({"move": "verdict", "sequence": 3, "to_version": "two"}, "row 3 of the audit table cannot be read"),
        ({"move": "verdict", "sequence": 3, "to_version": 1}, "row 3 of the audit table cannot be read"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(given, said):
    with pytest.raises(DataError, match=said):
        AuditRow.parse({"model_name": MODEL, "run_id": "1", **given})


@pytest.mark.parametrize("text", ["soon", "0001-01-01T00:00:00+14:00", "2024-13-01", ""])
def test_a_claim_that_is_no_moment_is_none(text):
    assert VersionFacts.parse({"trained_until": text, "trained_by": " ada\n"}) == VersionFacts(trained_by="ada")
    assert str(read_record([row("verdict", 1, **JUDGED)], 1)) == f"{MODEL} version 1"


def test_who_did_not_say_who_trained_and_what_was_not_judged_is_not_approved():
    judged = read_record([row("verdict", 1, **{**JUDGED, "trained_by": ""})], 1)
    assert judged.is_accepted
    assert list(approvals.object_to_deployment(judged, None, "automatic", NOW)) == []
    (found,) = approvals.object_to_approver(judged, "ada", person=True)
    assert "does not say who trained it" in found.reason
    empty = read_record([], 1)
    assert list(approvals.object_to_files(empty, ("f", "v"))) == []
    assert list(approvals.object_to_approval(empty, NOW)) == []


# --- what tags show of the record ------------------------------------------------------------------------------------

SHOWN = tuple(ShownTags.__dataclass_fields__)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["promotion", "verdict", "verdict", "approval", "rejection", "deployment", "rollback"]),
        st.integers(1, 2), st.none() | st.integers(1, 2), st.sampled_from(["accepted", "refused"]), PEOPLE,
    ),
    max_size=12,
)  # fmt: skip


def record_of(moves):
    rows = [
        row(move, n, to_version=to, from_version=before, by=by, approved_by=by, validation_run=f"run{n}",
            source="dev.toy.failing/1@f", trained_until=NOW, verdict=answer if move == "verdict" else "")
        for n, (move, to, before, answer, by) in enumerate(moves, 1)
    ]  # fmt: skip
    return rows, read_record(rows, 1)


@given(ROWS, st.dictionaries(st.sampled_from([*SHOWN, "approval", "owner"]), TEXTS, max_size=8))
def test_tags_show_the_record_whatever_they_were_and_no_other_tag_is_touched(moves, tags):
    _, record = record_of(moves)
    version = Version(MODEL, 1, "", NOW, dict(tags), ())
    changes = record.display_tags.changes(version)
    after = {name: text for name, text in (tags | changes).items() if text is not None}
    assert ShownTags.of(replace(version, tags=after)) == record.display_tags
    assert {name: text for name, text in after.items() if name not in SHOWN} == {
        name: text for name, text in tags.items() if name not in SHOWN
    }
    assert record.display_tags.changes(replace(version, tags=after)) == {}
    assert len(record.display_tags.to_tags()) <= 6


@given(ROWS)
def test_what_tags_show_is_what_the_rows_say(moves):
    rows, record = record_of(moves)
    about = [each for each in rows if each.to_version == 1]
    shown = record.display_tags
    assert (shown.verdict == "accepted") == record.is_accepted
    assert (shown.verdict == "rejected") == any(each.move == "rejection" for each in about)
    assert shown.record == (str(about[-1].sequence) if about else "")
    assert bool(shown.promoted_from) == any(each.move == "promotion" for each in about)
    judged = [each.sequence for each in about if each.move == "verdict"]
    assert shown.report == (f"runs:/run{judged[-1]}/verdict.html" if judged else "")
    if shown.approved_by:
        since = [each for each in about if each.sequence > max(judged, default=0)]
        people = {each.by for each in since if each.move in {"approval", *MOVES}}
        assert shown.approved_by in people
        assert record.rejection is None


@given(
    st.builds(
        TrainingRun,
        artifact_digest=TEXTS.map(clean_text), trained_by=TEXTS.map(clean_text), seed=TEXTS.map(clean_text),
        trained_until=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)  # fmt: skip
def test_the_claims_of_a_training_are_read_as_they_were_written(claims):
    assert TrainingRun.parse(claims.to_tags()) == claims
    assert TrainingRun.parse({**claims.to_tags(), "mlflow.user": "x"}) == claims


def test_a_version_shows_six_tags_at_most_on_its_whole_way(jobs):
    for _ in range(2):
        served(jobs, made(jobs))
    jobs.task("rollback", jobs.job("rollback", reason="worse", run_id="99"))
    rows = [AuditRow.parse(each) for each in jobs.world.rows]
    for number, version in jobs.world.versions.items():
        assert set(version.tags) <= set(SHOWN)
        assert version.tags == read_record(rows, number).display_tags.to_tags()


# --- what a change of the rules would change --------------------------------------------------------------------------


def test_a_rollback_of_other_versions_ends_no_approval():
    rows = [row("verdict", 1, **JUDGED), row("approval", 2, **GIVEN)]
    other = row("rollback", 3, from_version=3, to_version=2)
    away = row("deployment", 3, from_version=1, to_version=2)
    assert read_record([*rows, other], 1).approval == rows[1]
    assert read_record([*rows, away], 1).approval == rows[1]


def test_a_deployment_keeps_the_name_of_who_approved_until_the_next_verdict():
    rows = [row("verdict", 1, **JUDGED), row("approval", 2, **GIVEN), row("deployment", 3, approved_by="ada")]
    assert [read_record(rows[:end], 1).display_tags.approved_by for end in (1, 2, 3)] == ["", "ada", "ada"]
    again = [*rows, row("verdict", 4, **JUDGED)]
    assert read_record(again, 1).display_tags.approved_by == ""
    assert read_record([*rows, row("rejection", 4, by="bob")], 1).display_tags.approved_by == ""
    assert read_record([row("approval", 1, **GIVEN), row("rejection", 2, by="bob")], 1).display_tags.approved_by == ""
    assert read_record([row("deployment", 1, approved_by="ada")], 1).display_tags.approved_by == "ada"


def test_an_empty_text_is_null_in_the_table():
    values = dict(zip(AuditRow.__dataclass_fields__, row("verdict", 1, reason="fine").values(), strict=True))
    assert values["reason"] == "fine"
    assert values["approved_by"] is None
    assert "" not in values.values()


def test_all_reasons_are_raised_with_the_cure():
    judged = read_record([row("verdict", 1, **{**JUDGED, "judged_against": 7, "artifact_digest": ""})], 1)
    found = approvals.object_to_deployment(judged, None, "required", NOW)
    with pytest.raises(found[0].error) as refused:
        approvals.raise_first(found, "mend it")
    assert str(refused.value) == (
        f"{MODEL} version 1 was judged against champion 7, and champion is none now; the verdict on {MODEL} version 1 "
        f"names no files; {MODEL} version 1 waits for approval; mend it"
    )
    approvals.raise_first([], "nothing to mend")


def test_the_button_counts_only_if_it_was_pressed():
    version = Version(MODEL, 1, "", NOW, {}, ())
    assert not has_pressed_button(version)
    assert has_pressed_button(replace(version, tags={"approval": "APPROVED"}))
    assert not has_pressed_button(replace(version, tags={"approval": "Declined"}))


def test_a_tag_that_is_cut_ends_without_a_blank():
    assert ShownTags(approved_by="x" * 999 + " y").to_tags() == {"approved_by": "x" * 999}


def test_who_did_not_say_who_trained_is_an_error_of_the_model():
    judged = read_record([row("verdict", 1, **{**JUDGED, "trained_by": ""})], 1)
    assert [objection.error for objection in approvals.object_to_approver(judged, "ada", person=True)] == [ModelError]
    assert list(approvals.object_to_approver(read_record([], 1), "XXXX", person=True)) == []
