from datetime import timedelta
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.contract import Column, ConfigError, DataError, Entity, Feature, Source
from mlops.data.point_in_time import PointInTime, columns_read, compute_features

HISTORY = timedelta(minutes=6)
START = pd.Timestamp("2013-01-01")
SOURCES = {
    "trips": Source(name="trips", comment="", columns=(), key=("trip",), known_at="announced", history=HISTORY),
    "events": Source(name="events", comment="", columns=(), key=("event",), known_at="known", history=HISTORY),
    "places": Source(name="places", comment="", columns=(), key=("place",), known_at="known"),
    "pairs": Source(name="pairs", comment="", columns=(), key=("place", "kind"), known_at="known"),
}
ENTITY = Entity(source="trips", key=("trip",), event_time="leaves", lead=timedelta(minutes=5))

minutes = st.integers(-12, 12)
spans = st.integers(-4, 12).map(lambda n: timedelta(minutes=n))


def moments(column):
    """Minutes (missing ones allowed) as timestamps."""
    return START + pd.to_timedelta(pd.Series(column, dtype="float64"), "min")


def drawn(generator, rows, **columns):
    """Independent columns: few minutes, places and kinds make ties and duplicates the rule, one in ten is missing."""
    choices = {
        "minute": np.append(np.arange(-12.0, 13.0), [np.nan] * 3),
        "place": np.array(["A", "B"] * 5 + [None], "object"),
        "kind": np.array([1.0, 2.0] * 5 + [np.nan]),
        "value": np.array([-1.5, 0.0, 0.1, 3.25] * 2 + [np.nan]),
    }
    return pd.DataFrame({name: generator.choice(choices[what], rows) for name, what in columns.items()})


@st.composite
def worlds(draw):
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    trips = drawn(generator, draw(st.sampled_from([0, 1, 8])), asked="minute", place="place", kind="kind")
    events = drawn(
        generator,
        draw(st.sampled_from([0, 1, 30])),
        known="minute",
        happened="minute",
        place="place",
        kind="kind",
        value="value",
    )
    return (
        trips.assign(trip=trips.index, asked=moments(trips["asked"])),
        # Larger keys first: the order of rows must not be the order of keys by luck.
        events.assign(event=-events.index, known=moments(events["known"]), happened=moments(events["happened"])),
    )


def known(trips, events, **frames):
    trips = trips.dropna(subset=["asked"]).reset_index(drop=True)
    return PointInTime(trips, trips["asked"], SOURCES, {"events": events, **frames})


def in_window(trip, events, *, by, since, until, on):
    """The definition, read row by row."""
    asked = trip["asked"]
    return [
        row
        for _, row in events.iterrows()
        if all(pd.notna(row[c]) and row[c] == trip[c] for c in by)
        and asked - HISTORY <= row["known"] <= asked
        and asked - since < row[on] <= asked + until
    ]


bys = st.sampled_from([(), ("place",), ("kind",), ("place", "kind")])


@settings(max_examples=100, deadline=None)
@given(worlds(), bys, spans, spans, st.sampled_from(["known", "happened"]))
def test_a_window_counts_and_averages_what_its_definition_says(world, by, since, until, on):
    trips, events = world
    asked = known(trips, events)

    window = asked.window("events", by=by, since=since, until=until, on=on)

    expected = [in_window(trip, events, by=by, since=since, until=until, on=on) for _, trip in asked.rows.iterrows()]
    present = [[row["value"] for row in rows if pd.notna(row["value"])] for rows in expected]
    assert window.count().tolist() == [len(rows) for rows in expected]
    means = [sum(p) / len(p) if p else np.nan for p in present]
    shares = [sum(row["value"] > 0 for row in rows) / len(rows) if rows else np.nan for rows in expected]
    np.testing.assert_allclose(window.mean("value"), means, atol=1e-6)
    np.testing.assert_allclose(window.mean(lambda rows: rows["value"] > 0), shares, atol=1e-6)


HALF_LIFE = timedelta(minutes=4)


