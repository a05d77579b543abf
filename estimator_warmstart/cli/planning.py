"""The command `plan`: what training with some params would recover."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from estimator_warmstart.api.dry_run import plans_from_params
from estimator_warmstart.cli.command import SUCCEEDED, Command, add_json, complain
from estimator_warmstart.cli.output import print_json
from estimator_warmstart.cli.params_file import read_params_with
from estimator_warmstart.plan.plan import joint_coverage
from estimator_warmstart.plan.report import format_report, report_as_dict


def _coverage(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise ArgumentTypeError(f"must be a number from 0 to 1 (0.9 for 90 %), got {text!r}")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", help="a JSON or YAML file: params with the key, or only the value of the key"
    )
    parser.add_argument(
        "--graph",
        required=True,
        metavar="META_OR_MODEL_DIR",
        help="the new model: a .meta file, or a directory whose latest checkpoint has one",
    )
    parser.add_argument("--key", default="warm_start", help="the key in the params (default: %(default)s)")
    parser.add_argument(
        "--require-coverage",
        type=_coverage,
        metavar="SHARE",
        help="exit with 1 if old values fill less than this share, 0 to 1, of the new model's bytes",
    )
    add_json(parser)


def _run(arguments: Namespace) -> int:
    params = read_params_with(arguments.key, arguments.config)
    plans = plans_from_params(params, arguments.key, arguments.graph)
    if arguments.json:
        print_json([report_as_dict(plan) for plan in plans])
    else:
        print("\n\n".join(map(format_report, plans)) or f"No warm start: {arguments.key!r} asks for none")
    coverage, required = joint_coverage(plans), arguments.require_coverage
    if required is not None and coverage < required:
        return complain(f"coverage is {100 * coverage:.4g} %, {100 * required:.4g} % is required")
    if plans and all(plan.recovers_nothing for plan in plans):
        return complain("nothing is recovered")
    return SUCCEEDED


PLAN = Command(
    "plan",
    "show what training with these params would recover; no session is made",
    _add_arguments,
    _run,
    ("plan params.json --graph new", "plan params.json --graph new/model.ckpt-0.meta --require-coverage 0.6"),
)
