"""Tables that fit a terminal: names are shortened to what tells them apart, words are wrapped, numbers stay whole."""

from __future__ import annotations

import textwrap
from typing import List, NamedTuple, Optional, Sequence

from estimator_warmstart.printable import printable
from estimator_warmstart.short_names import shorten_names
from estimator_warmstart.text_output import format_table

NAME, TEXT, NUMBER, WORDS, SENTENCE = "name", "text", "number", "words", "sentence"
# No column is narrower. Before names have less than the second, optional columns are left out.
_NARROWEST, _READABLE = 12, 24


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: what the header says.
      kind: `NAME` (may be shortened), `TEXT`, `NUMBER` (aligned to the right), or, for the last column, `WORDS` or `SENTENCE`
        (may be wrapped; the rule of sentences is as long as the title).
      is_optional: whether it may be left out.
    """

    title: str
    kind: str = TEXT
    is_optional: bool = False


class Table(NamedTuple):
    """A table before it is aligned.

    Attributes:
      columns: one or more.
      rows: a cell for each column.
      colours: a colour for each row, or an empty text; empty: no colours.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    colours: Sequence[str] = ()


def fit_table(table: Table, width: Optional[int] = None) -> List[str]:
    r"""Returns a text for the header, for the rule, and for each row, which may have several lines.

    Args:
      table: what is to be shown; its colours are not.
      width: the desired length of the longest line. If the table is wider, optional columns are left out, names are shortened,
        and words are wrapped. Where there is no room for columns at all, there is no header, and a row is its first cell, then
        a line of all others. `None`: any length.

    Example:
      >>> columns = [Column("variable", NAME), Column("bytes", NUMBER)]
      >>> print("\n".join(fit_table(Table(columns, [["encoder/layer/bias", "8"], ["encoder/layer/kernel", "1,024"]]), 22)))
      variable         bytes
      ---------------  -----
      ...layer/bias        8
      ...layer/kernel  1,024
    """
    columns, cells = table.columns, [[printable(cell) for cell in row] for row in table.rows]
    widths: List[int] = []
    if width is not None:
        kept = _kept_columns(columns, cells, width)
        columns, cells = [columns[place] for place in kept], [[row[place] for place in kept] for row in cells]
        widths = _reduce_widths(columns, cells, width)
        if sum(widths) > width - _gaps(columns):
            return ["", "", *("\n".join(_without_columns(row, width)) for row in cells)]
        cells = _shorten_names(columns, cells, widths)
        widths[-1] = width - _gaps(columns) - sum(_widths(columns, cells)[:-1])  # Names may be shorter than they had to be.
    is_wrapped = columns[-1].kind in (WORDS, SENTENCE) and width is not None
    texts = [(textwrap.wrap(row[-1], widths[-1]) if is_wrapped else []) or [row[-1]] for row in cells]
    lines = [
        [*([""] * (len(row) - 1) if number else row[:-1]), text]
        for row, wrapped in zip(cells, texts)
        for number, text in enumerate(wrapped)
    ]
    right = [column.title for column in columns if column.kind == NUMBER]
    header, rule, *following = format_table([column.title for column in columns], lines, right, columns[-1].kind == SENTENCE)
    rest = iter(following)
    return [header, rule, *("\n".join(next(rest) for _ in wrapped) for wrapped in texts)]


def fit_first(tables: Sequence[Table], width: Optional[int] = None) -> List[str]:
    """Returns the texts of the first of several tables, the same rows in fewer columns each, that is no wider than `width`."""
    for table in tables[:-1]:
        if width is None or sum(_widths(table.columns, table.rows)) + _gaps(table.columns) <= width:
            return fit_table(table)
    return fit_table(tables[-1], width)


def _gaps(columns: Sequence[Column]) -> int:
    return 2 * (len(columns) - 1)


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> List[int]:
    return [max([len(column.title), *(len(row[place]) for row in cells)]) for place, column in enumerate(columns)]


def _is_flexible(column: Column) -> bool:
    return column.kind in (NAME, WORDS, SENTENCE)


def _kept_columns(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> List[int]:
    """Returns the places of the columns for which there is room, if names and words have a readable part of it."""
    needed = [min(each, _READABLE) if _is_flexible(column) else each for column, each in zip(columns, _widths(columns, cells))]
    kept = list(range(len(columns)))
    for place in reversed(kept):
        if columns[place].is_optional and sum(needed[each] + 2 for each in kept) - 2 > width:
            kept = [each for each in kept if each != place]
    return kept


def _reduce_widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> List[int]:
    """Returns widths of which the widest flexible ones are reduced, as far as that helps."""
    widths = _widths(columns, cells)
    flexible = [place for place, column in enumerate(columns) if _is_flexible(column)]
    while sum(widths) + _gaps(columns) > width:
        widest = max(flexible, key=lambda place: widths[place], default=0)
        if not flexible or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _shorten_names(columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> List[List[str]]:
    by_column = [
        shorten_names([row[place] for row in cells], widths[place]) if column.kind == NAME else [row[place] for row in cells]
        for place, column in enumerate(columns)
    ]
    return [list(row) for row in zip(*by_column)]


def _without_columns(row: Sequence[str], width: int) -> List[str]:
    others = "  ".join(cell for cell in row[1:] if cell)
    return [row[0], *textwrap.wrap(others, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False)]
