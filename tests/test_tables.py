"""Tables that fit a width: which columns give way, and how."""

import pytest

from estimator_warmstart.tables import NAME, NUMBER, SENTENCE, WORDS, Column, Table, fit_first, fit_table

NAMES = ["encoder/self_attention/kernel", "encoder/self_attention/bias"]
WIDE = Table(
    [Column("variable", NAME), Column("dtype", is_optional=True), Column("bytes", NUMBER), Column("what", WORDS)],
    [[NAMES[0], "float32", "1,024", "adapted: some of the rows are new"], [NAMES[1], "float32", "8", "restored"]],
)


def lines_of(table, width=None):
    return [line for text in fit_table(table, width) for line in text.split("\n")]


class TestWidth:
    def test_of_a_file_is_any(self):
        assert lines_of(WIDE) == [
            "variable                       dtype    bytes  what",
            "-----------------------------  -------  -----  ---------------------------------",
            "encoder/self_attention/kernel  float32  1,024  adapted: some of the rows are new",
            "encoder/self_attention/bias    float32      8  restored",
        ]

    def test_names_are_shortened_and_words_wrapped(self):
        assert lines_of(WIDE, 75) == [
            "variable                     dtype    bytes  what",
            "---------------------------  -------  -----  -----------------------------",
            "...self_attention/kernel     float32  1,024  adapted: some of the rows are",
            "                                             new",
            "encoder/self_attention/bias  float32      8  restored",
        ]

    def test_optional_columns_are_left_out_before_names_are_not_readable(self):
        assert lines_of(WIDE, 50) == [
            "variable           bytes  what",
            "-----------------  -----  --------------------",
            "encoder/...kernel  1,024  adapted: some of the",
            "                          rows are new",
            "encoder/...bias        8  restored",
        ]

    def test_columns_are_given_up_where_there_is_no_room(self):
        assert lines_of(WIDE, 24) == [
            "",
            "",
            "encoder/self_attention/kernel",
            "  1,024  adapted: some",
            "  of the rows are new",
            "encoder/self_attention/bias",
            "  8  restored",
        ]

    @pytest.mark.parametrize("width", range(30, 100))
    def test_is_kept(self, width):
        assert all(len(line) <= width for line in lines_of(WIDE, width))

    def test_numbers_stay_whole(self):
        table = Table([Column("variable", NAME), Column("bytes", NUMBER)], [["a/long/name/of/a/variable", "1" * 30]])
        assert "1" * 30 in "\n".join(lines_of(table, 20))

    def test_the_first_table_that_fits_is_taken(self):
        narrow = Table([Column("v", NAME)], [["a"], ["b"]])
        assert fit_first([WIDE, narrow], 100) == fit_table(WIDE)
        assert fit_first([WIDE, narrow], 50) == ["v", "-", "a", "b"]
        assert fit_first([WIDE, narrow]) == fit_table(WIDE)


def test_a_table_without_rows():
    assert fit_table(Table(WIDE.columns, []), 40) == ["variable  dtype  bytes  what", "--------  -----  -----  ----"]


def test_the_rule_of_sentences_is_short():
    assert fit_table(Table([Column("what", SENTENCE)], [["a long sentence"]]))[1] == "----"


def test_control_characters_are_escaped():
    assert fit_table(Table([Column("v", NAME)], [["a\nb"]]), 80)[2:] == ["a\\nb"]
