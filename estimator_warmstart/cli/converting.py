"""The command `convert`: a checkpoint in another format."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from estimator_warmstart.cli.command import OLD_MODEL, SUCCEEDED, Command, a_path, add_partitions, partitions_of, rename_pair
from estimator_warmstart.convert.convert import convert_checkpoint
from estimator_warmstart.errors import DestinationExistsError
from estimator_warmstart.printable import printable


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", type=a_path, metavar="SOURCE", help=OLD_MODEL)
    parser.add_argument(
        "destination",
        type=a_path,
        metavar="DESTINATION",
        help="the new checkpoint's prefix, such as new/model.ckpt, or the new file, such as new/model.npz",
    )
    parser.add_argument(
        "--to",
        choices=["name", "object", "npz", "safetensors"],
        default="object",
        help="the new format: for tf.compat.v1.train.Saver, for tf.train.Checkpoint, for numpy.load, or for safetensors "
        "(default: %(default)s)",
    )
    for option, what in (("include", "convert only variables"), ("exclude", "leave out variables")):
        parser.add_argument(
            f"--{option}",
            action="append",
            metavar="PATTERN",
            help=f"{what} and scopes whose whole name this regular expression matches, with their slots; may be given several "
            "times",
        )
    parser.add_argument(
        "--rename",
        action="append",
        type=rename_pair,
        metavar="OLD=NEW",
        help="give variables other names: a pattern of old names, and the new name or scope; may be given several times",
    )
    add_partitions(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that exists at DESTINATION")


def _run(arguments: Namespace) -> int:
    try:
        place = convert_checkpoint(
            arguments.source,
            arguments.destination,
            to=arguments.to,
            rename=arguments.rename,
            include=arguments.include,
            exclude=arguments.exclude,
            partitions=partitions_of(arguments.partitions),
            overwrite=arguments.overwrite,
        )
    except DestinationExistsError as error:
        raise DestinationExistsError(error.destination, "give --overwrite") from error
    print(printable(place))
    return SUCCEEDED


CONVERT = Command(
    "convert",
    "write a whole checkpoint in another format",
    _add_arguments,
    _run,
    ("convert old converted/model.ckpt", "convert old renamed/model.ckpt --to name --rename fm=ranker/fm --overwrite"),
)
