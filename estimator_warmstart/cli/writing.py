"""The command `write`: the checkpoint that a warm-started training would begin with."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from estimator_warmstart.api.dry_run import plans_from_params
from estimator_warmstart.cli.command import SUCCEEDED, Command, a_path, add_partitions, partitions_of
from estimator_warmstart.cli.params_file import read_params_with
from estimator_warmstart.cli.planning import add_params
from estimator_warmstart.convert.write import write_checkpoint
from estimator_warmstart.errors import DestinationExistsError, WarmStartError
from estimator_warmstart.printable import printable


def _add_arguments(parser: ArgumentParser) -> None:
    add_params(parser)
    parser.add_argument(
        "--to",
        required=True,
        type=a_path,
        metavar="DESTINATION",
        help="the new checkpoint's prefix in the new model's directory, such as model_dir/model.ckpt-0",
    )
    add_partitions(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="write into a directory that has a checkpoint already, and replace it"
    )


def _run(arguments: Namespace) -> int:
    plans = plans_from_params(read_params_with(arguments.key, arguments.config), arguments.key, arguments.graph)
    if not plans:
        raise WarmStartError(f"no warm start: {arguments.key!r} asks for none, so there is nothing to write")
    partitions = partitions_of(arguments.partitions)
    try:
        place = write_checkpoint(plans, arguments.to, partitions=partitions, overwrite=arguments.overwrite)
    except DestinationExistsError as error:
        raise DestinationExistsError(error.destination, "give --overwrite") from error
    print(printable(place))
    return SUCCEEDED


WRITE = Command(
    "write",
    "write the checkpoint that training with these params would begin with; no session of the model is made",
    _add_arguments,
    _run,
    (
        "write params.json --graph new --to model_dir/model.ckpt-0",
        "write params.json --graph new --to model_dir/model.ckpt-0 --partitions ranker/fm/v=2 --overwrite",
    ),
)
