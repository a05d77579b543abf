"""Finds the first layer in which two models differ, from their inputs on, by the operations that use recovered variables."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from estimator_warmstart._tf import tf
from estimator_warmstart.plan.plan import PlannedVariable
from estimator_warmstart.plan.proof import LayerDifference, difference
from estimator_warmstart.restore.model_runs import Model


class Layer(NamedTuple):
    """One use of a recovered variable in both models.

    Attributes:
      variable: the new variable.
      old_variable: the old one.
      old: what uses it in the old model.
      new: what uses it in the new model.
    """

    variable: str
    old_variable: str
    old: tf.Operation
    new: tf.Operation


class Found(NamedTuple):
    """What the layers of two models say.

    Attributes:
      compared: how many layers could be compared.
      first: the first layer that differs, or `None`.
      is_warm: whether that layer differs though nothing cold reaches it.
    """

    compared: int
    first: Optional[LayerDifference]
    is_warm: bool


def shared_layers(old: Model, new: Model, decided: Mapping[str, PlannedVariable], names: Sequence[str]) -> List[Layer]:
    """Returns the uses of recovered variables that lead to the predictions `names`, in the order of the new graph."""
    old_reach = old.feeding.operations_before([old.predictions[name] for name in names])
    new_reach = new.feeding.operations_before([new.predictions[name] for name in names])
    layers = []
    for variable in new.variables:
        planned = decided.get(variable)
        if planned is None or planned.old is None:
            continue
        uses = old.feeding.uses(planned.old.name, old_reach), new.feeding.uses(variable, new_reach)
        if len(uses[0]) == len(uses[1]):
            layers += [Layer(variable, planned.old.name, *pair) for pair in zip(*uses)]
    return sorted(layers, key=lambda layer: new.feeding.place(layer.new))


def tensors_of(layers: Sequence[Layer], model: Model, side: str) -> Dict[str, tf.Tensor]:
    """Returns what is to be looked at in one model: what goes into each layer and what comes out, by name."""
    found = {}
    for layer in layers:
        operation = getattr(layer, side)
        for tensor in [*operation.outputs, *model.feeding.other_inputs(operation)]:
            if _can_fetch(tensor):
                found[tensor.name] = tensor
    return found


def _can_fetch(tensor: tf.Tensor) -> bool:
    return tensor.dtype.base_dtype not in (tf.resource, tf.variant) and tensor.graph.is_fetchable(tensor)


class Pair(NamedTuple):
    """Both models, and the values of `tensors_of` them on one batch."""

    old: Model
    new: Model
    old_values: Mapping[str, Any]
    new_values: Mapping[str, Any]

    def difference(self, old: Sequence[tf.Tensor], new: Sequence[tf.Tensor]) -> Optional[float]:
        """Returns the largest difference of tensors that are pairs; `None` if no pair can be compared."""
        found = []
        for one, other in zip(old, new) if len(old) == len(new) else ():
            if one.name in self.old_values and other.name in self.new_values:
                largest, _, problem = difference(self.old_values[one.name], self.new_values[other.name])
                found += [] if problem else [largest]
        return max(found) if found else None


def first_difference(pair: Pair, layers: Sequence[Layer], cold: Sequence[str], atol: float) -> Found:
    """Finds the first layer that differs by more than `atol`; first among those that nothing cold reaches.

    Args:
      pair: both models and their values.
      layers: in the order of the new graph.
      cold: the new variables without an old value, in the order of the graph.
      atol: the largest difference that does not count.
    """
    compared, after_cold = 0, None
    for layer in layers:
        apart = pair.difference(layer.old.outputs, layer.new.outputs)
        compared += apart is not None
        if apart is None or apart <= atol:
            continue
        reached_by = [name for name in pair.new.feeding.variables_before(layer.new.outputs) if name in cold]
        if not reached_by:
            return Found(compared, _difference_of_warm(pair, layer, apart, atol), True)
        after_cold = after_cold or difference_of_cold(reached_by, f"what {layer.variable!r} returns is the first to differ")
    return Found(compared, after_cold, False)


def _difference_of_warm(pair: Pair, layer: Layer, apart: float, atol: float) -> LayerDifference:
    inputs = [
        [tensor for tensor in side.feeding.other_inputs(use) if tensor.dtype.is_floating]
        for side, use in ((pair.old, layer.old), (pair.new, layer.new))
    ]
    before = pair.difference(*inputs)
    if before is not None and before > atol:
        reason = (
            f"what goes into it differs already, by {before:.3g}, and no layer before it does: other features, features in "
            "another order, or something else that holds no variable"
        )
    elif before is None and all(inputs):
        reason = (
            f"what it returns differs, by {apart:.3g}, and what goes into it has another shape: what is new there should add "
            "nothing, and the old values should be where they belong"
        )
    else:
        reason = (
            f"what it returns differs, by {apart:.3g}, for the same input: its values are not where they belong, or it is used "
            "in another way"
        )
    return LayerDifference(_layer_of(layer.variable), layer.variable, layer.old_variable, reason, apart)


def difference_of_cold(cold: Sequence[str], where: str) -> LayerDifference:
    """Returns a difference that the first of the `cold` variables explains."""
    return LayerDifference(_layer_of(cold[0]), cold[0], None, f"it is cold, and {where}", None, tuple(cold))


def _layer_of(variable: str) -> str:
    return variable.rpartition("/")[0] or variable
