"""TensorFlow, and all of it that is private or differs between versions.

No other module imports a private name of TensorFlow or looks at its version. Importing this module beside a TensorFlow
that the package cannot work with raises one `ImportError`.
"""

from __future__ import annotations

import inspect
import logging
import os
from typing import Any, Callable, List, Optional, Tuple

from estimator_warmstart.printable import printable_lines

_WORKS_WITH = "estimator_warmstart works with TensorFlow 1.15 (Python 3.7) and with TensorFlow 2"

try:
    import tensorflow as tf
except ImportError as error:
    raise ImportError(f"{_WORKS_WITH}. TensorFlow cannot be imported here: {error}") from error


def _version(text: str) -> Tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


if not hasattr(tf, "__version__"):
    raise ImportError(f"{_WORKS_WITH}. What is imported as tensorflow here ({tf}) is not TensorFlow, or what is left of one")
if not (1, 15) <= _version(tf.__version__) < (3, 0):
    raise ImportError(f"{_WORKS_WITH}. Found: TensorFlow {tf.__version__}")

# After these checks, which say what to install; the same protos in every version.
from tensorflow.core.protobuf import config_pb2, tensor_bundle_pb2  # noqa: E402
from tensorflow.core.protobuf import trackable_object_graph_pb2 as object_graph_pb2  # noqa: E402
from tensorflow.core.util import saved_tensor_slice_pb2  # noqa: E402

# In 2.x they are `tf.Variable`s. To ask one of 1.15 for an attribute may make an operation, which a finalized graph refuses.
from tensorflow.python.distribute import values as distributed  # noqa: E402

tf1 = tf.compat.v1
# The same class as `tf.estimator.SessionRunHook`, which TensorFlow has up to 2.15.
SessionRunHook = tf1.train.SessionRunHook
tensorflow_version: str = tf.__version__
_Saver: Any = tf1.train.Saver
_MONITORED = (tf1.train.MonitoredSession, tf1.train.SingularMonitoredSession)
# Until 2.7 `warm_start` silently left all but one of several variables cold that were to take one old variable's value.
warm_start_fills_several = _version(tf.__version__) >= (2, 8)
# A child of TensorFlow's logger: its level and its handlers are those that the user set for TensorFlow.
logger = tf.get_logger().getChild("estimator_warmstart")