def ewm(trip, rows, on, until):
    """The definition: ages from the window's end in whole eighths of the half-life."""
    steps = [(trip["asked"] + until - row[on]) // (HALF_LIFE / 8) for row in rows]
    weights = [0.5 ** (step / 8) for step in steps]
    total = sum(w * row["value"] for w, row in zip(weights, rows, strict=True))
    return total / sum(weights) if rows else np.nan


@settings(max_examples=60, deadline=None)
@given(worlds(), bys, spans, spans, st.sampled_from(["known", "happened"]))
def test_every_figure_of_a_window_is_what_its_definition_says(world, by, since, until, on):
    trips, events = world
    asked = known(trips, events)

    window = asked.window("events", by=by, since=since, until=until, on=on)

    inside = [in_window(trip, events, by=by, since=since, until=until, on=on) for _, trip in asked.rows.iterrows()]
    there = [[row for row in rows if pd.notna(row["value"])] for rows in inside]
    values = [[row["value"] for row in rows] for rows in there]
    expected = {
        "sum": [sum(v) for v in values],
        "std": [np.std(v, ddof=1) if len(v) > 1 else np.nan for v in values],
        "min": [min(v, default=np.nan) for v in values],
        "max": [max(v, default=np.nan) for v in values],
    }
    for name, figures in expected.items():
        np.testing.assert_allclose(getattr(window, name)("value"), figures, atol=1e-5, err_msg=name)
    trips_asked = [trip for _, trip in asked.rows.iterrows()]
    figures = [ewm(trip, rows, on, until) for trip, rows in zip(trips_asked, there, strict=True)]
    np.testing.assert_allclose(window.ewm_mean("value", HALF_LIFE), figures, atol=1e-5)
    for column in ("place", "kind", "value"):
        different = [len({row[column] for row in rows if pd.notna(row[column])}) for rows in inside]
        assert window.distinct_count(column).tolist() == different
    shares = [max((row["value"] > 0 for row in rows), default=np.nan) for rows in inside]
    np.testing.assert_equal(window.max(lambda rows: rows["value"] > 0), np.array(shares, "float64"))


def test_figures_of_a_window_do_not_depend_on_rows_outside_of_it():
    """Sums of floats would: a feature made day by day would differ in its last digits from one made at once."""
    trips = pd.DataFrame({"trip": [1], "asked": [START], "place": ["A"], "kind": [1.0]})
    inside = pd.DataFrame({"event": [1, 2, 3], "value": [0.1, 0.2, 0.7], "place": "A", "kind": 1.0})
    inside["known"] = inside["happened"] = START - pd.to_timedelta([1, 2, 3], "min")
    outside = inside.assign(event=[4, 5, 6], value=[1e9, 1e-3, -7e8], place="B")

    def figures(events):
        window = known(trips, events).window("events", by=["place"], since=HISTORY)
        made = [window.sum("value"), window.mean("value"), window.std("value"), window.ewm_mean("value", HALF_LIFE)]
        return np.concatenate(made).tolist()

    assert figures(inside) == figures(pd.concat([outside, inside[::-1]], ignore_index=True))


FIGURES = ("sum", "mean", "std", "min", "max")


def window_of(values):
    trips = pd.DataFrame({"trip": [1], "asked": [START], "place": ["A"], "kind": [1.0]})
    events = pd.DataFrame({"event": range(len(values)), "known": START, "value": values})
    return known(trips, events).window("events", by=[], since=timedelta(minutes=5))


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2013-01-01", None]),
        pd.to_timedelta(["1h", None]),
        np.array(["a", None], "object"),
        np.array([], "object"),
        pd.to_datetime([]),
    ],
    ids=["times", "lengths of time", "texts", "texts without a row", "times without a row"],
)
def test_a_figure_of_what_is_no_number_is_refused_by_its_column(figure, values):
    with pytest.raises(ConfigError, match="column 'value' gives"):
        getattr(window_of(values), figure)("value")
    with pytest.raises(ConfigError, match=r"column 'value' gives|half"):
        window_of(values).ewm_mean("value", HALF_LIFE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62).map(float) | st.floats(-1e40, 1e40), min_size=1, max_size=6))
