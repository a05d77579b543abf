"""Draws some of a variable's initial values without drawing all of them.

A table that has grown to five million rows needs initial values for its new rows only. To draw all of them takes longer than
to read the old ones. This works for initial values that are made elementwise of random numbers and constants, as most of
TensorFlow's initializers make them. Others, such as an identity matrix, depend on positions and must be made as a whole.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Callable, Optional, Sequence, Union

import numpy as np

from estimator_warmstart._tf import initializer_op, tf
from estimator_warmstart.tensors import Shape

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto

_ELEMENTWISE_OPERANDS = {"Add": "x y", "AddV2": "x y", "Sub": "x y", "Mul": "x y", "RealDiv": "x y", "Identity": "input"}
_RANDOM = ("RandomUniform", "RandomStandardNormal", "TruncatedNormal")
# The fields of a TensorProto that hold a list of numbers; a list of one number stands for all elements.
_NUMBER_FIELDS = ("half_val", "float_val", "double_val", "int_val", "int64_val", "bool_val", "uint32_val", "uint64_val")


def draw_initial(initial: tf.Tensor, shape: Union[tf.Tensor, Sequence[int]]) -> Optional[tf.Tensor]:
    """Draws values as those of `initial`, in another shape.

    Args:
      initial: the tensor that a variable's initializer assigns.
      shape: int32 vector tensor, or a list of ints.

    Returns:
      A tensor of that shape, newly drawn if `initial` is random; `None` if the values of `initial` depend on their position.
    """
    full = initial.shape.as_list() if initial.shape.rank else None  # A scalar has no other shape.
    if full is None or None in full or not _is_uniform(initial, full):
        return None
    return _remake(initial, full, tf.cast(tf.convert_to_tensor(shape), tf.int32))


def known_initial(variable: tf.Variable) -> Optional[float]:
    """Returns the number that a scalar variable's initializer assigns; `None` if only a session knows it."""
    inputs = initializer_op(variable).inputs
    return known_number(inputs[1]) if len(inputs) > 1 else None


def known_number(tensor: tf.Tensor) -> Optional[float]:
    """Returns the only element of `tensor`; `None` if it has more, or if only a session knows it."""
    value = tf.get_static_value(tensor)
    return float(value) if value is not None and np.size(value) == 1 else None


def same_everywhere(initial: tf.Tensor) -> Optional[tf.Tensor]:
    """Returns the value that all elements of `initial` have, as a scalar tensor; `None` if they may differ."""
    if initial.op.type == "Fill":
        return initial.op.inputs[1]
    if initial.op.type == "Const" and initial.shape.rank and _is_splat(initial.op.get_attr("value")):
        return tf.constant(_splat_value(initial.op.get_attr("value")), initial.dtype)
    return None


def _is_uniform(tensor: tf.Tensor, full: Sequence[int]) -> bool:
    """Whether every element of `tensor` is made the same way."""
    op = tensor.op
    if op.type in _RANDOM:
        return True
    if op.type == "Fill":
        return True
    if op.type == "Const":
        return tensor.shape.rank == 0 or _is_splat(op.get_attr("value"))
    if op.type in _ELEMENTWISE_OPERANDS:
        # An operand that is broadcast makes values depend on their position.
        return all(operand.shape.rank == 0 or operand.shape.as_list() == list(full) for operand in op.inputs) and all(
            _is_uniform(operand, full) for operand in op.inputs
        )
    return False


def _is_splat(value: TensorProto) -> bool:
    return not value.tensor_content and max(len(getattr(value, field)) for field in _NUMBER_FIELDS) == 1


def _remake(tensor: tf.Tensor, full: Sequence[int], shape: tf.Tensor) -> tf.Tensor:
    op = tensor.op
    if op.type in _RANDOM:
        make = getattr(tf.raw_ops, op.type)
        return make(shape=shape, dtype=op.get_attr("dtype"), seed=op.get_attr("seed"), seed2=op.get_attr("seed2"))
    if tensor.shape.rank == 0:
        return tensor  # An operand such as a standard deviation.
    same = same_everywhere(tensor)
    if same is not None:
        return tf.fill(shape, same)
    make = getattr(tf.raw_ops, op.type)
    names = _ELEMENTWISE_OPERANDS[op.type].split()
    return make(**{name: _remake(operand, full, shape) for name, operand in zip(names, op.inputs)})


def _splat_value(value: TensorProto) -> np.ndarray:
    scalar = type(value).FromString(value.SerializeToString())
    scalar.tensor_shape.Clear()
    return tf.make_ndarray(scalar)


def why_no_initializer(initializer: Callable[..., tf.Tensor], shape: Shape, dtype: str) -> str:
    """Returns why `initializer` cannot make values of `shape` and `dtype`; empty if it can."""
    with tf.Graph().as_default():  # Planning adds nothing to the user's graph.
        try:
            made = call_initializer(initializer, list(shape), tf.as_dtype(dtype))
        except Exception as error:  # The user's code may raise anything.
            return f"raised {type(error).__name__}: {error}"
    if made.dtype.name != dtype or not made.shape.is_compatible_with(shape):
        return f"made {made.dtype.name} {made.shape} where {dtype} {list(shape)} is needed"
    return ""


def call_initializer(
    initializer: Callable[..., tf.Tensor], shape: Union[tf.Tensor, Sequence[int]], dtype: tf.DType
) -> tf.Tensor:
    """Calls `initializer` for `shape` and `dtype`."""
    # A Keras initializer without a seed makes the same values in each call, and warns of it: use a new one for each call.
    with contextlib.suppress(Exception):
        initializer = type(initializer).from_config(initializer.get_config())  # type: ignore[attr-defined]
    return tf.convert_to_tensor(initializer(shape, dtype=dtype))
