"""The command `diff`: what differs for a warm start of a new model from an old one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import List, Sequence

from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.keras_files import is_keras_file, open_keras_file
from estimator_warmstart.cli.command import DIFFERS, OLD_MODEL, SUCCEEDED, Command, View, a_path, add_pattern, add_view, view_of
from estimator_warmstart.cli.output import is_folded, print_json, print_rows
from estimator_warmstart.cli.pages import add_page, check_page, print_page, write_page_of_differences
from estimator_warmstart.cli.params_file import check_no_params, write_params
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.difference_rows import (
    KINDS_TO_SHOW,
    choose_differences,
    difference_rows,
    matching_differences,
    total_differences,
)
from estimator_warmstart.plan.differences import (
    KINDS_OF_DIFFERENCE,
    ONLY_NEW,
    ONLY_OLD,
    RENAMED,
    RESIZED,
    RETYPED,
    SAME,
    Differences,
    differences_as_dict,
    find_differences,
    warm_start_params,
    with_values,
)
from estimator_warmstart.plan.report import Row
from estimator_warmstart.plan.views import BY_BYTES, BY_CHANGE, BY_NAME, scopes_table
from estimator_warmstart.printable import printable
from estimator_warmstart.progress import progress_line
from estimator_warmstart.tables import NAME, WORDS, Column, Table

_MOST_SHOWN_RENAMES = 10
_EXPLANATIONS = {
    RENAMED: "a guess by shape, dtype and name; no hook makes it. If it is right, tell the hook:",
    RESIZED: "adapters={} (or ShapeAdaptingRecoverHook) takes what fits; without, it is an error",
    RETYPED: "no hook takes it as it is; adapters.cast() casts it, or exclude it",
    ONLY_OLD: "not used",
    ONLY_NEW: "left as initialized",
}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("old", type=a_path, metavar="OLD", help=OLD_MODEL)
    parser.add_argument(
        "new",
        type=a_path,
        metavar="NEW",
        help="the same for a checkpoint of the new model; or its .weights.h5, .h5 or .keras file",
    )
    parser.add_argument(
        "--write-params",
        type=a_path,
        metavar="FILE",
        help="write the params of such a warm start, with the guessed renames, to a new file, ready to edit: YAML if its name "
        "ends in .yaml or .yml, else JSON",
    )
    add_pattern(parser, "compare")
    add_view(parser, (BY_BYTES, BY_NAME, BY_CHANGE), KINDS_TO_SHOW)
    add_page(parser)


def _run(arguments: Namespace) -> int:
    view = view_of(arguments)
    check_page(arguments, shows_values=True)
    if arguments.write_params is not None:
        check_no_params(arguments.write_params)
    opened = open_keras_file if is_keras_file(arguments.new) else open_checkpoint
    if arguments.values and opened is open_keras_file:
        raise WarmStartError("--values: the values of a Keras file are not read; give a checkpoint of the new model")
    differences = find_differences(open_checkpoint(arguments.old), opened(arguments.new))
    if arguments.write_params is not None:
        write_params(arguments.write_params, {"warm_start": warm_start_params(differences, arguments.old)})
    write_page_of_differences(arguments, differences)
    differences = matching_differences(differences, view.pattern)
    if arguments.values and (arguments.html is None or not is_keras_file(arguments.new)):
        with progress_line("Reading values") as progress:
            differences = with_values(differences, progress)
    if arguments.json:
        print_json(differences_as_dict(differences))
    else:
        _print_differences(differences, view)
        if arguments.write_params is not None:
            print(f"Params: {printable(arguments.write_params)}, to be edited")
        print_page(arguments)
    return DIFFERS if differences.differs else SUCCEEDED


def _print_differences(differences: Differences, view: View) -> None:
    print(f"Old: {printable(differences.old.title)}\nNew: {printable(differences.new.title)}")
    chosen, folded = choose_differences(differences.found, view.only), is_folded(view)
    if view.depth is not None:
        totals = total_differences(chosen if view.only else differences.found, view.depth, folded)
        print_rows(totals, lambda rows: [scopes_table(rows)], view)
    elif chosen:
        print_rows(difference_rows(chosen, folded), _tables_of, view)
    counts = [(kind, len(differences.of_kind(kind))) for kind in KINDS_OF_DIFFERENCE]
    print("; ".join(f"{kind}: {count:,}" for kind, count in counts if count or kind == SAME))
    for kind, _ in counts:
        if kind in _EXPLANATIONS and differences.of_kind(kind):
            print(f"{kind[0].upper()}{kind[1:]}: {_EXPLANATIONS[kind]}")
        if kind == RENAMED and differences.of_kind(kind):
            print(f"  {_as_argument(differences, folded)}")


def _as_argument(differences: Differences, shortened: bool) -> str:
    """Returns the guessed renames as an argument for a hook; shortened, only their number if they are many."""
    name, value = ("rename", dict(differences.rename)) if differences.rename else ("recover_vars", differences.recover_vars)
    if shortened and len(value) > _MOST_SHOWN_RENAMES:
        return f"{name}={{...}} of {len(value):,} names; --write-params FILE writes it, --all shows it"
    return f"{name}={value!r}"


def _colour_of(row: Row) -> str:
    if row.what == SAME:
        return ""
    return "green" if row.old == "-" else "red" if row.new == "-" else "yellow"


def _tables_of(rows: Sequence[Row]) -> List[Table]:
    wide = [Column("old variable", NAME), Column("shape"), Column("new variable", NAME), Column("shape")]
    narrow = [Column("variable", NAME), Column("shape")]
    words = Column("difference", WORDS)
    colours = [_colour_of(row) for row in rows]
    return [
        Table([*wide, words], [[row.old, row.old_shape, row.new, row.new_shape, row.what] for row in rows], colours),
        Table([*narrow, words], [[row.name, row.shapes, row.words] for row in rows], colours),
    ]


DIFF = Command(
    "diff",
    "compare two checkpoints: what differs for a warm start of the new model from the old one",
    _add_arguments,
    _run,
    ("diff old new", "diff old new --write-params warm_start.json"),
)
