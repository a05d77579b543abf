"""The command `prove`: whether a warm-started Estimator computes what the old one does."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from estimator_warmstart.api.params import hooks_from_params
from estimator_warmstart.api.proof import prove_recovery
from estimator_warmstart.cli.command import SUCCEEDED, Command, a_path, complain
from estimator_warmstart.cli.output import print_json
from estimator_warmstart.cli.pages import add_page, check_page, print_page, write_page_of_proof
from estimator_warmstart.cli.params_file import read_params_with
from estimator_warmstart.cli.planning import add_key
from estimator_warmstart.cli.references import load_references


def _tolerance(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise ArgumentTypeError(f"must be a number of 0 or more, got {text!r}")


def _add_arguments(parser: ArgumentParser) -> None:
    function = "package.module:function, from the working directory or an installed package"
    parser.add_argument("old", metavar="OLD", help=f"a function that returns the old tf.estimator.Estimator: {function}")
    parser.add_argument(
        "new", metavar="NEW", help="the same for the new one, which warm_started, its model_fn or --params warm-starts"
    )
    parser.add_argument("input_fn", metavar="INPUT_FN", help="the input function, which gives features and labels")
    parser.add_argument(
        "--params",
        type=a_path,
        metavar="CONFIG",
        help="if NEW is trained with hooks_from_params of such a file: JSON or YAML, as for the command plan",
    )
    add_key(parser)
    parser.add_argument(
        "--atol",
        type=_tolerance,
        default=0.0,
        metavar="X",
        help="the largest difference of two predictions that counts as none (default: %(default)s)",
    )
    parser.add_argument(
        "--one-step", action="store_true", help="also compare the variables after one training step of both, in memory"
    )
    parser.add_argument(
        "--checkpoint", type=a_path, metavar="CKPT", help="the old model's checkpoint (default: the latest in its model_dir)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_page(parser, with_values=False)


def _run(arguments: Namespace) -> int:
    check_page(arguments)
    params = {} if arguments.params is None else read_params_with(arguments.key, arguments.params)
    hooks = hooks_from_params(params, arguments.key)
    old, new, input_fn = load_references({"OLD": arguments.old, "NEW": arguments.new}, {"INPUT_FN": arguments.input_fn})
    proof = prove_recovery(
        old, new, input_fn, atol=arguments.atol, one_step=arguments.one_step, checkpoint_path=arguments.checkpoint, hooks=hooks
    )
    write_page_of_proof(arguments, proof)
    if arguments.json:
        print_json(proof.as_dict())
    else:
        print(proof)
        print_page(arguments)
    return SUCCEEDED if proof.holds else complain("the proof does not hold")


PROVE = Command(
    "prove",
    "compare what an old Estimator and a warm-started one compute, before anything is trained",
    _add_arguments,
    _run,
    (
        "prove models:yesterdays models:todays models:evaluation_data",
        "prove models:yesterdays models:todays models:training_data --atol 1e-6 --one-step",
    ),
)
