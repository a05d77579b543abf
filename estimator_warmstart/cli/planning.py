"""The command `plan`: what training with some params would recover."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Sequence

from estimator_warmstart.api.dry_run import plans_from_params
from estimator_warmstart.cli.command import SUCCEEDED, Command, View, a_path, add_pattern, add_view, complain, view_of
from estimator_warmstart.cli.output import print_json, print_rows
from estimator_warmstart.cli.pages import (
    Changes,
    add_page,
    changes_of,
    check_page,
    print_page,
    read_baseline,
    write_page_of_plans,
)
from estimator_warmstart.cli.params_file import read_params_with
from estimator_warmstart.plan.plan import Plan, joint_coverage
from estimator_warmstart.plan.report import (
    recovery_rows,
    remarks,
    report_as_dict,
    report_tables,
    title_line,
    totals_line,
    unused_rows,
    unused_table,
)
from estimator_warmstart.plan.views import (
    BY_BYTES,
    BY_CHANGE,
    BY_NAME,
    KINDS_OF_PLANNED,
    choose_planned,
    scopes_table,
    total_planned,
)
from estimator_warmstart.printable import printable


def _coverage(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise ArgumentTypeError(f"must be a number from 0 to 1 (0.9 for 90 %), got {text!r}")


def add_key(parser: ArgumentParser) -> None:
    """Adds the option of all commands that read params."""
    parser.add_argument("--key", default="warm_start", help="the key in the params (default: %(default)s)")


def add_params(parser: ArgumentParser) -> None:
    """Adds the arguments that `plan` and `write` share."""
    parser.add_argument(
        "config", type=a_path, metavar="CONFIG", help="a JSON or YAML file: params with the key, or only the value of the key"
    )
    parser.add_argument(
        "--graph",
        required=True,
        type=a_path,
        metavar="META_OR_MODEL_DIR",
        help="the new model: a .meta file, or a directory whose latest checkpoint has one",
    )
    add_key(parser)


def _add_arguments(parser: ArgumentParser) -> None:
    add_params(parser)
    parser.add_argument(
        "--require-coverage",
        type=_coverage,
        metavar="SHARE",
        help="exit with 1 if old values fill less than this share, 0 to 1, of the new model's bytes",
    )
    parser.add_argument(
        "--baseline",
        type=a_path,
        metavar="FILE",
        help="compare with what `plan --json` has printed before, and exit with 1 if anything has changed",
    )
    add_pattern(parser, "show")
    add_view(parser, (BY_BYTES, BY_NAME, BY_CHANGE), KINDS_OF_PLANNED)
    add_page(parser)


def _run(arguments: Namespace) -> int:
    view = view_of(arguments, "pattern")
    check_page(arguments)
    baseline = read_baseline(arguments.baseline)
    params = read_params_with(arguments.key, arguments.config)
    plans = plans_from_params(params, arguments.key, arguments.graph)
    changes = changes_of(plans, baseline)
    write_page_of_plans(arguments, plans, changes)
    if arguments.json:
        reports = [report_as_dict(plan) for plan in plans]
        print_json(reports if baseline is None else {"plans": reports, "changes": changes})
    else:
        _print_plans(plans, view, f"No warm start: {arguments.key!r} asks for none")
        print_page(arguments)
    return _exit_code(arguments, plans, changes)


def _exit_code(arguments: Namespace, plans: Sequence[Plan], changes: Changes) -> int:
    problems = []
    coverage, required = joint_coverage(plans), arguments.require_coverage
    if required is not None and coverage < required:
        problems.append(f"coverage is {100 * coverage:.4g} %, {100 * required:.4g} % is required")
    if plans and all(plan.recovers_nothing for plan in plans):
        problems.append("nothing is recovered")
    if changes:
        told = "".join(f"\n  {printable(change['text'])}" for change in changes)
        count = f"{len(changes):,} change{'s' if len(changes) > 1 else ''}"
        problems.append(f"{count} since {printable(arguments.baseline)}:{told}")
    return max(map(complain, problems), default=SUCCEEDED)


def _print_plans(plans: Sequence[Plan], view: View, if_none: str) -> None:
    if not plans:
        print(if_none)
    for number, plan in enumerate(plans):
        if number:
            print()
        _print_plan(plan, view)


def _print_plan(plan: Plan, view: View) -> None:
    """Prints the report of training, or what a view shows of it. Like that report, it is folded in a file too."""
    folded, chosen = not view.all, choose_planned(plan, view.only, view.pattern)
    print(title_line(plan))
    if view.depth is not None:
        print_rows(total_planned(chosen, view.depth, folded), lambda totals: [scopes_table(totals, True)], view, 1, "  ")
    elif chosen.variables or not view.only:
        print_rows(recovery_rows(chosen, folded), report_tables, view, 2 / 3 if chosen.unused else 1, "  ")
    print(totals_line(plan))
    if chosen.unused:
        print(f"Old variables not used: {len(chosen.unused):,}")
        print_rows(unused_rows(chosen, folded), lambda rows: [unused_table(rows)], view, 1 / 3, "  ")
    for line in remarks(plan):
        print(line)


PLAN = Command(
    "plan",
    "show what training with these params would recover; no session is made",
    _add_arguments,
    _run,
    ("plan params.json --graph new --require-coverage 0.6", "plan params.json --graph new --only cold,adapted --sort bytes"),
)
