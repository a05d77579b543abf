"""Finds the input axis of a kernel: the axis of a new variable that is multiplied with the output of another layer.

If a layer in front of a kernel grows, its rows move, and an alignment from the beginning is wrong. The rows of an embedding
table are looked up by id and stay where they are. The operations that use a variable tell the two apart, names do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, FrozenSet, Iterator, List, Set, Tuple

from estimator_warmstart._tf import initializer_op
from estimator_warmstart._tf_objects import is_eager
from estimator_warmstart.graph.variables import NewVariable

if TYPE_CHECKING:
    import tensorflow as tf

# Updates and gradients, which use a variable in other ways than the model does.
_GRADIENTS = re.compile(r"(?:^|/)(?:gradients(?:_\d+)?|gradient_tape)/")
_GATHERS = ("Gather", "GatherV2", "GatherNd", "ResourceGather", "ResourceGatherNd", "SparseTensorDenseMatMul")
_MULTIPLY = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
_CONVOLVE = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
_CONVOLVE_TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")
# The operations that return a kernel as they take it, in pieces, scaled, or with axes added.
_PASS_ON = (
    "Cast",
    "ConcatV2",
    "Enter",
    "ExpandDims",
    "Identity",
    "Mul",
    "ReadVariableOp",
    "RealDiv",
    "RefEnter",
    "RefSwitch",
    "Reshape",
    "Slice",
    "Split",
    "SplitV",
    "StridedSlice",
    "Switch",
    "Transpose",
)
# The bodies of functions are not searched.
_OPAQUE_CALLS = ("If", "PartitionedCall", "StatefulPartitionedCall", "StatelessIf", "StatelessWhile", "While")


def input_axes(new: NewVariable) -> FrozenSet[int]:
    """Returns the axes of `new`, counted from 0, that are multiplied with another layer's output; none for an embedding table.

    If only functions use it, or if it is eager: its second to last axis, unless the name says that it is an embedding.
    """
    rank = len(new.shape)
    if rank < 2:
        return frozenset()
    if is_eager(new.parts[0].copies[0]):
        return frozenset({rank - 2} if "kernel" in new.name.rpartition("/")[2] else ())
    found: Set[int] = set()
    is_called = False
    for axis in (-2, -1):
        for use, position in _uses_with_axis(new, axis):
            if use.type in _GATHERS:
                return frozenset()
            is_called = is_called or use.type in _OPAQUE_CALLS
            if axis == _summed_axis(use, position):
                found.add(axis)
    if not found and is_called and "embedding" not in new.name:
        found.add(-2)
    return frozenset(rank + axis for axis in found)


def _uses_with_axis(new: NewVariable, axis: int) -> Iterator[Tuple[tf.Operation, int]]:
    """Yields the operations that use `new` with the whole of `axis`, each with the position of that input."""
    lengths = {new.shape[axis], new.parts[0].shape[axis]}
    copy = new.parts[0].copies[0]
    waiting: List[tf.Tensor] = [initializer_op(copy).inputs[0]]
    seen: Set[tf.Operation] = set()
    while waiting:
        tensor = waiting.pop()
        for use in tensor.consumers():
            if use in seen or _GRADIENTS.search(use.name):
                continue
            seen.add(use)
            for position in (number for number, other in enumerate(use.inputs) if other is tensor):
                yield use, position
            if use.type in _PASS_ON:
                waiting += [made for made in use.outputs if made.dtype.name == "resource" or _has_axis(made, axis, lengths)]


def _has_axis(tensor: tf.Tensor, axis: int, lengths: Set[int]) -> bool:
    # A read through a loop's resource has no static shape.
    return tensor.shape.rank is None or (tensor.shape.rank >= 2 and tensor.shape.as_list()[axis] in lengths)


def _summed_axis(use: tf.Operation, position: int) -> int:
    """Returns the axis of input `position` that `use` sums over, counted from the end; 0 if it sums over none."""
    if use.type in _CONVOLVE + _CONVOLVE_TRANSPOSED:
        return 0 if position != 1 else -2 if use.type in _CONVOLVE else -1
    if use.type in _MULTIPLY:
        if use.inputs[1 - position].op.type == "OneHot":  # A row for each id, as a table has.
            return 0
        names = ("transpose_a", "transpose_b") if use.type == "MatMul" else ("adj_x", "adj_y")
        is_transposed = use.get_attr(names[position])
        return -1 if bool(is_transposed) == (position == 1) else -2
    if use.type == "Einsum" and len(use.inputs) == 2:
        return _summed_letter(use.get_attr("equation").decode(), position)
    return 0


def _summed_letter(equation: str, position: int) -> int:
    """Returns the last axis of an operand that an Einsum sums over, counted from the end; 0 if there is none."""
    operands, _, result = equation.replace(" ", "").partition("->")
    own, other = operands.split(",")[position], operands.split(",")[1 - position]
    summed = [at - len(own) for at, letter in enumerate(own) if letter.isalpha() and letter in other and letter not in result]
    return summed[-1] if summed else 0
