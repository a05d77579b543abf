"""The adapters that need the whole old value: another shape of the same elements, and a function of the user's."""

from __future__ import annotations

from typing import Any, Callable, Tuple

import numpy as np

from estimator_warmstart._tf import tf
from estimator_warmstart.adapters.transforms import Adapter, Apply, Misfit, Reshape, Transform
from estimator_warmstart.arguments import check_bool
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape


def reshape() -> Adapter:
    """Gives the old value the new variable's shape, with the same elements in C order.

    Use it where axes were split, joined or added: a kernel `[1, 1, in, out]` of a convolution that was `[in, out]` of a dense
    layer.

    Returns:
      An adapter to any shape with as many elements. In a list it makes the new variable's shape, so it comes last.

    Example:
      >>> from estimator_warmstart import adapters
      >>> adapters.reshape().steps((2, 3), (3, 2), "float32")
      (Reshape(shape=(3, 2), dtype=''),)
    """

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        count, wanted = (int(np.prod(shape, dtype=np.int64)) for shape in (old, new))
        if count != wanted:
            raise Misfit(f"reshape keeps all elements, and {list(old)} has {count:,} of them, {list(new)} has {wanted:,}")
        return (Reshape(new),) if old != new else ()

    return Adapter("reshape()", steps)


def transform(fn: Callable[[Any], Any], *, numpy: bool = False) -> Adapter:
    """Puts the old value through a TensorFlow function, or one of numpy arrays.

    Use it for what the other adapters cannot do: a transposed kernel, two tables in one. Each slot goes through the same
    function. Where the function returns a zero, such as a padding, the slot takes its own initial value.

    Args:
      fn: takes a tensor of the old shape and dtype, returns one of the new shape and dtype. It is called once for each place
        where the value is needed, and must only build TensorFlow operations.
      numpy: whether `fn` takes and returns numpy arrays. It then runs when the variable is initialized, on its machine, as
        `tf.numpy_function`, and what it returns must have the new variable's shape and dtype. That is in the process that has
        made the graph: it does not work for variables on parameter servers. `fn` must make the same of the same values.

    Returns:
      An adapter. The plan checks that shapes and dtypes agree; of a numpy function the session does.

    Raises:
      WarmStartError: if `fn` is not callable.

    Example:
      >>> import tensorflow as tf
      >>> from estimator_warmstart import adapters
      >>> adapters.transform(tf.transpose).steps((2, 3), (3, 2), "float32")[0].shape
      (3, 2)
    """
    if not callable(fn):
        raise WarmStartError(f"transform: fn must be a function of a tensor, got {fn!r}")
    check_bool("transform: numpy", numpy)
    label = f"transform({getattr(fn, '__name__', type(fn).__name__)}{', numpy=True' if numpy else ''})"

    def steps(old: Shape, new: Shape, dtype: str, new_dtype: str = "") -> Tuple[Transform, ...]:
        if numpy:
            return (Apply(fn, new, dtype=new_dtype if new_dtype != dtype else "", takes_arrays=True),)
        with tf.Graph().as_default():  # A graph of its own: planning leaves the user's as it is.
            try:
                made = tf.convert_to_tensor(fn(tf.compat.v1.placeholder(dtype, old)))
            except Exception as error:  # Whatever the user's function raises is the reason.
                raise Misfit(f"{label} raised {type(error).__name__} for {list(old)}: {error}") from error
        other_dtype = made.dtype.name if made.dtype.name != dtype else ""
        shape = made.shape.as_list() if made.shape.rank is not None else list(new)
        if len(shape) != len(new):
            shape = [-1 if length is None else length for length in shape]
        else:
            shape = [after if length is None else length for length, after in zip(shape, new)]
        return (Apply(fn, tuple(shape), dtype=other_dtype),)

    return Adapter(label, steps)
