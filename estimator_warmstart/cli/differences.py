"""The command `diff`: what differs for a warm start of a new model from an old one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import List, Optional

from estimator_warmstart.checkpoint.checkpoint import OldVariable, open_checkpoint
from estimator_warmstart.checkpoint.keras_files import is_keras_file, open_keras_file
from estimator_warmstart.cli.command import DIFFERS, OLD_MODEL, SUCCEEDED, Command, add_json
from estimator_warmstart.cli.output import print_json, print_table
from estimator_warmstart.cli.pages import add_page, check_page, print_page, write_page_of_differences
from estimator_warmstart.cli.params_file import check_no_params, write_params
from estimator_warmstart.errors import WarmStartError
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
from estimator_warmstart.printable import printable

_COLOURS = {ONLY_OLD: "red", ONLY_NEW: "green"}
_EXPLANATIONS = {
    RENAMED: "a guess by shape, dtype and name; no hook makes it. If it is right, tell the hook:",
    RESIZED: "adapters={} (or ShapeAdaptingRecoverHook) takes what fits; without, it is an error",
    RETYPED: "no hook takes it as it is; adapters.cast() casts it, or exclude it",
    ONLY_OLD: "not used",
    ONLY_NEW: "left as initialized",
}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help=OLD_MODEL)
    parser.add_argument(
        "new", metavar="NEW", help="the same for a checkpoint of the new model; or its .weights.h5, .h5 or .keras file"
    )
    parser.add_argument(
        "--write-params",
        metavar="FILE",
        help="write the params of such a warm start, with the guessed renames, to a new file, ready to edit: YAML if its name "
        "ends in .yaml or .yml, else JSON",
    )
    add_json(parser)
    add_page(parser)


def _run(arguments: Namespace) -> int:
    check_page(arguments)
    if arguments.write_params is not None:
        check_no_params(arguments.write_params)
    opened = open_keras_file if is_keras_file(arguments.new) else open_checkpoint
    if arguments.values and opened is open_keras_file:
        raise WarmStartError("--values: the values of a Keras file are not read; give a checkpoint of the new model")
    differences = find_differences(open_checkpoint(arguments.old), opened(arguments.new))
    if arguments.write_params is not None:
        write_params(arguments.write_params, {"warm_start": warm_start_params(differences, arguments.old)})
    write_page_of_differences(arguments, differences)
    if arguments.json:
        print_json(differences_as_dict(differences))
    else:
        _print_differences(differences)
        if arguments.write_params is not None:
            print(f"Params: {printable(arguments.write_params)}, to be edited")
        print_page(arguments)
    return DIFFERS if differences.differs else SUCCEEDED


def _print_differences(differences: Differences) -> None:
    shown = [each for each in differences.found if each.kind != SAME or each.slots]
    print(f"Old: {printable(differences.old.title)}\nNew: {printable(differences.new.title)}")
    if shown:
        rows = [[*_name_and_shape(each.old), *_name_and_shape(each.new), _in_words(each)] for each in shown]
        print_table(
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


DIFF = Command(
    "diff",
    "compare two checkpoints: what differs for a warm start of the new model from the old one",
    _add_arguments,
    _run,
    ("diff old new", "diff old new --write-params warm_start.json"),
)
