"""The commands `list`, `diff`, `plan` and `convert`: each passes its arguments on, prints the result, returns an exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from estimator_warmstart.api.dry_run import plans_from_params
from estimator_warmstart.checkpoint.checkpoint import OldVariable, open_checkpoint
from estimator_warmstart.checkpoint.keras_files import is_keras_file, open_keras_file
from estimator_warmstart.checkpoint.listing import Listing, count_all, list_variables, listing_as_dict
from estimator_warmstart.checkpoint.statistics import Number, Statistics, value_statistics
from estimator_warmstart.cli.params_file import check_no_params, read_params_with, write_params
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import DestinationExistsError
from estimator_warmstart.plan.differences import (
    KINDS_OF_DIFFERENCE,
    ONLY_NEW,
    ONLY_OLD,
    RENAMED,
    RESIZED,
    RETYPED,
    SAME,
    Difference,
    Differences,
    differences_as_dict,
    find_differences,
    warm_start_params,
)
from estimator_warmstart.plan.plan import joint_coverage
from estimator_warmstart.plan.report import format_report, report_as_dict
from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import PROGRAM, format_table, is_coloured, paint, progress_line, width_of

_SUCCEEDED, _DIFFERS = 0, 1
_COLOURS = {ONLY_OLD: "red", ONLY_NEW: "green"}
_EXPLANATIONS = {
    RENAMED: "a guess by shape, dtype and name; no hook makes it. If it is right, tell the hook:",
    RESIZED: "adapters={} (or ShapeAdaptingRecoverHook) takes what fits; without, it is an error",
    RETYPED: "no hook takes it as it is; adapters.cast() casts it, or exclude it",
    ONLY_OLD: "not used",
    ONLY_NEW: "left as initialized",
}


def _list_command(arguments: Namespace) -> int:
    checkpoint = open_checkpoint(arguments.checkpoint, needs_data=arguments.stats)
    listing = list_variables(checkpoint, arguments.pattern, "--pattern")
    statistics: Dict[str, Statistics] = {}
    if arguments.stats:
        with progress_line("Reading values") as progress:
            statistics = value_statistics(checkpoint, listing.variables, progress)
    if arguments.json:
        _print_json(listing_as_dict(listing, statistics))
    else:
        _print_listing(listing, statistics, arguments.stats)
    if not checkpoint.problems:
        return _SUCCEEDED
    problems = "; ".join(checkpoint.problems)
    return _complain(f"the checkpoint is not whole, and the list is what its index says: {problems}")


def _complain(problem: str) -> int:
    """Says on stderr why the exit code is not 0, after what is on stdout."""
    sys.stdout.flush()
    print(f"{PROGRAM}: {problem}", file=sys.stderr)
    return _DIFFERS


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
    _print_table(header, rows, ["red" if nan else "" for nan in has_nan], ["bytes"] + numbers * with_statistics)
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


def _diff_command(arguments: Namespace) -> int:
    if arguments.write_params is not None:
        check_no_params(arguments.write_params)
    opened = open_keras_file if is_keras_file(arguments.new) else open_checkpoint
    differences = find_differences(open_checkpoint(arguments.old), opened(arguments.new))
    if arguments.write_params is not None:
        write_params(arguments.write_params, {"warm_start": warm_start_params(differences, arguments.old)})
    if arguments.json:
        _print_json(differences_as_dict(differences))
    else:
        _print_differences(differences)
        if arguments.write_params is not None:
            print(f"Params: {printable(arguments.write_params)}, to be edited")
    return _DIFFERS if differences.differs else _SUCCEEDED


def _print_differences(differences: Differences) -> None:
    shown = [each for each in differences.found if each.kind != SAME or each.slots]
    print(f"Old: {printable(differences.old.title)}\nNew: {printable(differences.new.title)}")
    if shown:
        rows = [[*_name_and_shape(each.old), *_name_and_shape(each.new), _in_words(each)] for each in shown]
        _print_table(
            ["old variable", "shape", "new variable", "shape", "difference"],
            rows,
            [_COLOURS.get(each.kind, "yellow") for each in shown],
        )
    counts = [(kind, len(differences.of_kind(kind))) for kind in KINDS_OF_DIFFERENCE]
    print("; ".join(f"{kind}: {count:,}" for kind, count in counts if count or kind == SAME))
    for kind, _ in counts:
        if kind in _EXPLANATIONS and differences.of_kind(kind):
            print(f"{kind[0].upper()}{kind[1:]}: {_EXPLANATIONS[kind]}")
        if kind == RENAMED and differences.of_kind(kind):
            rename, recover_vars = dict(differences.rename), differences.recover_vars
            print(f"  rename={rename!r}" if rename else f"  recover_vars={recover_vars!r}")


def _in_words(difference: Difference) -> str:
    words = difference.kind
    if words == RENAMED:
        words += "?"
        if difference.old and difference.new and difference.old.shape != difference.new.shape:
            words += f", {RESIZED}"
    elif words == RETYPED and difference.old and difference.new:
        words += f" {difference.old.dtype} -> {difference.new.dtype}"
    return words + (f"; slots: {', '.join(difference.slots)}" if difference.slots else "")


def _name_and_shape(variable: Optional[OldVariable]) -> List[str]:
    return ["-", ""] if variable is None else [variable.name, str(list(variable.shape))]


def _plan_command(arguments: Namespace) -> int:
    params = read_params_with(arguments.key, arguments.config)
    plans = plans_from_params(params, arguments.key, arguments.graph)
    if arguments.json:
        _print_json([report_as_dict(plan) for plan in plans])
    else:
        print("\n\n".join(map(format_report, plans)) or f"No warm start: {arguments.key!r} asks for none")
    coverage, required = joint_coverage(plans), arguments.require_coverage
    if required is not None and coverage < required:
        return _complain(f"coverage is {100 * coverage:.4g} %, {100 * required:.4g} % is required")
    if plans and all(plan.recovers_nothing for plan in plans):
        return _complain("nothing is recovered")
    return _SUCCEEDED


def _convert_command(arguments: Namespace) -> int:
    try:
        place = convert_checkpoint(
            arguments.source,
            arguments.destination,
            to=arguments.to,
            rename=arguments.rename,
            overwrite=arguments.overwrite,
        )
    except DestinationExistsError as error:
        raise DestinationExistsError(error.destination, "give --overwrite") from error
    print(printable(place))
    return _SUCCEEDED


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str], right: Sequence[str] = ()
) -> None:
    lines = format_table(header, rows, right, width_of(sys.stdout))
    painted = is_coloured(sys.stdout)
    for line, colour in zip(lines, ["", "", *colours]):
        print(paint(line, colour) if painted else line)


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {
    "convert": _convert_command,
    "diff": _diff_command,
    "list": _list_command,
    "plan": _plan_command,
}
