"""Imports TensorFlow, and wraps what is private in it or differs between its versions.

With the other modules `_tf_*.py` the only ones that use TensorFlow's private names or look at
its version.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Iterator, List, Optional, Sequence

from estimator_warmstart._tf_import import tf, version
from estimator_warmstart.printable import printable_lines

# isort: split
# Imported after that, which says what to install. The protos are the same in every version.
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import config_pb2, tensor_bundle_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2 as object_graph_pb2
from tensorflow.core.util import saved_tensor_slice_pb2

# In 2.x distributed variables are `tf.Variable`s. In 1.15, reading an attribute of one may add an operation, which fails if the
# graph is finalized.
from tensorflow.python.distribute import values as distributed

tf1 = tf.compat.v1
# The same class as `tf.estimator.SessionRunHook`, which TensorFlow has up to 2.15.
SessionRunHook = tf1.train.SessionRunHook
tensorflow_version: str = tf.__version__
# Up to 2.7, if several variables were to take the value of one old variable, `warm_start` silently filled only one of them.
warm_start_fills_several = version(tf.__version__) >= (2, 8)
# A child of TensorFlow's logger, so that the user's settings of that one apply.
logger = tf.get_logger().getChild("estimator_warmstart")

__all__ = [
    "SessionRunHook",
    "add_control_input",
    "build_optimizer",
    "copies_of",
    "extensible",
    "has_seen",
    "initialize_keras_variables",
    "initializer_op",
    "is_eager",
    "is_initialized",
    "is_variable",
    "learning_rate_at",
    "logger",
    "object_graph_pb2",
    "saved_tensor_slice_pb2",
    "session_has_own_variables",
    "set_initial_value",
    "set_random_seed_of",
    "slice_of",
    "strategy_of",
    "tensor_bundle_pb2",
    "tensorflow_version",
    "tf",
    "tf1",
    "uninitialized_names",
    "update_input",
    "variable_graph",
    "warm_start_fills_several",
    "writes_files",
]


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable_lines(record.getMessage()), ()
    return True


logger.addFilter(_make_printable)


def is_variable(value: object) -> bool:
    """Returns whether `value` is a variable of a graph: plain, resource, reference, mirrored or aggregating."""
    return isinstance(
        value, (tf.Variable, distributed.DistributedVariable, getattr(distributed, "AggregatingVariable", tf.Variable))
    )


def copies_of(variable: tf.Variable) -> List[tf.Variable]:
    """Returns the physical variables of `variable`: the replicas' copies of a mirrored one, else the variable itself."""
    values = getattr(variable, "values", None)
    if values is None or callable(values):
        # AggregatingVariable (ParameterServerStrategy) and CachingVariable hold one plain variable.
        inner = getattr(variable, "_v", None)
        return [variable if inner is None or not is_variable(inner) else inner]
    return list(values)


def slice_of(variable: tf.Variable) -> Optional[tf.Variable.SaveSliceInfo]:
    """Returns the `SaveSliceInfo` of a part of a partitioned variable (full_name, full_shape, var_offset, var_shape)."""
    return getattr(variable, "_save_slice_info", None)


def set_random_seed_of(op: tf.Operation, seed: int) -> None:
    """Sets the seeds of an operation that draws random numbers; no session may have seen it yet."""
    for name in ("seed", "seed2"):
        op._set_attr(name, attr_value_pb2.AttrValue(i=seed))


def initializer_op(variable: tf.Variable) -> tf.Operation:
    """Returns the operation that assigns the initial value: input 0 is the handle or reference, input 1 the value."""
    initializer = variable.initializer
    return getattr(initializer, "op", initializer)


def is_initialized(variable: tf.Variable) -> tf.Tensor:
    """Returns a scalar bool tensor: whether `variable` has a value in the session."""
    # TensorFlow's public function prints to stderr if its result is never used.
    target = initializer_op(variable).inputs[0]
    if target.dtype == tf.resource:
        return tf.raw_ops.VarIsInitializedOp(resource=target)
    return tf.raw_ops.IsVariableInitialized(ref=target)


def is_eager(variable: tf.Variable) -> bool:
    """Returns whether `variable` is not in a graph."""
    return getattr(copies_of(variable)[0], "_in_graph_mode", True) is False


def variable_graph(variable: tf.Variable) -> tf.Graph:
    """Returns the graph of `variable`."""
    return copies_of(variable)[0].graph


def update_input(op: tf.Operation, index: int, tensor: tf.Tensor) -> None:
    """Replaces the input `index` of `op` with `tensor`."""
    op._update_input(index, tensor)