def test_figures_of_large_numbers_are_those_of_exact_sums(values):
    window, exact = window_of(values), [Fraction(value) for value in values]
    unit = max(1e-6, 1e-12 * max(map(abs, values)))
    np.testing.assert_allclose(window.sum("value"), float(sum(exact)), rtol=1e-12, atol=len(values) * unit)
    np.testing.assert_allclose(window.mean("value"), float(sum(exact) / len(exact)), rtol=1e-12, atol=unit)
    if len(values) > 1:
        middle = sum(exact) / len(exact)
        variance = sum((value - middle) ** 2 for value in exact) / (len(exact) - 1)
        np.testing.assert_allclose(window.std("value"), np.sqrt(float(variance)), rtol=1e-6, atol=1e-5)
    assert window.max("value") == max(values)


@pytest.mark.parametrize("half_life", [timedelta(0), -HALF_LIFE, timedelta(seconds=1)])
def test_a_half_life_that_makes_no_sense_is_refused(half_life):
    trips = pd.DataFrame({"trip": [1], "asked": [START], "place": ["A"], "kind": [1.0]})
    events = pd.DataFrame({"event": [1], "value": [1.0], "place": "A", "kind": 1.0, "known": START, "happened": START})
    window = known(trips, events).window("events", by=[], since=timedelta(minutes=5))
    with pytest.raises(ConfigError, match="half-life"):
        window.ewm_mean("value", half_life)


@settings(max_examples=25, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1))
def test_a_lookup_by_several_columns_finds_the_row_of_that_key(world, seed):
    trips, events = world
    reference = drawn(np.random.default_rng(seed), 4, known="minute", value="value")
    reference = reference.assign(
        place=["A", "A", "B", "B"], kind=[1.0, 2.0, 1.0, 2.0], known=moments(reference["known"])
    )
    asked = known(trips, events, pairs=reference)

    got = asked.lookup("pairs", "value", on=["place", "kind"])

    for (_, trip), value in zip(asked.rows.iterrows(), got, strict=True):
        rows = reference[(reference["place"] == trip["place"]) & (reference["kind"] == trip["kind"])]
        rows = rows[rows["known"] <= trip["asked"]]
        np.testing.assert_equal(float(value), rows["value"].item() if len(rows) else np.nan)


@settings(max_examples=100, deadline=None)
@given(worlds(), bys, spans)
def test_the_latest_is_the_newest_value_known_by_the_prediction_time(world, by, within):
    trips, events = world
    asked = known(trips, events)

    latest = asked.latest("events", "value", by=by, within=within)

    for (_, trip), got in zip(asked.rows.iterrows(), latest, strict=True):
        candidates = [
            (row["known"], row["event"], row["value"])
            for _, row in events.dropna(subset=["value"]).iterrows()
            if all(pd.notna(row[c]) and row[c] == trip[c] for c in by)
            and timedelta(0) <= trip["asked"] - row["known"] <= min(within, HISTORY)
        ]
        np.testing.assert_equal(float(got), max(candidates)[2] if candidates else np.nan)


@settings(max_examples=25, deadline=None)
@given(worlds(), st.integers(0, 2**32 - 1))
def test_a_lookup_finds_the_reference_row_that_was_known(world, seed):
    trips, events = world
    reference = drawn(np.random.default_rng(seed), 3, known="minute", value="value").assign(place=["A", "B", None])
    reference["known"] = moments(reference["known"])

    asked = known(trips, events, places=reference)

    found = asked.lookup("places", "value", on="place")

    table = reference.dropna(subset="place").set_index("place")
    for (_, trip), got in zip(asked.rows.iterrows(), found, strict=True):
        known_at, value = table.loc[trip["place"]] if trip["place"] else (pd.NaT, np.nan)
        np.testing.assert_equal(float(got), value if known_at <= trip["asked"] else np.nan)


def make(name, compute, dtype="double"):
    return Feature(name, compute, dtype, "", "", "")


