"""What `rename` and `adapters` make of old values in a conversion: planned as a hook plans, written as `recover_into` would.

Adapted values go through a checkpoint of their own, one at a time, before they are copied like all others.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from estimator_warmstart._tf import logger, tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable
from estimator_warmstart.checkpoint.index_file import StoredTensor
from estimator_warmstart.convert.cpu_session import cpu_session
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.graph.eager_variables import new_variable
from estimator_warmstart.graph.variables import NewVariable, Part
from estimator_warmstart.patterns import RenameArgument
from estimator_warmstart.plan.adapter_rules import AdapterRules, AdaptersArgument
from estimator_warmstart.plan.optimizer_state import planned_slot
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.plan.planner import plan_eager
from estimator_warmstart.plan.request import make_request
from estimator_warmstart.restore.finite_check import refuse_damaged_arrays
from estimator_warmstart.restore.old_values import OldValues
from estimator_warmstart.slots import SlotOf


class SlotToPlan(NamedTuple):
    """A slot of the new optimizer, and the old slot whose value it takes."""

    old: OldVariable
    slot_of: SlotOf
    stored: StoredTensor


def plan_for_model(
    old: Checkpoint, variables: Mapping[str, Any], rename: RenameArgument, adapters: Optional[AdaptersArgument]
) -> Optional[Dict[str, PlannedVariable]]:
    """Returns {name of a variable of the model: what it takes}, without those that take nothing old.

    Args:
      old: the old model.
      variables: the model's, by name.
      rename: as a hook takes it.
      adapters: as a hook takes them.

    Returns:
      `None` if neither is given: names, shapes and dtypes are the same then.

    Raises:
      WarmStartError: for rules that are not valid, fit nothing or do not result in the model's shapes.
    """
    if rename is None and adapters is None:
        return None
    # What is missing is a problem of the conversion, which tells it with the others.
    request = make_request(old.prefix, None, adapters, rename=rename, missing="keep")
    plan = plan_eager(request, {name: new_variable(name, variable) for name, variable in variables.items()}, old)
    for warning in plan.warnings:
        logger.warning("Conversion of %s: %s", old.prefix, warning)
    return {planned.new.name: planned for planned in plan.recovered}


def plan_slot(slot: SlotToPlan, primary: PlannedVariable) -> PlannedVariable:
    """Returns what a slot takes: its old value, adapted as its variable is."""
    name = f"{slot.slot_of.primary}/{slot.slot_of.slot_name}"
    new = NewVariable(name, slot.stored.shape, slot.stored.dtype, (), slot_of=slot.slot_of)
    return planned_slot(slot.old, new, primary, AdapterRules(None))


def write_adapted(
    old: Checkpoint, as_it_is: str, adapted: Mapping[str, PlannedVariable], folder: str, count: Callable[[int], None]
) -> Dict[str, str]:
    """Writes the adapted values, each into a checkpoint of its own, so that one at a time is in memory.

    Args:
      old: the old model.
      as_it_is: the prefix of a checkpoint of the new model, which has the values of new positions.
      adapted: {key in both new checkpoints: what its value is made of}.
      folder: where they are written.
      count: is called with the bytes of each old value that is adapted.

    Returns:
      {key: prefix of the checkpoint that has it}.

    Raises:
      CheckpointError: if an old value cannot be read.
    """
    prefixes: Dict[str, str] = {}
    refuse_damaged_arrays(old, [planned.source for planned in adapted.values()])
    for number, (key, planned) in enumerate(adapted.items()):
        prefixes[key] = os.path.join(folder, f"adapted-{number}")
        try:
            with cpu_session() as session:
                value = _value_of(old, as_it_is, key, planned)
                session.run(tf.raw_ops.SaveV2(prefix=prefixes[key], tensor_names=[key], shape_and_slices=[""], tensors=[value]))
        except tf.errors.OpError as error:
            raise CheckpointError(f"{planned.source.name!r} of {old.prefix} cannot be adapted: {error.message}") from error
        count(planned.source.nbytes)
    return prefixes


def _value_of(old: Checkpoint, as_it_is: str, key: str, planned: PlannedVariable) -> tf.Tensor:
    new = planned.new
    (initial,) = tf.raw_ops.RestoreV2(
        prefix=as_it_is, tensor_names=[key], shape_and_slices=[""], dtypes=[tf.as_dtype(new.dtype)]
    )
    initial = tf.ensure_shape(initial, new.shape)
    # A part in this graph: the value that the model has stands for its variable.
    part = Part(new.name, (0,) * len(new.shape), new.shape, initial, (initial,))
    values = OldValues([old], tf.identity)
    return next(values.of(planned._replace(new=new._replace(parts=(part,)))))[1]
