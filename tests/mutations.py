"""Reads a thousand files with random damage. A test runs this in a process of its own, which no such file may end.

Arguments: a folder to work in, the first number, the one after the last. Prints each number before it is tried.
"""

import os
import pathlib
import random
import struct
import sys
import warnings

import tensorflow as tf

from crafted_files import MAGIC, good, masked, object_based, object_graph, varint
from estimator_warmstart import convert_checkpoint, plan_recovery
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint
from estimator_warmstart.checkpoint.statistics import value_statistics
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.meta_graph import import_graph

tf1 = tf.compat.v1


def mutated(chance, content):
    """`content` with one to four changes."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content) + 1)
        much = chance.choice([1, 1, 1, 2, 8])
        change = chance.choice(["set", "set", "flip", "insert", "remove", "repeat"])
        if change == "set":
            content[at : at + 1] = bytes([chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])])
        elif change == "flip" and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif change == "insert":
            content[at:at] = bytes(chance.randrange(256) for _ in range(much))
        elif change == "remove":
            del content[at : at + much]
        else:
            content[at:at] = content[at : at + 16]
    return bytes(content)


def with_checksums(content):
    """An index of one block whose content has been changed, with a right checksum and footer."""
    block = content + struct.pack("<2I", 0, 1)
    stored = block + b"\0" + struct.pack("<I", masked(block + b"\0"))
    handle = varint(0) + varint(len(block))
    body = b"\0\1" + varint(len(handle)) + b"\xff" + handle + struct.pack("<2I", 0, 1)
    at = varint(len(stored)) + varint(len(body))
    footer = (varint(0) + varint(0) + at).ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    return stored + body + b"\0" + struct.pack("<I", masked(body + b"\0")) + footer


def only_block(content):
    """The entries of an index of one block, without its restarts."""
    size = content.index(struct.pack("<I", 1) + b"\0", 20) - 4
    return content[:size]


def use(prefix, folder, number):
    """Reads, plans and converts a checkpoint; TensorFlow reads all of what was converted."""
    checkpoint = open_checkpoint(prefix)
    value_statistics(checkpoint, checkpoint.variables.values(), lambda done, total: None)
    with tf.Graph().as_default():
        for name, old in checkpoint.variables.items():
            if old.dtype == "float32" and name in ("a", "v"):
                tf1.get_variable(name, old.shape)
        plan_recovery(prefix, missing="keep")
    to = "object" if checkpoint.format == "name-based" else "name"
    new = convert_checkpoint(prefix, os.path.join(folder, f"new-{number}", "m"), to=to)
    for old in open_checkpoint(new).variables.values():
        if old.is_whole:
            tf.train.load_variable(new, old.key)


def main(folder, first, end):
    """Tries the numbers."""
    warnings.simplefilter("ignore")
    tf.get_logger().setLevel("ERROR")
    folders = [os.path.join(folder, name) for name in ("names", "objects", "meta")]
    for each in folders:
        os.makedirs(each)
    names = good(folders[0])
    objects = object_based(folders[1], object_graph(({"a": 1}, {}, []), ({"up": 0}, {"a": "w"}, [("m", 1, 1)])))
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", [2, 1], partitioner=tf1.fixed_size_partitioner(2))
        tf1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(w), tf1.train.get_or_create_global_step())
        session.run(tf1.global_variables_initializer())
        meta = tf1.train.Saver().save(session, os.path.join(folders[2], "model.ckpt")) + ".meta"
    files = [
        (names + ".index", "index"),
        (names + ".index", "block"),
        (objects + ".index", "block"),
        (objects + ".data-00000-of-00001", "index"),
        (os.path.join(folders[2], "checkpoint"), "state"),
        (meta, "meta"),
    ]
    originals = {path: pathlib.Path(path).read_bytes() for path, _ in files}
    for number in range(first, end):
        print(number, flush=True)
        chance = random.Random(number)
        path, kind = files[number % len(files)]
        content = originals[path]
        changed = with_checksums(mutated(chance, only_block(content))) if kind == "block" else mutated(chance, content)
        pathlib.Path(path).write_bytes(changed)
        try:
            if kind == "meta":
                with import_graph(path).as_default():
                    plan_recovery(path[: -len(".meta")], missing="keep")
            elif kind == "state":
                open_checkpoint(os.path.dirname(path))
            else:
                use(path.rpartition(".")[0], folder, number)
        except WarmStartError as error:
            str(error).encode("utf-8")
        pathlib.Path(path).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