AN_HOUR = timedelta(hours=1)
ALL = (
    make("near", lambda k: k.window("events", by=["place"], since=timedelta(minutes=9), on="happened").mean("value")),
    make("ahead", lambda k: k.window("events", by=[], since=timedelta(0), until=AN_HOUR, on="happened").count()),
    make("newest", lambda k: k.latest("events", "value", by=["place"], within=timedelta(minutes=4))),
    make("kind_of_place", lambda k: k.lookup("places", "label", on="place"), "string"),
    make("place_itself", lambda k: k.rows["place"], "string"),
)
PLACES = pd.DataFrame({"place": ["A", "B"], "label": ["big", None], "known": [START] * 2})


def table(trips, events, sources=SOURCES, features=ALL):
    entities = trips.rename(columns={"asked": "leaves"}).assign(announced=trips["asked"] - timedelta(hours=1))
    return compute_features(ENTITY, features, tuple(sources.values()), entities, {"events": events, "places": PLACES})


@settings(max_examples=25, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(world, random):
    trips, events = world
    shuffled = [rows.sample(frac=1, random_state=random.randrange(1000)) for rows in world]

    pd.testing.assert_frame_equal(table(trips, events), table(*shuffled), check_exact=True)


@settings(max_examples=25, deadline=None)
@given(worlds(), minutes)
def test_blocks_equal_one_pass_when_each_gets_its_history(world, cut):
    trips, events = world
    border = START + timedelta(minutes=cut)
    early = trips["asked"] - ENTITY.lead < border

    parts = [
        table(rows, events[events["known"].between(rows["asked"].min() - ENTITY.lead - HISTORY, rows["asked"].max())])
        for rows in (trips[early], trips[~early]) if len(rows)
    ]  # fmt: skip

    if parts:
        whole = pd.concat(parts).sort_values("trip", ignore_index=True)
        pd.testing.assert_frame_equal(whole, table(trips, events), check_exact=True, check_dtype=False)


@settings(max_examples=25, deadline=None)
@given(worlds(), st.data())
def test_what_becomes_known_later_moves_no_feature(world, data):
    trips, events = world
    cut = START + timedelta(minutes=data.draw(minutes))
    before = trips[trips["asked"] - ENTITY.lead < cut]
    rewritten = events.copy()
    later = rewritten["known"] >= cut
    rewritten.loc[later, "value"] = 99.0
    rewritten.loc[later, "place"] = "B"

    pd.testing.assert_frame_equal(table(before, events), table(before, rewritten), check_exact=True)
    pd.testing.assert_frame_equal(table(before, events), table(before, events[~later]), check_exact=True)


def small():
    trips = pd.DataFrame({"trip": [2, 1], "asked": moments([6, 4]), "place": ["A", "C"]})
    events = pd.DataFrame(
        {"event": [1], "known": moments([0]), "happened": moments([0]), "place": ["A"], "value": [2.0]}
    )
    return trips, events


def test_the_table_has_key_times_and_one_column_per_feature_ordered_by_key():
    made = table(*small())

    assert made.columns.tolist() == ["trip", "event_time", "prediction_time", *(feature.name for feature in ALL)]
    assert made["trip"].tolist() == [1, 2]
    assert (made["event_time"] - made["prediction_time"]).eq(ENTITY.lead).all()
    assert made["kind_of_place"].tolist() == [None, "big"]
    assert made["newest"].tolist()[1] == 2.0


def test_an_entity_that_was_announced_after_its_prediction_time_has_no_features():
    trips, events = small()
    entities = trips.rename(columns={"asked": "leaves"})
    entities["announced"] = [entities["leaves"][0], START - timedelta(days=1)]

    made = compute_features(ENTITY, ALL[:1], tuple(SOURCES.values()), entities, {"events": events})

    assert made["trip"].tolist() == [1]


def test_a_feature_that_does_not_return_one_value_per_entity_is_named():
    with pytest.raises(DataError, match=r"'three' returned shape \(3,\) for 2 entities"):
        table(*small(), features=(make("three", lambda _: np.zeros(3)),))


def test_a_feature_that_hides_a_key_is_named():
    with pytest.raises(ConfigError, match="'trip' has the name of a key"):
        table(*small(), features=(make("trip", lambda _: np.zeros(2)),))


def test_an_unknown_source_is_named_beside_the_known_ones():
    with pytest.raises(ConfigError, match="no source 'weather'; there are trips, events"):
        table(*small(), features=(make("x", lambda k: k.latest("weather", "value", by=[], within=HISTORY)),))


def test_a_lookup_in_a_source_with_a_longer_key_is_refused():
    with pytest.raises(ConfigError, match=r"source 'pairs' names 1 columns .* key of 2 \(place, kind\)"):
        known(*small()).lookup("pairs", "value", on="place")


def test_sums_are_exact_whatever_else_is_in_the_frame():
    trips, events = small()
    events, huge = events.assign(value=0.3), events.assign(event=2, place="C", value=1e12)

    alone, beside = (table(trips, rows, features=ALL[:1])["near"] for rows in (events, pd.concat([huge, events])))

    assert alone.tolist()[1] == beside.tolist()[1] == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("value", [11.0, -1.0, np.inf])
def test_a_feature_beyond_its_limits_is_named_with_its_value(value):
    feature = Feature("big", lambda _: np.array([value, 0.0]), "double", "", "", "", limits=(0, 10))
    with pytest.raises(DataError, match=rf"'big' is {value:g} for 1 of 2 entities: its limits are 0 to 10"):
        table(*small(), features=(feature,))


@pytest.mark.parametrize("value", [0.0, 10.0])
def test_a_feature_may_reach_its_limits(value):
    feature = Feature("big", lambda _: np.array([value, 5.0]), "double", "", "", "", limits=(0, 10))
    assert table(*small(), features=(feature,))["big"].tolist() == [value, 5.0]


def test_an_entity_known_at_its_prediction_time_has_features():
    trips, events = small()
    entities = trips.rename(columns={"asked": "leaves"})
    entities["announced"] = entities["leaves"] - ENTITY.lead
    assert len(compute_features(ENTITY, ALL[:1], tuple(SOURCES.values()), entities, {"events": events})) == len(trips)


@pytest.mark.parametrize(
    ("age", "within", "found"),
    [(3, 3, True), (4, 3, False), (6, 60, True), (7, 60, False)],  # `events` forget after 6 minutes, whatever is asked
)
def test_a_value_counts_until_it_is_as_old_as_asked_and_as_its_source_remembers(age, within, found):
    trips = pd.DataFrame({"trip": [1], "asked": moments([0.0]), "place": ["A"]})
    events = pd.DataFrame({"event": [1], "known": moments([float(-age)]), "place": ["A"], "value": [2.5]})
    latest = known(trips, events).latest("events", "value", by=["place"], within=timedelta(minutes=within))
    assert np.isfinite(latest).tolist() == [found]


@pytest.mark.parametrize(("age", "found"), [(0, True), (6, True), (7, False)])
def test_a_lookup_in_a_source_that_forgets_finds_what_it_remembers(age, found):
    trips = pd.DataFrame({"trip": [1], "asked": moments([0.0]), "other": [4]})
    events = pd.DataFrame({"event": [4], "known": moments([float(-age)]), "value": [2.5]})
    assert np.isfinite(known(trips, events).lookup("events", "value", on="other")).tolist() == [found]


def test_a_source_that_forgets_nothing_has_windows_too():
    count = make("places", lambda k: k.window("places", by=["place"], since=timedelta(days=1)).count())
    assert table(*small(), features=(count,))["places"].tolist() == [0.0, 1.0]


def test_what_was_made_for_one_question_is_not_the_answer_to_another():
    generator = np.random.default_rng(5)
    trips = drawn(generator, 40, asked="minute", place="place", kind="kind", other="place").dropna(subset=["asked"])
    trips = trips.assign(trip=trips.index, asked=moments(trips["asked"]))
    events, places = (
        drawn(
            generator, rows, known="minute", happened="minute", place="place", kind="kind", value="value", more="value"
        )
        for rows in (60, 30)
    )
    events, places = (
        rows.assign(event=-rows.index, known=moments(rows["known"]), happened=moments(rows["happened"]))
        for rows in (events, places)
    )
    places = places.drop_duplicates("place")
    questions = [
        *(
            lambda k, given=(source, by, since, until, on): k.window(
                given[0], by=given[1], since=given[2], until=given[3], on=given[4]
            ).count()
            for source in ("events", "places")
            for by in ([], ["place"], ["kind"], ["place", "kind"])
            for since, until in ((6, 0), (3, 0), (6, 3))
            for since, until in [(timedelta(minutes=since), timedelta(minutes=until))]
            for on in ("", "known", "happened")
        ),
        *(
            lambda k, given=(source, column, by): k.latest(given[0], given[1], by=given[2], within=HISTORY)
            for source in ("events", "places")
            for column in ("value", "more")
            for by in ([], ["place"], ["kind"])
        ),
        *(
            lambda k, given=(column, on): k.lookup("places", given[0], on=given[1])
            for column in ("value", "more")
            for on in ("place", "other", "kind")
        ),
    ]
    shared = known(trips, events, places=places)
    alone = [ask(known(trips, events, places=places)) for ask in questions]
    assert len({tuple(answer) for answer in alone}) > 20
    for ask, answer in [*zip(questions, alone, strict=True)] * 2:
        np.testing.assert_array_equal(ask(shared), answer)


def test_the_columns_that_features_look_at_are_found_without_a_row():
    def source(name, key, known_at, **columns):
        made = tuple(Column(name=column, type=kind, comment="") for column, kind in columns.items())
        return Source(name=name, comment="", columns=made, key=(key,), known_at=known_at)

    sources = (
        source("trips", "trip", "announced", trip="long", leaves="timestamp", announced="timestamp", place="string"),
        source(
            "events", "event", "known", event="long", known="timestamp", place="string", value="double", text="string"
        ),
        source("places", "place", "known", place="string", known="timestamp", label="string", size="long"),
    )
    seen = {}

    def look(k):
        seen.update(
            {name: {c: rows[c].dtype.kind for c in rows} for name, rows in {**k.frames, "rows": k.rows}.items()}
        )
        return k.latest("events", "value", by=["place"], within=HISTORY)

    newest, label = make("newest", look), make("label", lambda k: k.lookup("places", "label", on="place"), "string")
    many = make("many", lambda k: k.window("events", by=[], since=HISTORY).count())
    events = ["event", "known", "place", "value"]
    assert columns_read(ENTITY, [newest, label], sources) == {"events": events, "places": ["known", "label", "place"]}
    assert columns_read(ENTITY, [many], sources) == {"events": ["event", "known"]}
    assert seen["events"] == {"event": "f", "known": "M", "place": "O", "value": "f", "text": "O"}
    assert seen["rows"] == seen["trips"] == {"trip": "f", "leaves": "M", "announced": "M", "place": "O"}


# --- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "values", "column"),
    [
        ("long", [1.0, np.nan, 3.0], [1, None, 3]),
        ("long", np.array([1, 2**60 + 1, 3]), [1, 2**60 + 1, 3]),
        ("long", np.array([2, None, 3], "object"), [2, None, 3]),
        ("boolean", [True, False, True], [True, False, True]),
        ("boolean", [1.0, np.nan, 0.0], [True, None, False]),
        ("boolean", np.array([True, None, False], "object"), [True, None, False]),
    ],
)
def test_whole_numbers_and_truth_values_keep_their_type_and_their_gaps(dtype, values, column):
    feature = make("it", lambda _: pd.Series(values), dtype)
    made = compute_column(feature)
    assert [None if value is pd.NA else value for value in made] == column
    assert made.dtype == ("Int64" if dtype == "long" else "boolean")


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("long", [1.5, 2.0, 3.0]), ("long", ["a", "b", "c"]), ("boolean", [2.0, 0.0, 1.0]), ("boolean", ["x", None, "y"])],
)
def test_values_that_are_none_of_their_type_are_refused_by_name(dtype, values):
    with pytest.raises(DataError, match=f"feature 'it' of dtype {dtype} must return"):
        compute_column(make("it", lambda _: np.array(values, "object"), dtype))


def compute_column(feature):
    trips = pd.DataFrame({"trip": [1, 2, 3], "announced": START - timedelta(minutes=9), "leaves": START})
    return compute_features(ENTITY, [feature], list(SOURCES.values()), trips, {"trips": trips})["it"]
