"""The command `list`: what is in a checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Dict, List, Optional

from estimator_warmstart.checkpoint.checkpoint import OldVariable, open_checkpoint
from estimator_warmstart.checkpoint.listing import Listing, count_all, list_variables, listing_as_dict
from estimator_warmstart.checkpoint.statistics import Number, Statistics, value_statistics
from estimator_warmstart.cli.command import OLD_MODEL, SUCCEEDED, Command, add_json, complain
from estimator_warmstart.cli.output import print_json, print_table
from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import progress_line


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help=OLD_MODEL)
    parser.add_argument(
        "--pattern",
        action="append",
        help="list only variables and scopes whose whole name this regular expression matches; may be given several times",
    )
    parser.add_argument("--stats", action="store_true", help="read all values: show min, max, mean, norm and the number of NaN")
    add_json(parser)


def _run(arguments: Namespace) -> int:
    checkpoint = open_checkpoint(arguments.checkpoint, needs_data=arguments.stats)
    listing = list_variables(checkpoint, arguments.pattern, "--pattern")
    statistics: Dict[str, Statistics] = {}
    if arguments.stats:
        with progress_line("Reading values") as progress:
            statistics = value_statistics(checkpoint, listing.variables, progress)
    if arguments.json:
        print_json(listing_as_dict(listing, statistics))
    else:
        _print_listing(listing, statistics, arguments.stats)
    if not checkpoint.problems:
        return SUCCEEDED
    problems = "; ".join(checkpoint.problems)
    return complain(f"the checkpoint is not whole, and the list is what its index says: {problems}")


def _print_listing(listing: Listing, statistics: Dict[str, Statistics], with_statistics: bool) -> None:
    has_paths = listing.has_paths
    numbers = ["min", "max", "mean", "norm", "NaN"]
    header = ["variable"] + ["path"] * has_paths + ["shape", "dtype", "bytes"] + (numbers if with_statistics else ["slots"])
    rows = []
    for entry in listing.entries:
        last = _statistics_cells(statistics.get(entry.variable.name)) if with_statistics else [", ".join(entry.slot_labels)]
        rows.append([entry.variable.name, *_variable_cells(entry.variable, has_paths), *last])
        for slot, label in zip(entry.slots, entry.slot_labels) if with_statistics else ():
            last = _statistics_cells(statistics.get(slot.variable.name))
            rows.append([f"  {label}", *_variable_cells(slot.variable, has_paths), *last])
    print(printable(listing.checkpoint.title))
    has_nan = [with_statistics and row[-1] not in ("", "0") for row in rows]
    print_table(header, rows, ["red" if nan else "" for nan in has_nan], ["bytes"] + numbers * with_statistics)
    count, nbytes = count_all(entry.variable for entry in listing.entries)
    slot_count, slot_bytes = count_all(slot.variable for entry in listing.entries for slot in entry.slots)
    print(f"Variables: {count:,}, {nbytes:,} bytes; slots: {slot_count:,}, {slot_bytes:,} bytes")


def _variable_cells(variable: OldVariable, with_path: bool) -> List[str]:
    parts = f" in {len(variable.slices)} parts" if variable.slices else ""
    path = [variable.path if variable.path != variable.name else ""] if with_path else []
    return [*path, f"{list(variable.shape)}{parts}", variable.dtype, f"{variable.nbytes:,}"]


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
