"""A graph of many small variables and its checkpoint, on which planning alone is timed.

The variables are the kernels and biases of numbered layers.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Tuple

import tensorflow as tf

_KERNEL: Tuple[int, ...] = (2, 2)
_BIAS: Tuple[int, ...] = (2,)


def directory(parent: str) -> str:
    """Where the checkpoint of many variables lies."""
    return os.path.join(parent, "checkpoint-of-many-variables")


def build(count: int) -> Dict[str, Any]:
    """Builds that many variables in the default graph."""
    zeros = tf.compat.v1.zeros_initializer()
    return {name: tf.compat.v1.get_variable(name, shape, initializer=zeros) for name, shape in _shapes(count).items()}


def write_checkpoint(path: str, count: int, scope: str = "") -> None:
    """Writes a checkpoint of all of them by one operation. With variables this would take long.

    Args:
        path: the new directory.
        count: how many.
        scope: what their names begin with there, such as `enc/`.
    """
    os.makedirs(path)
    prefix = os.path.join(path, "model.ckpt")
    shapes = {scope + name: shape for name, shape in _shapes(count).items()}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensors = {shape: tf.ones(shape) for shape in (_KERNEL, _BIAS)}
        write = tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(shapes),
            shape_and_slices=[""] * count,
            tensors=[tensors[shape] for shape in shapes.values()],
        )
        session.run(write)
    tf.compat.v1.train.update_checkpoint_state(path, prefix)


def problems(plan: Any, variables: Dict[str, Any]) -> List[str]:
    """What is wrong with a plan; empty if each variable takes the old one of the same name."""
    planned = {planned.new.name: planned.old.name for planned in plan.recovered}
    return [f"{name} takes {planned.get(name)}" for name in variables if planned.get(name) != name][:3]


def _shapes(count: int) -> Dict[str, Tuple[int, ...]]:
    return {
        f"layer_{index // 2}/{'bias' if index % 2 else 'kernel'}": _BIAS if index % 2 else _KERNEL for index in range(count)
    }
