"""A few of a variable's initial values, without drawing them all.

Enters: the tensor that a variable's initializer assigns. Leaves: a tensor of another shape with values of the same kind.
A grown table of five million rows needs initial values for its new rows only; drawing all of them takes longer than
reading the old ones. It is possible where the initial value is made elementwise of random numbers and constants, as
TensorFlow's initializers make it; elsewhere (an identity matrix, say) positions matter and the whole must be made.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Optional, Sequence

import numpy as np

from estimator_warmstart._tf import initializer_op, tf

_ELEMENTWISE = {"Add": "x y", "AddV2": "x y", "Sub": "x y", "Mul": "x y", "RealDiv": "x y", "Identity": "input"}
_RANDOM = ("RandomUniform", "RandomStandardNormal", "TruncatedNormal")
# The fields of a TensorProto that hold numbers one by one; one number there stands for all elements.
_NUMBER_FIELDS = ("half_val", "float_val", "double_val", "int_val", "int64_val", "bool_val", "uint32_val", "uint64_val")


def draw_initial(initial: Any, shape: Any) -> Optional[Any]:
    """Values of the kind of `initial`, in another shape.

    Args:
      initial: tensor that a variable's initializer assigns.
      shape: int32 vector tensor, or a list of ints.

    Returns:
      A tensor of that shape, newly drawn where `initial` is random, or `None` if the values of `initial` depend on their
      position.
    """
    full = initial.shape.as_list() if initial.shape.rank else None  # A scalar has no other shape.
    if full is None or None in full or not _is_uniform(initial, full):
        return None
    return _remake(initial, full, tf.cast(tf.convert_to_tensor(shape), tf.int32))


def known_initial(variable: Any) -> Optional[float]:
    """The number that a scalar variable's initializer assigns; `None` where the graph does not tell without a session."""
    inputs = initializer_op(variable).inputs
    return known_number(inputs[1]) if len(inputs) > 1 else None


def known_number(tensor: Any) -> Optional[float]:
    """The one number that `tensor` is, of whatever shape `[]` or otherwise; `None` where only a session knows."""
    value = tf.get_static_value(tensor)
    return float(value) if value is not None and np.size(value) == 1 else None


def same_everywhere(initial: Any) -> Optional[Any]:
    """The one value that all elements of `initial` have, a scalar tensor; `None` if they may differ."""
    if initial.op.type == "Fill":
        return initial.op.inputs[1]
    if initial.op.type == "Const" and initial.shape.rank and _is_splat(initial.op.get_attr("value")):
        return tf.constant(_splat_value(initial.op.get_attr("value")), initial.dtype)
    return None


def _is_uniform(tensor: Any, full: Any) -> bool:
    """Whether every element of `tensor` is made the same way."""
    op = tensor.op
    if op.type in _RANDOM:
        return True
    if op.type == "Fill":
        return True
    if op.type == "Const":
        return tensor.shape.rank == 0 or _is_splat(op.get_attr("value"))
    if op.type in _ELEMENTWISE:
        # A smaller operand that is broadcast puts other values in other places.
        return all(operand.shape.rank == 0 or operand.shape.as_list() == full for operand in op.inputs) and all(
            _is_uniform(operand, full) for operand in op.inputs
        )
    return False


def _is_splat(value: Any) -> bool:
    return not value.tensor_content and max(len(getattr(value, field)) for field in _NUMBER_FIELDS) == 1


def _remake(tensor: Any, full: Any, shape: Any) -> Any:
    op = tensor.op
    if op.type in _RANDOM:
        make = getattr(tf.raw_ops, op.type)
        return make(shape=shape, dtype=op.get_attr("dtype"), seed=op.get_attr("seed"), seed2=op.get_attr("seed2"))
    if tensor.shape.rank == 0:
        return tensor  # An operand, such as a standard deviation.
    same = same_everywhere(tensor)
    if same is not None:
        return tf.fill(shape, same)
    make = getattr(tf.raw_ops, op.type)
    names = _ELEMENTWISE[op.type].split()
    return make(**{name: _remake(operand, full, shape) for name, operand in zip(names, op.inputs)})


def _splat_value(value: Any) -> Any:
    scalar = type(value).FromString(value.SerializeToString())
    scalar.tensor_shape.Clear()
    return tf.make_ndarray(scalar)


def why_no_initializer(initializer: Callable[..., Any], shape: Sequence[int], dtype: str) -> str:
    """Why `initializer` cannot make values of `shape` and `dtype`; empty if it can."""
    with tf.Graph().as_default():  # A graph of its own: planning leaves the user's as it is.
        try:
            made = call_initializer(initializer, list(shape), tf.as_dtype(dtype))
        except Exception as error:  # Whatever the user's initializer raises is the reason.
            return f"raised {type(error).__name__}: {error}"
    if made.dtype.name != dtype or not made.shape.is_compatible_with(shape):
        return f"made {made.dtype.name} {made.shape} where {dtype} {list(shape)} is needed"
    return ""


def call_initializer(initializer: Callable[..., Any], shape: Any, dtype: Any) -> Any:
    """Returns what `initializer` makes for `shape` and `dtype`."""
    # A Keras initializer without a seed makes the same values at each of its calls, and warns: each call has one of its own.
    with contextlib.suppress(Exception):
        initializer = type(initializer).from_config(initializer.get_config())  # type: ignore[attr-defined]
    return tf.convert_to_tensor(initializer(shape, dtype=dtype))
