"""Compares an old model with its warm-started successor: the same batch through both, then layer by layer where it must be."""

from __future__ import annotations

import contextlib
from typing import Any, Mapping, Sequence

import numpy as np

from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.plan.proof import FREE, ComparedValue, Proof, difference, expectation
from estimator_warmstart.restore.first_difference import (
    Found,
    Pair,
    difference_of_cold,
    first_difference,
    shared_layers,
    tensors_of,
)
from estimator_warmstart.restore.model_runs import (
    PREDICT,
    Batch,
    Model,
    Side,
    build_model,
    has_step,
    restored_session,
    run,
)


def compare_models(old: Side, new: Side, batch: Batch, decided: Mapping[str, PlannedVariable], atol: float) -> Proof:
    """Returns what both models predict for `batch`, compared.

    Args:
      old: the old model.
      new: the new one, whose checkpoint holds what its warm start leaves.
      batch: the input of both.
      decided: what is planned for each new variable.
      atol: the largest difference that does not count.

    Raises:
      WarmStartError: if they have no prediction in common, or one of them cannot be run.
    """
    sides = (old, new)
    models = [build_model(side.estimator, batch, PREDICT, has_step(side.prefix)) for side in sides]
    names = [name for name in models[1].predictions if name in models[0].predictions]
    if not names:
        of_each = " and ".join(f"{side.name} has {sorted(model.predictions)}" for side, model in zip(sides, models))
        raise WarmStartError(f"no prediction has the same name in both models: {of_each}")
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(restored_session(side.estimator, model, side.prefix)) for side, model in zip(sides, models)
        ]
        values = [
            run(session, {name: model.predictions[name] for name in names}, side.name)
            for side, model, session in zip(sides, models, sessions)
        ]
        compared = [_compared(name, [each[name] for each in values], models, decided, atol) for name in names]
        open_ones = [each for each in compared if each.max_difference > atol]
        if not open_ones:
            return Proof(old.prefix, atol, tuple(compared))
        layers = shared_layers(models[0], models[1], decided, [each.name for each in open_ones])
        fetched = [
            run(session, tensors_of(layers, model, at), side.name)
            for session, model, side, at in zip(sessions, models, sides, ("old", "new"))
        ]
    cold = list(dict.fromkeys(name for each in open_ones for name in each.cold))
    found = first_difference(Pair(models[0], models[1], *fetched), layers, cold, atol)
    if found.is_warm:
        compared = [each._replace(holds=each.holds and each not in open_ones) for each in compared]
    proof = Proof(old.prefix, atol, tuple(compared), found.compared)
    return proof if proof.holds else _explained(proof, found)


def _compared(
    name: str, values: Sequence[Any], models: Sequence[Model], decided: Mapping[str, PlannedVariable], atol: float
) -> ComparedValue:
    largest, mean, problem = difference(*values)
    feeding = [model.feeding.variables_before([model.predictions[name]]) for model in models]
    expected = expectation(feeding[1], feeding[0], decided)
    holds = largest <= atol or (expected.expected == FREE and not expected.left_behind)
    rows = len(values[1]) if np.ndim(values[1]) else 1
    return ComparedValue(name, expected.expected, largest, mean, rows, expected.cold, expected.left_behind, holds, problem)


def _explained(proof: Proof, found: Found) -> Proof:
    """Returns `proof`, which does not hold, with what is known of the reason."""
    failed = next(each for each in proof.predictions if not each.holds)
    first = found.first
    if first is None and failed.cold:
        first = difference_of_cold(failed.cold, f"no layer differs in front of the prediction {failed.name!r}")
    if first is not None:
        return proof._replace(first_difference=first)
    note = (
        "no layer differs that both models have and whose values can be looked at: what differs comes after these, is inside "
        "of a loop, or has another shape"
    )
    return proof._replace(notes=proof.notes + (note,))
