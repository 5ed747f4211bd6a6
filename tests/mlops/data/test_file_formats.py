"""Whatever a source's files are written in, the same values give the same rows and break the same rules."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.contract import Column, ConfigError, DataError, FileFormat, Source
from mlops.data import file_formats
from mlops.data.file_formats import File
from mlops.data.readers import header_error, read_files

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOURCE = Source(
    name="orders",
    comment="",
    columns=(
        Column(name="id", type="long", comment=""),
        Column(name="at", type="timestamp", comment=""),
        Column(name="size", type="double", comment="", required=False),
        Column(name="kind", type="string", comment="", required=False),
    ),
    key=("id",),
    known_at="at",
)
MOMENTS = st.integers(10**9, 18 * 10**8).map(lambda seconds: datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(-(10**17), 10**17),
            "at": MOMENTS,
            "size": st.none() | st.floats(-1e6, 1e6),
            "kind": st.none() | st.text(st.sampled_from("abcé;,\"' "), max_size=5),
        }
    ),
    min_size=1,
    max_size=8,
)


def as_csv(rows, form):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=form.delimiter, lineterminator="\n")
    writer.writerow(["id", "at", "size", "kind"])
    for row in rows:
        size = "" if row["size"] is None else repr(row["size"]).replace(".", form.decimal)
        writer.writerow([row["id"], row["at"].strftime(form.timestamp), size, row["kind"]])
    return out.getvalue().encode(form.encoding)


def as_json(rows, form):
    named = [row | {"at": row["at"].strftime(form.timestamp)} for row in rows]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in named).encode(form.encoding)


def as_parquet(rows, _):
    types = {"id": pa.int64(), "at": pa.timestamp("us"), "size": pa.float64(), "kind": pa.string()}
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(types)), out)
    return out.getvalue()


WRITERS = {"csv": as_csv, "jsonl": as_json, "parquet": as_parquet}
FORMS = {
    "csv": FileFormat(),
    "csv.gz": FileFormat(),
    "german.csv": FileFormat(delimiter=";", decimal=",", encoding="cp1252", timestamp="%d.%m.%Y %H:%M:%S"),
    "jsonl": FileFormat(kind="jsonl"),
    "jsonl.gz": FileFormat(kind="jsonl"),
    "utf-16.jsonl": FileFormat(kind="jsonl", encoding="utf-16"),
    "parquet": FileFormat(kind="parquet"),
}


def written(ending, rows):
    form = FORMS[ending]
    content = WRITERS[form.kind](rows, form)
    return gzip.compress(content) if ending.endswith(".gz") else content


def read(ending, landed):
    form = FORMS[ending]
    source = replace(SOURCE, files=form)
    content = file_formats.expand_content(f"a.{ending}", landed, form)
    file = File(f"a.{ending}", "0", len(content), NOW, content, form)
    why = header_error(file, source)
    return why, None if why else read_files(source, [file])


@given(ROWS)
def test_the_same_values_give_the_same_rows_in_every_format(rows):
    tables = {}
    for ending in FORMS:
        why, made = read(ending, written(ending, rows))
        assert why == "", ending
        assert made.broken == {}, ending
        assert len(made.raw) == len(rows)
        tables[ending] = made.table.to_pylist()
    for ending, table in tables.items():
        assert table == tables["csv"], ending
    assert [row["id"] for row in tables["csv"]] == [row["id"] for row in rows]
    assert [row["size"] for row in tables["csv"]] == [row["size"] for row in rows]
    assert [row["at"] for row in tables["csv"]] == [row["at"].replace(tzinfo=UTC) for row in rows]


GOOD = '{"id": 1, "at": "2024-01-01T00:00:00Z", "size": 1.5, "kind": "x"}'


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"id": 1, "at": ', "row:json"),
        ("[1, 2]", "row:json"),
        ("7", "row:json"),
        ('{"id": {"a": 1}, "at": "2024-01-01T00:00:00Z"}', "row:json"),
        ('{"id": [1], "at": "2024-01-01T00:00:00Z"}', "row:json"),
        ('{"id": 1, "id": 2, "at": "2024-01-01T00:00:00Z"}', "row:json"),
        ('{"id": 1, "at": "2024-01-01T00:00:00Z", "kind": "a\\u001b[2J"}', "row:json"),
        ('{"id": 1, "at": "2024-01-01T00:00:00Z", "kind": "\\ud800"}', "row:json"),
        ('{"id": 1, "at": "2024-01-01T00:00:00Z", "kind": "a\\udc00"}', "row:json"),
        ("[" * 100_000, "row:json"),
        ('{"id": 1.5, "at": "2024-01-01T00:00:00Z"}', "id:long"),
        ('{"at": "2024-01-01T00:00:00Z"}', "id:required"),
        ('{"id": null, "at": "2024-01-01T00:00:00Z"}', "id:required"),
        ('{"id": 1, "at": "2024-02-30T00:00:00Z"}', "at:timestamp"),
        ('{"id": 1, "at": "2024-01-01T00:00:00Z", "size": NaN}', "size:double"),
        ('{"id": 1, "at": "2024-01-01T00:00:00Z", "size": 1e400}', "size:double"),
    ],
)
def test_a_bad_line_of_json_breaks_its_rule_and_spoils_no_other(line, rule):
    why, made = read("jsonl", f"{GOOD}\n{line}\n\n{GOOD}".encode())
    assert why == ""
    assert made.broken == {1: [rule]}
    assert made.line == [1, 2, 4]
    assert made.raw[0] == made.raw[2] == GOOD


def test_a_column_that_no_line_has_is_named_with_its_likely_new_name():
    why, _ = read("jsonl", GOOD.replace("size", "sizes").encode())
    assert "lacks size (renamed to sizes?)" in why


def parquet(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


# Arrow writes a time of day before 1970 into INT96 as a negative number, which the format does not have.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANY_DAY = st.integers(-719_000, 2_932_000).map(lambda days: EPOCH + timedelta(days=days))
LATER = st.integers(0, 2**57).map(lambda micros: EPOCH + timedelta(microseconds=micros))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.none() | ANY_DAY | LATER, min_size=1, max_size=4),
    st.sampled_from([{}, {"use_deprecated_int96_timestamps": True}, {"coerce_timestamps": "us"}]),
    st.sampled_from([None, "UTC", "America/New_York"]),
)
def test_parquet_has_the_moments_that_were_written_of_any_year_and_in_any_physical_type(moments, written_as, zone):
    out = io.BytesIO()
    at = pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    pq.write_table(pa.table({"at": at}), out, **written_as)
    file = File("a.parquet", "0", 0, NOW, out.getvalue(), FORMS["parquet"])
    texts = [values[0] for _, _, values, _ in file.rows()]
    read_back = [datetime.fromisoformat(re.sub(r"(\.\d{6})000Z", r"\1Z", text)) if text else None for text in texts]
    assert read_back == moments


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_moments_are_exact_to_the_microsecond_and_refused_below_it(zone):
    moments = [datetime(2024, 1, 1, 0, 0, 0, 123456, UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    micros = [int(moment.timestamp()) * 10**6 + moment.microsecond for moment in moments]
    others = {"id": [1, 2], "size": [1.0, None], "kind": ["a", None]}

    def at(values, unit):
        return read("parquet", parquet(at=pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone)), **others))[1]

    assert at(micros, "us").table["at"].to_pylist() == moments
    assert at([value * 1000 for value in micros], "ns").table["at"].to_pylist() == moments
    assert at([value * 1000 + 1 for value in micros], "ns").broken == {0: ["at:timestamp"], 1: ["at:timestamp"]}


def test_truth_values_are_numbers_where_a_number_is_wanted_and_words_where_text_is():
    made = read("parquet", parquet(id=[True, False], at=["2024-01-01T00:00:00Z"] * 2, size=[1, 2], kind=[True, None]))
    assert made[1].table.select(["id", "kind"]).to_pylist() == [{"id": 1, "kind": "true"}, {"id": 0, "kind": None}]


@pytest.mark.parametrize(
    ("name", "ending", "landed", "words"),
    [
        ("a.csv.gz", "csv", b"id,at\n", "is no gzip file"),
        ("a.csv.gz", "csv", gzip.compress(b"id,at\n" * 1000, mtime=0)[:-12], "ends in the middle"),
        ("a.csv.gz", "csv", gzip.compress(b"id,at\n", mtime=0) + b"rest", "is no gzip file"),
        ("a.parquet", "parquet", b"PAR1", "is no Parquet file"),
        ("a.parquet", "parquet", parquet(id=[[1], [2]]), "has column id of type list"),
        ("a.parquet", "parquet", parquet(id=[timedelta(hours=1)]), "has column id of type duration"),
        ("a.jsonl", "utf-16.jsonl", b"\xff\xfea", "is no text in utf-16"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_a_sentence(name, ending, landed, words):
    with pytest.raises(DataError, match=words):
        file_formats.expand_content(name, landed, FORMS[ending])


PLAIN = parquet(
    id=list(range(50)), at=["2024-01-01T00:00:00Z"] * 50, size=[n / 7 for n in range(50)],
    kind=[f"k{n}" for n in range(50)],
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
def test_parquet_that_was_damaged_on_its_way_is_a_sentence_or_has_its_rows(place, change):
    landed = bytearray(PLAIN)
    landed[place] ^= change
    try:
        why, made = read("parquet", bytes(landed))
    except DataError as error:
        assert re.match(r"\S+ (is no Parquet file|has column)", str(error))  # noqa: PT017
    else:
        assert why or made.table.num_rows == len(made.raw)


def test_parquet_with_a_column_twice_or_without_a_name_is_read_as_other_files_are():
    def write(*names):
        out = io.BytesIO()
        columns = {"id": [1], "at": ["2024-01-01T00:00:00Z"], "size": [1.0], "kind": ["x"], "": ["y"]}
        pq.write_table(pa.Table.from_arrays([pa.array(columns[name]) for name in names], names=names), out)
        return read("parquet", out.getvalue())

    assert "has size more than once" in write("id", "at", "size", "kind", "size")[0]
    assert write("id", "at", "size", "kind", "", "")[1].broken == {}


def test_a_line_break_within_a_value_of_parquet_breaks_its_row():
    _, made = read("parquet", parquet(id=[1, 2], at=["2024-01-01T00:00:00Z"] * 2, size=[1, 2], kind=["a\nb", "c"]))
    assert made.broken == {0: ["row:control"]}


def test_a_bomb_of_gzip_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(file_formats, "_EXPANDED", 10_000)
    part = gzip.compress(b"x" * 6_000)
    assert len(file_formats.expand_content("a.csv.gz", part, FORMS["csv"])) == 6_000
    for landed in (gzip.compress(b"x" * 10_001), part + part):
        with pytest.raises(DataError, match="expands to more than 10,000 bytes"):
            file_formats.expand_content("a.csv.gz", landed, FORMS["csv"])


@pytest.mark.parametrize(
    "given",
    [{"delimiter": ""}, {"delimiter": "ab"}, {"delimiter": '"'}, {"encoding": "klingon"}, {"encoding": "rot13"},
     {"decimal": ","}],
)  # fmt: skip
def test_a_format_that_nothing_can_be_read_in_is_refused(given):
    with pytest.raises(ConfigError):
        FileFormat(**given)


def test_a_row_that_is_known_long_after_its_file_was_written_is_so_in_every_format():
    late = (NOW + timedelta(days=2)).replace(tzinfo=None)
    for ending in FORMS:
        made = read(ending, written(ending, [{"id": 1, "at": late, "size": None, "kind": None}]))[1]
        assert made.broken == {0: ["at:future"]}, ending
