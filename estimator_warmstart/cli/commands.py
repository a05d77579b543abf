"""The commands `list`, `diff`, `plan` and `convert`: each hands its arguments on, and prints what comes back.

Enters: parsed arguments. Leaves: text or JSON on stdout, progress on stderr, an exit code. This module must not know how
anything that it prints was found out.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Dict, List, Mapping, Sequence

from estimator_warmstart.api.dry_run import plans_from_params
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.statistics import value_statistics
from estimator_warmstart.cli.differences import (
    EXPLANATIONS,
    KINDS,
    ONLY_NEW,
    ONLY_OLD,
    RENAMED,
    SAME,
    differences_as_dict,
    find_differences,
)
from estimator_warmstart.cli.listing import count_all, list_variables, listing_as_dict
from estimator_warmstart.cli.params_file import read_params
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.plan.plan import joint_coverage
from estimator_warmstart.plan.report import format_report, report_as_dict
from estimator_warmstart.printable import printable
from estimator_warmstart.text_output import PROGRAM, is_coloured, paint, progress_line, table, width_of

_SUCCEEDED, _DIFFERS = 0, 1
_COLOURS = {ONLY_OLD: "red", ONLY_NEW: "green"}


def _list(arguments: Any) -> int:
    listing = list_variables(open_checkpoint(arguments.checkpoint, needs_data=arguments.stats), arguments.pattern)
    statistics: Dict[str, Any] = {}
    if arguments.stats:
        with progress_line("Reading values") as progress:
            statistics = value_statistics(listing.checkpoint, listing.variables, progress)
    if arguments.json:
        _print_json(listing_as_dict(listing, statistics))
    else:
        _print_listing(listing, statistics, arguments.stats)
    problems = listing.checkpoint.problems
    if not problems:
        return _SUCCEEDED
    sys.stdout.flush()
    print(f"{PROGRAM}: the checkpoint is not whole, this is what its index says: {'; '.join(problems)}", file=sys.stderr)
    return _DIFFERS


def _print_listing(listing: Any, statistics: Dict[str, Any], with_statistics: bool) -> None:
    has_paths = listing.has_paths
    numbers = ["min", "max", "mean", "norm", "NaN"]
    header = ["variable"] + ["path"] * has_paths + ["shape", "dtype", "bytes"] + (numbers if with_statistics else ["slots"])
    rows = []
    for entry in listing.entries:
        own = _numbers(statistics.get(entry.variable.name)) if with_statistics else [", ".join(entry.slot_labels)]
        rows.append([entry.variable.name, *_described(entry.variable, has_paths), *own])
        for slot, label in zip(entry.slots, entry.slot_labels) if with_statistics else ():
            own = _numbers(statistics.get(slot.variable.name))
            rows.append([f"  {label}", *_described(slot.variable, has_paths), *own])
    print(printable(listing.checkpoint.title))
    has_nan = [with_statistics and row[-1] not in ("", "0") for row in rows]
    _print_table(header, rows, ["red" if nan else "" for nan in has_nan], ["bytes"] + numbers * with_statistics)
    count, nbytes = count_all(entry.variable for entry in listing.entries)
    slot_count, slot_bytes = count_all(slot.variable for entry in listing.entries for slot in entry.slots)
    print(f"Variables: {count:,}, {nbytes:,} bytes; slots: {slot_count:,}, {slot_bytes:,} bytes")


def _described(variable: Any, with_path: bool) -> List[str]:
    parts = f" in {len(variable.slices)} parts" if variable.slices else ""
    path = [variable.path if variable.path != variable.name else ""] if with_path else []
    return [*path, f"{list(variable.shape)}{parts}", variable.dtype, f"{variable.nbytes:,}"]


def _numbers(statistics: Any) -> List[str]:
    if statistics is None:
        return [""] * 5
    values = (statistics.minimum, statistics.maximum, statistics.mean, statistics.norm)
    return [_number(value) for value in values] + [f"{statistics.nan_count:,}"]


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _diff(arguments: Any) -> int:
    differences = find_differences(open_checkpoint(arguments.old), open_checkpoint(arguments.new))
    if arguments.json:
        _print_json(differences_as_dict(differences))
    else:
        _print_differences(differences)
    return _DIFFERS if differences.differs else _SUCCEEDED


def _print_differences(differences: Any) -> None:
    shown = [each for each in differences.found if each.kind != SAME or each.slots]
    print(f"Old: {printable(differences.old.title)}\nNew: {printable(differences.new.title)}")
    if shown:
        rows = [[*_named(each.old), *_named(each.new), each.described] for each in shown]
        _print_table(
            ["old variable", "shape", "new variable", "shape", "difference"],
            rows,
            [_COLOURS.get(each.kind, "yellow") for each in shown],
        )
    counts = [(kind, len(differences.of_kind(kind))) for kind in KINDS]
    print("; ".join(f"{kind}: {count:,}" for kind, count in counts if count or kind == SAME))
    for kind, _ in counts:
        if kind in EXPLANATIONS and differences.of_kind(kind):
            print(f"{kind[0].upper()}{kind[1:]}: {EXPLANATIONS[kind]}")
        if kind == RENAMED and differences.of_kind(kind):
            rename, recover_vars = dict(differences.rename), differences.recover_vars
            print(f"  rename={rename!r}" if rename else f"  recover_vars={recover_vars!r}")


def _named(variable: Any) -> List[str]:
    return ["-", ""] if variable is None else [variable.name, str(list(variable.shape))]


def _plan(arguments: Any) -> int:
    params = _with_key(read_params(arguments.config), arguments.key, arguments.config)
    plans = plans_from_params(params, arguments.key, arguments.graph)
    if arguments.json:
        _print_json([report_as_dict(plan) for plan in plans])
    else:
        print("\n\n".join(map(format_report, plans)) or f"No warm start: {arguments.key!r} asks for none")
    coverage, required = joint_coverage(plans), arguments.require_coverage
    if required is not None and coverage < required:
        problem = f"coverage is {100 * coverage:.4g} %, {100 * required:.4g} % is required"
    elif plans and all(plan.recovers_nothing for plan in plans):
        problem = "nothing is recovered"
    else:
        return _SUCCEEDED
    sys.stdout.flush()
    print(f"{PROGRAM}: {problem}", file=sys.stderr)
    return _DIFFERS


def _with_key(params: Any, key: str, path: str) -> Any:
    """`params` as a mapping with `key`: what stands under the key may be the whole file."""
    if isinstance(params, list) or (isinstance(params, dict) and key not in params and "ckp_dir" in params):
        return {key: params}
    if not isinstance(params, dict):
        raise WarmStartError(f"{path} must hold a mapping, got {params!r}")
    if key not in params:
        hint = did_you_mean(key, [str(name) for name in params])
        raise WarmStartError(f"{path} has no key {key!r}{hint}, nor a ckp_dir, as a warm start itself has; --key names another")
    return params


def _convert(arguments: Any) -> int:
    try:
        place = convert_checkpoint(arguments.source, arguments.destination, to=arguments.to, overwrite=arguments.overwrite)
    except WarmStartError as error:
        raise WarmStartError(str(error).replace("say overwrite=True", "give --overwrite")) from error
    print(printable(place))
    return _SUCCEEDED


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str], right: Sequence[str] = ()
) -> None:
    lines = table(header, rows, right, width_of(sys.stdout))
    painted = is_coloured(sys.stdout)
    for line, colour in zip(lines, ["", "", *colours]):
        print(paint(line, colour) if painted else line)


COMMANDS: Mapping[str, Callable[[Any], int]] = {"convert": _convert, "diff": _diff, "list": _list, "plan": _plan}
