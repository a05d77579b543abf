"""The command `list`: what is in a checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Dict, List, Optional, Sequence

from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.listing import Listing, count_all, list_variables, listing_as_dict
from estimator_warmstart.checkpoint.listing_rows import (
    ListedRow,
    ListedTensor,
    listed_scopes_table,
    listing_rows,
    total_listed,
)
from estimator_warmstart.checkpoint.statistics import Number, Statistics, value_statistics
from estimator_warmstart.cli.command import (
    OLD_MODEL,
    SUCCEEDED,
    Command,
    View,
    a_path,
    add_pattern,
    add_view,
    complain,
    view_of,
)
from estimator_warmstart.cli.output import is_folded, print_json, print_rows
from estimator_warmstart.plan.views import BY_BYTES, BY_NAME
from estimator_warmstart.printable import printable
from estimator_warmstart.progress import progress_line
from estimator_warmstart.tables import NAME, NUMBER, WORDS, Column, Table


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=a_path, metavar="CKPT", help=OLD_MODEL)
    add_pattern(parser, "list")
    parser.add_argument("--stats", action="store_true", help="read all values: show min, max, mean, norm and the number of NaN")
    add_view(parser, (BY_BYTES, BY_NAME))


def _run(arguments: Namespace) -> int:
    view = view_of(arguments)
    checkpoint = open_checkpoint(arguments.checkpoint, needs_data=arguments.stats)
    listing = list_variables(checkpoint, arguments.pattern, "--pattern")
    statistics: Dict[str, Statistics] = {}
    if arguments.stats:
        with progress_line("Reading values") as progress:
            statistics = value_statistics(checkpoint, listing.variables, progress)
    if arguments.json:
        print_json(listing_as_dict(listing, statistics))
    else:
        _print_listing(listing, statistics, arguments.stats, view)
    if not checkpoint.problems:
        return SUCCEEDED
    problems = "; ".join(checkpoint.problems)
    return complain(f"the checkpoint is not whole, and the list is what its index says: {problems}")


def _print_listing(listing: Listing, statistics: Dict[str, Statistics], with_statistics: bool, view: View) -> None:
    print(printable(listing.checkpoint.title))
    if view.depth is not None:
        print_rows(total_listed(listing, view.depth, is_folded(view)), lambda totals: [listed_scopes_table(totals)], view)
    else:
        tables_of = _statistics_tables if with_statistics else _tables
        print_rows(listing_rows(listing, statistics, is_folded(view)), tables_of, view)
    count, nbytes = count_all(entry.variable for entry in listing.entries)
    slot_count, slot_bytes = count_all(slot.variable for entry in listing.entries for slot in entry.slots)
    print(f"Variables: {count:,}, {nbytes:,} bytes; slots: {slot_count:,}, {slot_bytes:,} bytes")


def _tables(rows: Sequence[ListedRow]) -> List[Table]:
    paths = [Column("path", NAME)] if any(row.variable.path for row in rows) else []
    columns = [Column("variable", NAME), *paths, Column("shape"), Column("dtype", is_optional=True), Column("bytes", NUMBER)]
    cells = [
        [row.name, *([row.variable.path] if paths else []), row.variable.shape, row.variable.dtype, f"{row.nbytes:,}"]
        for row in rows
    ]
    labels = [", ".join(slot.name for slot in row.slots) for row in rows]
    return [Table([*columns, Column("slots", WORDS)], [[*line, label] for line, label in zip(cells, labels)])]


def _statistics_tables(rows: Sequence[ListedRow]) -> List[Table]:
    tensors = [tensor for row in rows for tensor in (row.variable, *(_indented(slot) for slot in row.slots))]
    paths = [Column("path", NAME, is_optional=True)] if any(each.path for each in tensors) else []
    columns = [Column("variable", NAME), *paths, Column("shape"), Column("dtype", is_optional=True)]
    columns += [Column("bytes", NUMBER, is_optional=True)]
    columns += [Column(title, NUMBER) for title in ("min", "max", "mean", "norm", "NaN")]
    cells = [
        [
            each.name,
            *([each.path] if paths else []),
            each.shape,
            each.dtype,
            f"{each.nbytes:,}",
            *_statistics_cells(each.statistics),
        ]
        for each in tensors
    ]
    return [Table(columns, cells, ["red" if line[-1] not in ("", "0") else "" for line in cells])]


def _indented(slot: ListedTensor) -> ListedTensor:
    return slot._replace(name=f"  {slot.name}")


def _statistics_cells(statistics: Optional[Statistics]) -> List[str]:
    if statistics is None:
        return [""] * 5
    values = (statistics.minimum, statistics.maximum, statistics.mean, statistics.norm)
    return [_shown_number(value) for value in values] + [f"{statistics.nan_count:,}"]


def _shown_number(value: Optional[Number]) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


LIST = Command(
    "list",
    "list what a checkpoint holds",
    _add_arguments,
    _run,
    ("list old", "list old --pattern fm --pattern global_step --stats"),
)
