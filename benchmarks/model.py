"""The new model: the article's two factorization machine tables and their Adagrad slots, in the default graph.

Source of the tables: the factorization machine (Rendle 2010) as an Estimator, `fm/w` and `fm/v`.
"""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple

import numpy as np
import tensorflow as tf

import known_values


class Work(NamedTuple):
    """The arguments of a contender.

    Attributes:
        task: the task's name.
        variables: name -> new variable, slots included.
        checkpoint: directory of the old checkpoint.
        old_rows: rows of the old tables.
        new_rows: rows of the new tables.
        old_vocabulary: file with the old tables' tokens, one a line.
        new_vocabulary: file with the new tables' tokens, one a line.
    """

    task: str
    variables: Dict[str, Any]
    checkpoint: str
    old_rows: int
    new_rows: int
    old_vocabulary: str
    new_vocabulary: str


def checkpoint_directory(directory: str, rows: int) -> str:
    """The directory of the checkpoint of tables with that many rows."""
    return os.path.join(directory, f"checkpoint-{rows}")


def vocabulary_file(directory: str, name: str) -> str:
    """Where a vocabulary lies: `old`, or a task's name for its new one."""
    return os.path.join(directory, f"{name}.vocabulary.txt")


def initializer(name: str) -> Any:
    """The initializer of a table, or what its slot starts from."""
    if known_values.is_slot(name):
        return tf.compat.v1.constant_initializer(known_values.INITIAL_ACCUMULATOR)
    return tf.compat.v1.truncated_normal_initializer(stddev=known_values.STDDEV)


def build(rows: int) -> Dict[str, Any]:
    """Builds the tables, a training step on them and with it their slots; returns them all by name."""
    tables = {}
    with tf.compat.v1.variable_scope("fm"):
        for name in ("w", "v"):
            shape = [rows, known_values.COLUMNS[f"fm/{name}"]]
            tables[f"fm/{name}"] = tf.compat.v1.get_variable(name, shape, initializer=initializer(f"fm/{name}"))
    ids = tf.constant([[0, rows - 1]], tf.int64)
    linear = tf.reduce_sum(tf.nn.embedding_lookup(params=tables["fm/w"], ids=ids), axis=[1, 2])
    factors = tf.nn.embedding_lookup(params=tables["fm/v"], ids=ids)
    pairs = tf.square(tf.reduce_sum(factors, axis=1)) - tf.reduce_sum(tf.square(factors), axis=1)
    loss = tf.reduce_mean(tf.nn.softplus(-(linear + 0.5 * tf.reduce_sum(pairs, axis=1))))
    optimizer = tf.compat.v1.train.AdagradOptimizer(0.05, initial_accumulator_value=known_values.INITIAL_ACCUMULATOR)
    optimizer.minimize(loss, global_step=tf.compat.v1.train.get_or_create_global_step())
    slots = {f"{name}/Adagrad": optimizer.get_slot(table, "accumulator") for name, table in tables.items()}
    return {name: {**tables, **slots}[name] for name in known_values.COLUMNS}


def probes(variables: Dict[str, Any], rows: np.ndarray) -> Dict[str, Any]:
    """Tensors that fetch these rows of each variable; built with the model, because a session's graph is final."""
    return {name: tf.gather(variable, rows) for name, variable in variables.items()}


def write_checkpoint(directory: str, rows: int) -> None:
    """Writes the old checkpoint with its known values, by the public Saver."""
    os.makedirs(directory)
    with tf.Graph().as_default():
        variables = build(rows)
        step = tf.compat.v1.train.get_global_step()
        saver = tf.compat.v1.train.Saver({**variables, "global_step": step})
        with tf.compat.v1.Session() as session:
            step.load(1000, session)
            for name, variable in variables.items():
                variable.load(known_values.old_values(name, np.arange(rows)), session)
            saver.save(session, os.path.join(directory, "model.ckpt"), global_step=1000, write_meta_graph=False)


def write_vocabulary(path: str, tokens: Any) -> None:
    """Writes a vocabulary file, one token a line."""
    with open(path, "w") as file:
        file.writelines(f"{token}\n" for token in tokens)