def add_control_input(op: tf.Operation, control: tf.Operation) -> None:
    """Makes `op` run after `control`."""
    op._add_control_input(control)


def set_initial_value(variable: tf.Variable, tensor: tf.Tensor, initializer: Optional[tf.Operation] = None) -> None:
    """Sets the `initial_value` of `variable`, and its initializer if one is given, as `warm_start` does."""
    variable._initial_value = tensor
    if initializer is not None:
        variable._initializer_op = initializer


@contextlib.contextmanager
def extensible(graph: tf.Graph) -> Iterator[None]:
    """A context in which operations can be added to `graph` even if it is finalized; sessions of it then know them too."""
    if not graph.finalized:
        yield
        return
    graph._unsafe_unfinalize()
    try:
        yield
    finally:
        graph.finalize()


def has_seen(session: tf.compat.v1.Session, op: tf.Operation) -> bool:
    """Returns whether `op` existed when `session` last ran; the session ignores later changes of its inputs."""
    if not hasattr(session, "_Callable"):  # A debugger's wrapper.
        return True
    try:
        # Any public method would extend the session's graph first. This one runs nothing.
        session._Callable(session, config_pb2.CallableOptions(target=[op.name]))
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        return False
    return True


def session_has_own_variables() -> bool:
    """Returns whether this process initializes its session's variables; a worker other than the chief may not."""
    if tf.distribute.has_strategy():
        return bool(tf.distribute.get_strategy().extended.experimental_should_init)
    # Without a cluster, RunConfig would return True as well, but only after slow imports and a deprecation warning.
    if not os.environ.get("TF_CONFIG"):
        return True
    if hasattr(tf1, "estimator"):
        return bool(tf1.estimator.RunConfig().is_chief)
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    has_chief = {"chief", "master"} & set(cluster.cluster_spec().jobs)
    is_first = (cluster.task_type, cluster.task_id) == ("worker", 0)
    return cluster.task_type in (None, "chief", "master") or (is_first and not has_chief)


def strategy_of(variable: tf.Variable) -> Optional[tf.distribute.Strategy]:
    """Returns the strategy in whose scope a variable was made, or `None`."""
    # Before TensorFlow 2.5, the variables of a strategy with one device tell it by a private name only.
    strategy = getattr(variable, "distribute_strategy", None)
    return getattr(variable, "_distribute_strategy", None) if strategy is None else strategy


def build_optimizer(optimizer: tf.keras.optimizers.Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Makes the variables of a Keras optimizer: its step, hyperparameters and slots, as its first training step would."""
    if hasattr(optimizer, "build"):  # Keras optimizers since 2.11.
        optimizer.build(variables)
        return
    optimizer.iterations  # noqa: B018 (made when first read)
    optimizer._create_hypers()
    optimizer._create_slots(variables)


def initialize_keras_variables() -> None:
    """Gives the variables that Keras has made in the default graph, and has not initialized yet, their first values."""
    get_session = getattr(tf1.keras.backend, "get_session", None)
    if get_session is not None:  # Keras 3, which has none, makes no variables in a graph.
        get_session()


def learning_rate_at(optimizer: tf.keras.optimizers.Optimizer, step: int) -> float:
    """Returns the learning rate that a Keras optimizer uses after `step` updates."""
    # In Keras optimizers since 2.11, the public property gives the rate at the optimizer's own step.
    rate = getattr(optimizer, "_learning_rate", None)
    rate = optimizer.learning_rate if rate is None else rate
    config = optimizer.get_config()
    if isinstance(rate, tf.keras.optimizers.schedules.LearningRateSchedule):
        with tf.Graph().as_default(), tf1.Session() as session:
            value = session.run(rate(tf.constant(step, tf.int64)))
    else:
        value = config["learning_rate"]
    return float(value) / (1.0 + float(config.get("decay", 0.0)) * step)


def writes_files() -> bool:
    """Returns whether this process is the one of its cluster that writes checkpoints and summaries."""
    if tf.distribute.has_strategy():
        return bool(tf.distribute.get_strategy().extended.should_save_summary)
    return session_has_own_variables()


def uninitialized_names() -> tf.Tensor:
    """Returns the names of variables and resources without a value, as the default `ready_for_local_init_op` does."""
    from tensorflow.python.ops import resources

    return tf.concat(
        [
            tf1.report_uninitialized_variables(tf1.global_variables()),
            resources.report_uninitialized_resources(resources.shared_resources()),
        ],
        0,
    )