__all__ = [
    "LateSaver",
    "SessionRunHook",
    "add_control_input",
    "build_optimizer",
    "call_when_initialized",
    "copies_of",
    "has_seen",
    "initializer_op",
    "is_initialized",
    "is_variable",
    "learning_rate_at",
    "logger",
    "monitored_session_creator",
    "object_graph_pb2",
    "saved_tensor_slice_pb2",
    "session_has_own_variables",
    "set_initial_value",
    "slice_of",
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


def is_variable(value: Any) -> bool:
    """Whether `value` is a variable of the graph: plain, resource, reference, mirrored or aggregating."""
    return isinstance(
        value, (tf.Variable, distributed.DistributedVariable, getattr(distributed, "AggregatingVariable", tf.Variable))
    )


def copies_of(variable: Any) -> List[Any]:
    """The physical variables behind `variable`: each replica's copy of a mirrored one, else the variable itself."""
    values = getattr(variable, "values", None)
    if values is None or callable(values):
        # AggregatingVariable (ParameterServerStrategy) and CachingVariable hold one plain variable.
        inner = getattr(variable, "_v", None)
        return [variable if inner is None or not is_variable(inner) else inner]
    return list(values)


def slice_of(variable: Any) -> Optional[Any]:
    """The `SaveSliceInfo` of one part of a partitioned variable (full_name, full_shape, var_offset, var_shape)."""
    return getattr(variable, "_save_slice_info", None)


def initializer_op(variable: Any) -> Any:
    """The operation that assigns the first value: input 0 is the variable's handle or reference, input 1 the value."""
    initializer = variable.initializer
    return getattr(initializer, "op", initializer)


def is_initialized(variable: Any) -> Any:
    """A scalar bool tensor: whether `variable` has a value in the session."""
    # The public function's result complains on stderr if it is never looked at.
    target = initializer_op(variable).inputs[0]
    if target.dtype == tf.resource:
        return tf.raw_ops.VarIsInitializedOp(resource=target)
    return tf.raw_ops.IsVariableInitialized(ref=target)


def variable_graph(variable: Any) -> Any:
    """The `tf.Graph` that `variable` belongs to."""
    return copies_of(variable)[0].graph


def update_input(op: Any, index: int, tensor: Any) -> None:
    """Makes `tensor` the input `index` of `op`, in place of what it was."""
    op._update_input(index, tensor)


def add_control_input(op: Any, control: Any) -> None:
    """Makes `op` run after `control`."""
    op._add_control_input(control)


def set_initial_value(variable: Any, tensor: Any, initializer: Any = None) -> None:
    """Makes `tensor` the `initial_value` of `variable`, and `initializer`, if given, its initializer, as `warm_start` does."""
    variable._initial_value = tensor
    if initializer is not None:
        variable._initializer_op = initializer


def has_seen(session: Any, op: Any) -> bool:
    """Whether there was `op` when `session` ran last: what becomes of its inputs after that is ignored by the session."""
    if not hasattr(session, "_Callable"):  # A debugger's wrapper.
        return True
    try:
        # What is public takes over the graph before it looks. This runs nothing.
        session._Callable(session, config_pb2.CallableOptions(target=[op.name]))
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        return False
    return True


def monitored_session_creator() -> Any:
    """The `SessionCreator` that was handed to the MonitoredSession which is calling a hook's `begin`; `None` without one.

    A hook is not told: it is found among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals
        if isinstance(caller.get("self"), _MONITORED) and "session_creator" in caller:
            return caller["session_creator"]
        frame = frame.f_back
    return None


def call_when_initialized(creator: Any, act: Callable[[Any, Any], None]) -> None:
    """Makes a `ChiefSessionCreator` call `act(session, init_op)` when it has initialized a model, not when it restores one.

    The user's own `init_op` and `init_fn` have run then; no hook and no checkpoint has seen the session.
    """
    scaffold = creator._scaffold
    init_fn = scaffold._init_fn

    def act_last(session: Any) -> None:
        if init_fn is not None:
            init_fn(session)
        act(session, scaffold.init_op)

    scaffold._init_fn = act_last


def session_has_own_variables() -> bool:
    """Whether this process's session owns its variables' values, or is the chief of those that share them.

    False only for a worker whose variables another process initializes.
    """
    if tf.distribute.has_strategy():
        return bool(tf.distribute.get_strategy().extended.experimental_should_init)
    # Where there is no cluster RunConfig says the same, after a part of a second of imports and a deprecation warning.
    if not os.environ.get("TF_CONFIG"):
        return True
    if hasattr(tf1, "estimator"):
        return bool(tf1.estimator.RunConfig().is_chief)
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    has_chief = {"chief", "master"} & set(cluster.cluster_spec().jobs)
    is_first = (cluster.task_type, cluster.task_id) == ("worker", 0)
    return cluster.task_type in (None, "chief", "master") or (is_first and not has_chief)


class LateSaver(_Saver):
    """A `Saver` that finds out what to save when it is built, and builds itself when it is used unbuilt.

    An Estimator builds the Scaffold's saver when all variables are there, except when it exports: then it just restores.

    Args:
      saveables: called without arguments when the saver is built, returns a `var_list` for `tf.compat.v1.train.Saver`.
      **options: for `tf.compat.v1.train.Saver`.
    """

    def __init__(self, saveables: Callable[[], Any], **options: Any):
        self._saveables = saveables
        super().__init__(defer_build=True, **options)

    def build(self) -> None:
        if not self._is_built:
            self._var_list = self._saveables()
        super().build()

    def save(self, *args: Any, **options: Any) -> Any:
        self.build()
        return super().save(*args, **options)

    def restore(self, sess: Any, save_path: str) -> None:
        self.build()
        super().restore(sess, save_path)


def build_optimizer(optimizer: Any, variables: List[Any]) -> None:
    """Makes the step, the hyperparameters and the slots of a Keras optimizer, as its first training step would."""
    if hasattr(optimizer, "build"):  # Keras optimizers since 2.11.
        optimizer.build(variables)
        return
    optimizer.iterations  # noqa: B018 (made when it is first asked for)
    optimizer._create_hypers()
    optimizer._create_slots(variables)


def learning_rate_at(optimizer: Any, step: int) -> float:
    """The learning rate of a Keras optimizer's update after `step` others."""
    # The public property of Keras optimizers since 2.11 has the rate of their own step.
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
    """Whether this process is the one of its cluster that writes checkpoints and summaries."""
    if tf.distribute.has_strategy():
        return bool(tf.distribute.get_strategy().extended.should_save_summary)
    return session_has_own_variables()


def uninitialized_names() -> Any:
    """What the default of `ready_for_local_init_op` tells: the names of variables and resources that have no value yet."""
    from tensorflow.python.ops import resources

    return tf.concat(
        [
            tf1.report_uninitialized_variables(tf1.global_variables()),
            resources.report_uninitialized_resources(resources.shared_resources()),
        ],
        0,
    )
