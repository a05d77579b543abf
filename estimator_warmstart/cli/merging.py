"""The command `merge`: the mean of several checkpoints, such as the last ones of a run."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from typing import List

from estimator_warmstart.checkpoint.locate import last_checkpoints
from estimator_warmstart.cli.command import OLD_MODEL, SUCCEEDED, Command, a_path
from estimator_warmstart.convert.merge import merge_checkpoints
from estimator_warmstart.errors import DestinationExistsError, WarmStartError
from estimator_warmstart.printable import printable


def _count(text: str) -> int:
    if text.isdigit() and int(text) >= 2:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number of checkpoints, 2 or more, got {text!r}")


def _weights(text: str) -> List[float]:
    try:
        return [float(weight) for weight in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between them, got {text!r}") from error


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "sources", type=a_path, metavar="SOURCE", nargs="+", help=f"two or more, the last one last; each is {OLD_MODEL}"
    )
    parser.add_argument(
        "destination", type=a_path, metavar="DESTINATION", help="the new checkpoint's prefix, such as merged/model.ckpt"
    )
    parser.add_argument(
        "--last",
        type=_count,
        metavar="N",
        help="merge the last N checkpoints that the file `checkpoint` of SOURCE lists, the directory of a run",
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        metavar="W,W,...",
        help="a weight for each checkpoint, in their order; without, all are the same",
    )
    parser.add_argument("--with-slots", action="store_true", help="merge the optimizer's state too; without, it is left out")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that exists at DESTINATION")


def _run(arguments: Namespace) -> int:
    sources = arguments.sources
    if arguments.last is not None:
        if len(sources) > 1:
            raise WarmStartError(f"--last takes the checkpoints of one run, got {len(sources)} sources; give its directory")
        sources = last_checkpoints(sources[0], arguments.last)
    try:
        place = merge_checkpoints(
            sources,
            arguments.destination,
            weights=arguments.weights,
            with_slots=arguments.with_slots,
            overwrite=arguments.overwrite,
        )
    except DestinationExistsError as error:
        raise DestinationExistsError(error.destination, "give --overwrite") from error
    print(printable(place))
    return SUCCEEDED


MERGE = Command(
    "merge",
    "write the mean of several checkpoints of one model",
    _add_arguments,
    _run,
    ("merge run merged/model.ckpt --last 3", "merge run/model.ckpt-8 run/model.ckpt-9 weighted/model.ckpt --weights 1,3"),
)
