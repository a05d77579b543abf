"""The two cases of the example: what has changed since yesterday.

A case has a `model_fn` with its `params` for yesterday's model and for each of today's. It also writes their vocabulary files.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

import tensorflow as tf

from models import Params, model_params, old_model_fn
from source import DenseChange, Part, Source, known_rows
from warm import adapting_model_fn, cold_model_fn, configured_model_fn, warm_model_fn, warm_start_params, wrapped

OLD = "old"
"""The name of yesterday's model, and of its directory."""

NO_SLOTS = "no slots"
"""The curve of a warm start that leaves the optimizer's slots behind."""


VIAS = ("hook", "params", "wrapper")
"""The ways to warm-start."""


class Model(NamedTuple):
    """What an Estimator is made of, a line to print before it is trained, and what wraps it, if anything does."""

    model_fn: Callable[..., tf.estimator.EstimatorSpec]
    params: Params
    introduction: str = ""
    wrap: Optional[Callable[[tf.estimator.Estimator], tf.estimator.Estimator]] = None


class Case(NamedTuple):
    """Yesterday's model, and the models of today to compare.

    Attributes:
        headline: what the curves are of, for the reader.
        old: yesterday's model.
        new: `{name of the curve: model}`, `"cold"` and `"warm"` among them, maybe `NO_SLOTS`.
        changes: for the reader, what has changed besides names; empty if nothing has.
        known: the evaluated rows of which yesterday's model knows every token; `None` if `changes` is empty.
    """

    headline: str
    old: Model
    new: Dict[str, Model]
    changes: str = ""
    known: Optional[Part] = None


def renamed(source: Source, directory: str, via: str) -> Case:
    """The variables have other names, and a deep tower is new. Tokens and features are the same."""
    vocabulary_file = None
    if source.hash_buckets is None:
        vocabulary_file = _write_vocabulary(source.old.tokens, os.path.join(directory, "vocabulary.txt"))
    params = model_params(source, vocabulary_file, source.dense_widths)
    old = {"old_model_dir": os.path.join(directory, OLD)}
    return Case(
        headline="Today's model, cold and warm, on the next days:",
        old=Model(old_model_fn, params),
        new={"cold": Model(cold_model_fn, params), "warm": _warm(via, params, old)},
    )


def vocabulary(source: Source, directory: str, via: str) -> Case:
    """The same, with new tokens, other rows for the old ones, and one more feature in the dense layer's input.

    The source must have a `dense_change`.
    """
    change = source.dense_change
    old_dir = os.path.join(directory, OLD)
    old_tokens, new_tokens = source.old.tokens, grown_vocabulary(source)
    old_params = model_params(source, _write_vocabulary(old_tokens, os.path.join(old_dir, "vocabulary.txt")), change.old)
    new_file = _write_vocabulary(new_tokens, os.path.join(directory, "vocabulary.txt"))
    params = model_params(source, new_file, change.new)
    old = {
        "old_model_dir": old_dir,
        "old_vocabulary_file": old_params["vocabulary_file"],
        "old_dense_widths": old_params["dense_widths"],
    }
    return Case(
        headline="Today's model on the next days: cold, warm, and warm with the slots left behind:",
        old=Model(old_model_fn, old_params),
        new={
            "cold": Model(cold_model_fn, params),
            "warm": _warm(via, params, dict(old, with_slots=True), "Warm:"),
            NO_SLOTS: _warm(via, params, dict(old, with_slots=False), "\nWarm, slots left behind:"),
        },
        changes=_changes(old_tokens, new_tokens, change),
        known=known_rows(source.evaluation, old_tokens),
    )


def _warm(via: str, params: Params, old: Dict[str, Any], introduction: str = "") -> Model:
    """Today's model, warm-started from `old` in one of the ways of `VIAS`."""
    both = dict(params, **old)
    if via == "params":
        return Model(configured_model_fn, dict(params, warm_start=warm_start_params(both)), introduction)
    if via == "wrapper":
        return Model(cold_model_fn, params, introduction, lambda estimator: wrapped(estimator, both))
    return Model(adapting_model_fn if "old_vocabulary_file" in old else warm_model_fn, both, introduction)


CASES: Dict[str, Callable[[Source, str, str], Case]] = {"renamed": renamed, "vocabulary": vocabulary}


def grown_vocabulary(source: Source) -> Sequence[str]:
    """All tokens up to the end of the next days: theirs first, most frequent first, then those that only the past has."""
    return tuple(dict.fromkeys(source.train.tokens + source.old.tokens))


def _changes(old_tokens: Sequence[str], new_tokens: Sequence[str], change: DenseChange) -> str:
    moved = sum(old != new for old, new in zip(old_tokens, new_tokens))
    return (
        f"Vocabulary: {len(old_tokens)} tokens yesterday, {len(new_tokens)} today; "
        f"{moved} of the first {len(old_tokens)} rows have another token\n"
        f"Dense layer: {', '.join(change.old)} yesterday, {', '.join(change.new)} today"
    )


def _write_vocabulary(tokens: Sequence[str], path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as lines:
        lines.writelines(f"{token}\n" for token in tokens)
    return path
