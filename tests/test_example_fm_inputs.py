"""The FM example reads its three inputs right, splits them by time, and refuses what it cannot use."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import fm_example
from fm_example import CATEGORIES, INTEGERS, criteo_line, rows, run_example, tokens, write_ratings

DAY = 86400
NOON = 888840000  # 2 March 1998, 12:00 UTC

example = fm_example.example


# MovieLens


def test_a_line_of_u_data_becomes_user_film_hour_weekday_and_rating(example, tmp_path):
    movielens = example("movielens")
    write_ratings(tmp_path, [f"196\t242\t3\t{NOON}", f"186\t302\t5\t{NOON + DAY + 6 * 3600}"])
    path = str(tmp_path / "u.data")

    ((features, labels),) = example("source").fetch(lambda: movielens.columns(path).map(movielens.examples))

    assert features["tokens"].tolist() == [[b"user=196", b"film=242"], [b"user=186", b"film=302"]]
    np.testing.assert_allclose(features["hour"], [[0, -1], [-1, 0]], atol=1e-6)  # sine, cosine of noon and of six
    assert features["weekday"].tolist() == [[0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]]  # Monday, Tuesday
    assert labels.tolist() == [3, 5]


def test_blanks_for_tabs_and_carriage_returns_are_understood(example, tmp_path):
    movielens = example("movielens")
    (tmp_path / "u.data").write_bytes(b"0 50  5 881250949\r\n1\t2\t3\t881250950\r\n")
    path = str(tmp_path / "u.data")

    assert example("source").count_lines(path, movielens.LINE_PATTERN, movielens.LINE_EXPECTED) == 2
    (columns,) = example("source").fetch(lambda: movielens.columns(path))
    assert columns["user"].tolist() == [b"0", b"1"]
    assert columns["film"].tolist() == [b"50", b"2"]
    assert columns["rating"].tolist() == [5, 3]
    assert columns["seconds"].tolist() == [881250949, 881250950]


def test_the_split_is_at_midnight_after_three_quarters_of_the_ratings(example):
    movielens = example("movielens")
    seconds = np.int64([10 * DAY + 5, 3 * DAY, 11 * DAY, 4 * DAY])  # the third in time is at day 10

    split = movielens.split_by_time(seconds)

    assert split == (11 * DAY, 39 * DAY, 67 * DAY)


def test_no_rating_is_evaluated_that_is_earlier_than_one_trained_on(example, tmp_path):
    movielens = example("movielens")
    when = {str(day): day for day in range(120)}  # user n rates on day n
    lines = [f"{user}\t1\t3\t{880000000 // DAY * DAY + day * DAY}" for user, day in when.items()]
    source = movielens.load(write_ratings(tmp_path, lines[::-1]))

    old, train, evaluation = (
        [when[user[len("user=") :]] for user, _ in tokens(example, part)]
        for part in (source.old, source.train, source.evaluation)
    )

    assert sorted(old) == list(range(90))
    assert sorted(train) == list(range(90, 118))
    assert sorted(evaluation) == [118, 119]
    assert [part.rows for part in (source.old, source.train, source.evaluation)] == [90, 28, 2]


def test_the_vocabulary_has_the_tokens_of_the_old_days_most_frequent_first(example, tmp_path):
    days = (0, 1, 2, 3, 4, 5, 10, 40)  # of the eight, six are three quarters: days 0 to 5 are old
    lines = [f"{day % 2}\t{7 if day < 3 else day}\t3\t{day * DAY}" for day in days]

    source = example("movielens").load(write_ratings(tmp_path, lines))

    assert source.old.tokens == ("film=7", "user=0", "user=1", "film=3", "film=4", "film=5")
    assert source.train.tokens == ("film=10", "user=0")


def test_the_real_ratings_are_split_by_time_into_days_with_known_and_new_users(example, real_data_dir):
    folder = real_data_dir / "movielens-100k"
    if not (folder / "u.data").is_file():
        pytest.skip(f"no MovieLens 100K in {real_data_dir}")
    movielens, source = example("movielens"), example("movielens").load(str(folder))
    parts = (source.old, source.train, source.evaluation)
    seconds = np.concatenate(
        [chunk["seconds"] for chunk in example("source").fetch(lambda: movielens.columns(str(folder / "u.data")))]
    )
    split = movielens.split_by_time(seconds)

    assert [part.when for part in parts] == [
        "20 September 1997 to 23 February 1998",
        "24 February 1998 to 23 March 1998",
        "24 March 1998 to 20 April 1998",
    ]
    expected = [
        (seconds < split.train_from).sum(),
        ((seconds >= split.train_from) & (seconds < split.evaluate_from)).sum(),
        ((seconds >= split.evaluate_from) & (seconds < split.until)).sum(),
    ]
    assert [part.rows for part in parts] == expected
    assert [len(rows(example, part)[1]) for part in parts] == expected
    users = [{token for token in part.tokens if token.startswith("user=")} for part in parts]
    for later in users[1:]:
        assert len(later & users[0]) >= 50
        assert len(later - users[0]) >= 50


# Criteo


def test_a_criteo_line_becomes_39_tokens_and_13_logarithms(example, tmp_path):
    criteo = example("criteo")
    path = tmp_path / "train.txt"
    path.write_text(criteo_line(1) + "\n" + criteo_line(0, [""] * 13, [""] * 26) + "\n")

    ((features, labels),) = example("source").fetch(lambda: criteo.columns(str(path), 0, 2).map(criteo.examples))

    first, missing = features["tokens"].tolist()
    # ln(3)^2 = 1.2, ln(7)^2 = 3.8, ln(1382)^2 = 52.3, ln(181)^2 = 27.02
    assert first[:13] == [
        b"I1=1",
        b"I2=",
        b"I3=-1",
        b"I4=0",
        b"I5=2",
        b"I6=>1",
        b"I7=>3",
        b"I8=>52",
        b"I9=",
        b"I10=",
        b"I11=",
        b"I12=",
        b"I13=>27",
    ]
    assert first[13:16] == [b"C1=68fd1e64", b"C2=", b"C3=00000003"]
    assert len(first) == 39
    assert missing == [f"{name}=".encode() for name in criteo.INTEGERS + criteo.CATEGORIES]
    np.testing.assert_allclose(features["integers"][0, [0, 1, 2, 5]], np.log([2, 1, 1, 4]), rtol=1e-6)
    np.testing.assert_array_equal(features["integers"][1], np.zeros(13))
    assert labels.tolist() == [1, 0]


def test_criteo_rows_are_split_by_their_order(example, tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("".join(criteo_line(0, categories=[f"{row:x}"] + [""] * 25) + "\n" for row in range(25)))

    source = example("criteo").load(str(path), rows=20)

    order = [
        [int(row[13][len("C1=") :], 16) for row in tokens(example, part)]
        for part in (source.old, source.train, source.evaluation)
    ]
    assert order == [list(range(14)), list(range(14, 17)), list(range(17, 20))]
    assert [part.rows for part in (source.old, source.train, source.evaluation)] == [14, 3, 3]


# Made-up clicks


def test_the_same_seed_makes_the_same_clicks_and_another_seed_others(example):
    clicks = example("clicks")

    def first_rows(seed):
        features, labels = rows(example, clicks.load(rows=80, seed=seed).old)
        return features["tokens"].tolist(), features["price"].tolist(), labels.tolist()

    assert first_rows(3) == first_rows(3)
    assert first_rows(3) != first_rows(4)
    # Literal, so that a numpy or TensorFlow with which other rows come out is noticed.
    drawn, _, clicked = first_rows(3)
    assert drawn[0] == [b"user=359", b"ad=58", b"site=12"]
    assert clicked[:8] == [0, 1, 1, 0, 1, 0, 0, 1]


def test_made_up_days_have_known_and_new_tokens_and_every_position(example):
    source = example("clicks").load(rows=40000, seed=1)

    features, labels = rows(example, source.old)
    assert features["tokens"].shape == (30000, 3)
    assert features["price"].shape == (30000, 1)
    np.testing.assert_array_equal(features["position"].sum(axis=1), np.ones(30000))
    assert features["position"].any(axis=0).all()
    assert 0.05 < labels.mean() < 0.5
    new = set(source.train.tokens) - set(source.old.tokens)
    assert {token.split("=")[0] for token in new} == {"user", "ad"}
    assert len(set(source.train.tokens) & set(source.old.tokens)) > 400


def test_the_rows_with_known_tokens_alone_are_kept(example):
    source = example("source")
    features = {"tokens": [["a", "b"], ["a", "c"], ["b", "b"]], "price": [[1.0], [2.0], [3.0]]}
    part = source.Part(
        "today",
        3,
        lambda: tf.data.Dataset.from_tensors((features, [10.0, 20.0, 30.0])),
        ("b", "a", "c"),
    )

    known = source.known_rows(part, ["a", "b", "elsewhere"])

    kept, labels = rows(example, known)
    assert kept["tokens"].tolist() == [[b"a", b"b"], [b"b", b"b"]]
    assert kept["price"].tolist() == [[1], [3]]
    assert labels.tolist() == [10, 30]
    assert known.rows == 2
    assert known.tokens == ("b", "a")


@pytest.mark.parametrize("name", ["clicks", "movielens"])
def test_the_rows_have_the_feature_that_is_added_to_the_dense_layer(example, tmp_path, name):
    lines = [f"1\t2\t3\t{day * DAY}" for day in (0, 1, 2, 3, 4, 5, 10, 40)]
    source = example("clicks").load(rows=80) if name == "clicks" else example("movielens").load(write_ratings(tmp_path, lines))

    features, _ = rows(example, source.old)

    old, new = source.dense_change
    assert {feature: features[feature].shape[1] for feature in new} == new
    # The new feature is not the last one: rows of the old kernel move.
    assert [feature for feature in new if feature in old] == list(old) != list(new)[: len(old)]


# What the user did wrong


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it has no file u.data"),
        ("", "the file is empty"),
        ("1\t2\t3\t10\n1\t2\t3\n", "line 2: expected 'user item rating unix_seconds'"),
        ("1\t2\t6\t10\n", r"rating from 1 to 5, found '1\t2\t6\t10'"),
        ("1\t2\t3\t10\n", "no rating from 2 January 1970 to 29 January 1970"),
    ],
    ids=["no file", "empty", "short line", "no rating", "one day"],
)
def test_unusable_ratings_are_one_message_and_status_2(example, tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "u.data").write_text(content)

    status = example("main").main(["--movielens", str(tmp_path)])

    assert_one_message(status, capsys, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (criteo_line(0) + "\n" + criteo_line(2) + "\n", "line 2: expected a label (0 or 1)"),
        (criteo_line(0, categories=CATEGORIES[1:]) + "\n", "line 1: expected"),
        (criteo_line(0, integers=["1.5"] + INTEGERS[1:]) + "\n", "line 1: expected"),
        ((criteo_line(0) + "\n") * 3, "3 rows are too few"),
    ],
    ids=["empty", "label", "25 categories", "fraction", "three rows"],
)
def test_unusable_clicks_are_one_message_and_status_2(example, tmp_path, capsys, content, message):
    path = tmp_path / "train.txt"
    path.write_text(content)

    status = example("main").main(["--criteo", str(path)])

    assert_one_message(status, capsys, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--movielens", "{tmp}/nowhere"], "no such directory"),
        (["--criteo", "{tmp}/nowhere"], "no such file"),
        (["--criteo", "{tmp}"], "a directory"),
        (["--rows", "7"], "8 days need at least 8 rows"),
        (["--output-dir", "{tmp}"], "not empty (taken)"),
        (["--output-dir", "{tmp}/taken"], "File exists"),
    ],
    ids=["no directory", "no file", "directory for file", "rows", "output not empty", "output is a file"],
)
def test_unusable_arguments_are_one_message_and_status_2(example, tmp_path, capsys, arguments, message):
    (tmp_path / "taken").write_text("")

    status = example("main").main([argument.format(tmp=tmp_path) for argument in arguments])

    assert_one_message(status, capsys, message)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", "0"],
        ["--steps", "-1"],
        ["--old-steps", "many"],
        ["--rows", "0"],
        ["--seed", "-1"],
        ["--movielens", "a", "--criteo", "b"],
        ["--movielens", "a", "--rows", "9"],
        ["--criteo", "a", "--case", "vocabulary"],
        ["--case", "other"],
        ["--initial-accumulator", "0"],
        ["--initial-accumulator", "1e-46"],
        ["--initial-accumulator", "nan"],
    ],
    ids=" ".join,
)
def test_arguments_that_make_no_sense_end_with_status_2(example, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        example("main").main(arguments)

    assert ended.value.code == 2
    assert arguments[-2] in capsys.readouterr().err.splitlines()[-1]  # The lines before name every option there is.


def assert_one_message(status, capsys, message):
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert message in output.err


def test_the_process_ends_with_the_status_and_without_a_traceback(tmp_path):
    ended = run_example("--movielens", tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("it has no file u.data")
    assert "Traceback" not in ended.stderr
