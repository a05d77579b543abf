"""Compares an old model with its warm-started successor after one training step of each, on the same batch.

Predictions do not show what only training uses: optimizer slots, Adam's powers, and the step that a learning rate follows.
"""

from __future__ import annotations

import contextlib
from typing import List, Mapping, NamedTuple, Optional, Set, Tuple

import numpy as np

from estimator_warmstart._tf import copies_of, set_random_seed_of, tf, tf1
from estimator_warmstart.adapters.axis_map import fills_of
from estimator_warmstart.adapters.transforms import Cast, MapAxis, axis_maps_of
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.plan.plan import ADAPTED, PlannedVariable
from estimator_warmstart.plan.proof import CLOSE, FREE, IDENTICAL, ComparedValue, Expectation, difference, expectation
from estimator_warmstart.restore.axis_indices import AxisIndices
from estimator_warmstart.restore.model_runs import TRAIN, Batch, Model, Side, build_model, has_step, restored_session, run

_STEP = tf1.GraphKeys.GLOBAL_STEP


class _Trained(NamedTuple):
    """A model after one step.

    Attributes:
      model: its graph of training.
      needed: the operations that a step runs.
      values: of its variables, by name.
    """

    model: Model
    needed: Set[tf.Operation]
    values: Mapping[str, np.ndarray]


def compare_steps(
    old: Side, new: Side, batch: Batch, decided: Mapping[str, PlannedVariable], atol: float
) -> Tuple[ComparedValue, ...]:
    """Returns the recovered variables of both models after one training step, compared.

    Args:
      old: the old model.
      new: the new one, whose checkpoint holds what its warm start leaves.
      batch: features and labels of both.
      decided: what is planned for each new variable.
      atol: the largest difference that does not count.

    Raises:
      WarmStartError: if one of them cannot be trained.
    """
    trained = [_train(side, batch) for side in (old, new)]
    feeding = [each.model.feeding.variables_before([each.model.spec.loss]) for each in trained]
    expected = expectation(feeding[1], feeding[0], decided)
    return tuple(
        _compared(planned, trained[0], trained[1], expected, decided, atol)
        for planned in decided.values()
        if planned.old is not None and planned.old.name in trained[0].values and planned.new.name in trained[1].values
    )


def _train(side: Side, batch: Batch) -> _Trained:
    model = build_model(side.estimator, batch, TRAIN, has_step(side.prefix))
    needed = _needed_by(getattr(model.spec.train_op, "op", model.spec.train_op))
    drawing = [operation for operation in model.graph.get_operations() if operation in needed and _draws(operation)]
    for seed, operation in enumerate(drawing, 1):  # The same numbers in both models, in whatever order they were made.
        set_random_seed_of(operation, seed)
    with model.graph.as_default():
        reads = {
            part.name: tf.identity(copies_of(part.variable)[0])
            for variable in model.variables.values()
            for part in variable.parts
            if variable.has_static_shape
        }
    with restored_session(side.estimator, model, side.prefix) as session:
        run(session, model.spec.train_op, f"a training step of {side.name}")
        values = run(session, reads, side.name)
    wholes = {name: _joined(variable, values) for name, variable in model.variables.items() if variable.parts[0].name in values}
    return _Trained(model, needed, wholes)


def _draws(operation: tf.Operation) -> bool:
    attributes = {attribute.name for attribute in operation.op_def.attr} if operation.op_def is not None else set()
    return {"seed", "seed2"} <= attributes


def _needed_by(operation: tf.Operation) -> Set[tf.Operation]:
    """Returns the operations that run before `operation`, and itself."""
    waiting, needed = [operation], {operation}
    while waiting:
        one = waiting.pop()
        before = {*one.control_inputs, *(tensor.op for tensor in one.inputs)} - needed
        needed |= before
        waiting += before
    return needed


def _joined(variable: NewVariable, values: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(variable.parts) == 1 or not variable.is_whole:
        return values[variable.parts[0].name]
    whole = np.empty(variable.shape, values[variable.parts[0].name].dtype)
    for part in variable.parts:
        whole[tuple(slice(start, start + length) for start, length in zip(part.offset, part.shape))] = values[part.name]
    return whole


def _compared(
    planned: PlannedVariable,
    old: _Trained,
    new: _Trained,
    loss: Expectation,
    decided: Mapping[str, PlannedVariable],
    atol: float,
) -> ComparedValue:
    name = planned.new.name
    cold, left_behind = _lost_state(planned, old, new, decided)
    expected = CLOSE if loss.expected == IDENTICAL and planned.action == ADAPTED else loss.expected
    kept = _kept(planned, old.values[planned.source.name], new.values[name])
    if kept is None:
        why = "not compared: its old values are mixed or shared"
        return ComparedValue(name, FREE, 0.0, 0.0, 0, cold, left_behind, True, why)
    largest, mean, problem = difference(*kept)
    holds = largest <= atol or (expected == FREE and not left_behind and not loss.left_behind)
    return ComparedValue(name, expected, largest, mean, len(kept[1]) if kept[1].ndim else 1, cold, left_behind, holds, problem)


def _lost_state(
    planned: PlannedVariable, old: _Trained, new: _Trained, decided: Mapping[str, PlannedVariable]
) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Returns the new state of training of a variable that is cold, and the old state that nothing has taken."""
    taken = {each.old.name for each in decided.values() if each.old is not None}
    cold = [name for name in _state_of(planned.new.name, new) if name not in decided or decided[name].old is None]
    left_behind = [name for name in _state_of(planned.source.name, old) if name not in taken]
    return tuple(cold), tuple(left_behind)


def _state_of(name: str, trained: _Trained) -> List[str]:
    """Returns the names of the slots and powers that update a variable, and the global step if a learning rate follows it."""
    variables = trained.model.variables
    slots = [each for each in variables.values() if each.slot_of is not None and each.slot_of.primary == name]
    powers = [power for slot in slots for power in slot.powers]
    uses = trained.model.feeding.uses(_STEP, trained.needed) if variables[name].is_parameter else []
    follows = [use for use in uses if not use.type.startswith("Assign")]
    return [*(slot.name for slot in slots), *dict.fromkeys(powers), *([_STEP] if follows else [])]


def _kept(planned: PlannedVariable, old: np.ndarray, new: np.ndarray) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Returns the old values that the new variable has kept, and where it has them; `None` where they are mixed or shared."""
    if not planned.steps:
        return old, new
    if not all(isinstance(step, (MapAxis, Cast)) for step in planned.steps):
        return None
    maps = axis_maps_of(old.shape, planned.steps)
    fills = list(dict.fromkeys(fill for axis_map in maps for fill in fills_of(axis_map)))
    with tf.Graph().as_default(), contextlib.ExitStack() as stack:
        indices = AxisIndices()
        vectors = [indices.of(axis_map, fills) for axis_map in maps]
        rows = stack.enter_context(tf1.Session()).run(vectors)
    places = [np.flatnonzero(row >= 0) for row in rows]
    sources = [row[place] for row, place in zip(rows, places)]
    if any(len(np.unique(source)) < len(source) for source in sources) or not all(map(len, places)):
        return None
    return old[np.ix_(*sources)], new[np.ix_(*places)]
