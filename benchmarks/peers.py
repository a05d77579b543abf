"""The contenders without this package: what a user would write with TensorFlow and numpy.

Each takes a `model.Work` after the model's graph is built, may add operations, and returns the hooks of the session.
README.md lists the public APIs that they use.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, List

import numpy as np
import tensorflow as tf

import known_values
import model

Hooks = List[Any]
Recover = Callable[[Any], None]

# A list looks among all global variables, slots included (a string: among the trainable ones). Its entries are
# prefixes: with both "fm/v" and "fm/v/Adagrad" in the list, the slot would be found twice.
_ALL = ["fm/"]


class _AfterCreateSession(tf.compat.v1.train.SessionRunHook):
    """Builds its operations in `begin`, before the graph is final, and recovers when there is a session."""

    def __init__(self, begin: Callable[[], Recover]) -> None:
        self._begin = begin

    def begin(self) -> None:
        """Builds the operations."""
        self._recover = self._begin()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Recovers; the initializers have run."""
        self._recover(session)


def cold(work: model.Work) -> Hooks:
    """No recovery at all: the initializers alone."""
    return []


def saver_hook(work: model.Work) -> Hooks:
    """The article's hook: a Saver of the chosen variables, restored when there is a session."""

    def begin() -> Recover:
        saver = tf.compat.v1.train.Saver(work.variables)
        return lambda session: saver.restore(session, tf.train.latest_checkpoint(work.checkpoint))

    return [_AfterCreateSession(begin)]


def warm_start(work: model.Work) -> Hooks:
    """TensorFlow's own warm start, as an Estimator calls it between model_fn and the session."""
    tf.compat.v1.train.warm_start(work.checkpoint, vars_to_warm_start=_ALL)
    return []


def vocabulary_warm_start(work: model.Work) -> Hooks:
    """TensorFlow's own warm start with a VocabInfo for each table and each slot."""
    vocabularies = {
        name: tf.compat.v1.train.VocabInfo(
            new_vocab=work.new_vocabulary,
            new_vocab_size=work.new_rows,
            num_oov_buckets=0,
            old_vocab=work.old_vocabulary,
            old_vocab_size=work.old_rows,
            backup_initializer=_backup_initializer(name),
        )
        for name in work.variables
    }
    tf.compat.v1.train.warm_start(work.checkpoint, vars_to_warm_start=_ALL, var_name_to_vocab_info=vocabularies)
    return []


def fed_assign(work: model.Work) -> Hooks:
    """`load_variable`, and an assign operation whose value is fed: the value passes through the client."""

    def begin() -> Recover:
        values = {name: tf.compat.v1.placeholder(tf.float32) for name in work.variables}
        assigns = {name: _assign(variable, values[name]) for name, variable in work.variables.items()}

        def recover(session: Any) -> None:
            for name in work.variables:
                session.run(assigns[name], {values[name]: tf.train.load_variable(work.checkpoint, name)})

        return recover

    return [_AfterCreateSession(begin)]


def sliced_assign(work: model.Work) -> Hooks:
    """`load_variable`, and a fed assign to the first rows of a grown table."""

    def begin() -> Recover:
        values = {name: tf.compat.v1.placeholder(tf.float32) for name in work.variables}
        assigns = {name: table[: work.old_rows].assign(values[name]).op for name, table in work.variables.items()}

        def recover(session: Any) -> None:
            for name in work.variables:
                session.run(assigns[name], {values[name]: tf.train.load_variable(work.checkpoint, name)})

        return recover

    return [_AfterCreateSession(begin)]


def constant_assign(work: model.Work) -> Hooks:
    """The blog's recipe: `load_variable`, numpy, `convert_to_tensor`, `assign`: the value becomes part of the graph."""

    def begin() -> Recover:
        join = _Join(work)
        assigns = []
        for name, variable in work.variables.items():
            old = tf.train.load_variable(work.checkpoint, name)
            value = join.adapt(old, functools.partial(_drawn, name, work.new_rows))
            assigns.append(_assign(variable, tf.convert_to_tensor(value)))
        return lambda session: session.run(assigns)

    return [_AfterCreateSession(begin)]


def variable_load(work: model.Work) -> Hooks:
    """`load_variable`, numpy, `Variable.load`: what is new in a table is read back from the session first."""

    def recover(session: Any) -> None:
        join = _Join(work)
        for name, variable in work.variables.items():
            old = tf.train.load_variable(work.checkpoint, name)
            variable.load(join.adapt(old, functools.partial(session.run, variable)), session)

    return [_AfterCreateSession(lambda: recover)]


def _backup_initializer(name: str) -> Any:
    """What VocabInfo draws new rows from. It passes the shape as a tensor, which constant_initializer cannot take."""
    if known_values.is_slot(name):
        return lambda shape: tf.fill(shape, known_values.INITIAL_ACCUMULATOR)
    return model.initializer(name)


class _Join:
    """Which old row each new row takes, found as a user would: nothing to find, a slice, or a dict of the tokens."""

    def __init__(self, work: model.Work) -> None:
        self._work = work
        if work.task == "vocabulary":
            position = {token: row for row, token in enumerate(_tokens(work.old_vocabulary))}
            missing = known_values.NO_OLD_ROW
            sources = np.array([position.get(token, missing) for token in _tokens(work.new_vocabulary)])
            self._new = np.flatnonzero(sources != missing)
            self._old = sources[self._new]

    def adapt(self, old: np.ndarray, initial: Callable[[], np.ndarray]) -> np.ndarray:
        """`[old_rows, columns]` -> `[new_rows, columns]`; `initial` gives the new variable's own first values."""
        if self._work.task == "vocabulary":
            new = initial()
            new[self._new] = old[self._old]
            return new
        if self._work.new_rows > self._work.old_rows:
            return np.concatenate([old, initial()[self._work.old_rows :]])
        return old[: self._work.new_rows]


def _tokens(path: str) -> List[str]:
    with open(path) as file:
        return file.read().splitlines()


def _drawn(name: str, rows: int) -> np.ndarray:
    """Values of new rows, drawn by numpy, since there is no session while the graph is built."""
    shape = (rows, known_values.COLUMNS[name])
    if known_values.is_slot(name):
        return np.full(shape, known_values.INITIAL_ACCUMULATOR, np.float32)
    values = np.random.default_rng().standard_normal(shape, np.float32)
    values *= known_values.STDDEV
    return np.clip(values, -2 * known_values.STDDEV, 2 * known_values.STDDEV, out=values)


def _assign(variable: Any, value: Any) -> Any:
    """An assign whose run fetches nothing: a fetched table would be copied to the client once more."""
    return tf.compat.v1.assign(variable, value).op
