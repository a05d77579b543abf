"""Tells how far a large recovery is in a graph, where TensorFlow carries it out and none of our Python is called meanwhile.

Another thread asks the session, which may run operations at the same time. No value passes through anything for that, and no
initializer waits for anything: the variables that have a value by now are counted. So a graph that is exported initializes
elsewhere as it did. Recoveries below 256 MB add nothing to the graph.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart._tf import is_initialized, tf, tf1
from estimator_warmstart._tf_sessions import initialize_within, monitored_session_creator
from estimator_warmstart.plan.plan import Plan
from estimator_warmstart.progress import logged_progress
from estimator_warmstart.restore.initializers import device_of, own_scope
from estimator_warmstart.tensors import count_bytes

LARGE_BYTES = 256 * 2**20
_MOST_SHARES = 100
# The key of a collection of the graph, which is not exported, since it is not a string.
_WATCHES_KEY = ("estimator_warmstart", "watches")
# Local sessions answer in the thread that asks. All others may be busy reading.
_IN_THIS_THREAD = tf1.RunOptions(inter_op_thread_pool=-1)


class Share(NamedTuple):
    """A physical variable, and how many bytes are known to be done when it is: its own, and those of small ones before it."""

    copy: tf.Variable
    nbytes: int


def shares_of(plan: Plan) -> Tuple[Share, ...]:
    """Returns whose values tell how far the recovery is: at most a hundred, of all bytes together; none of a small recovery."""
    sizes = [
        (copy, count_bytes(part.shape, planned.new.dtype))
        for planned in plan.recovered
        for part in planned.new.parts
        for copy in part.copies
        if not planned.new.is_local  # Each session initializes these at another time.
    ]
    total = sum(nbytes for _, nbytes in sizes)
    if not is_large(total):
        return ()
    shares: List[Share] = []
    done = told = 0
    for copy, nbytes in sizes:
        done += nbytes
        if done * _MOST_SHARES // total > told * _MOST_SHARES // total:
            shares.append(Share(copy, done - told))
            told = done
    return tuple(shares)


class ByteCounter:
    """Counts bytes in a session while operations run there.

    Args:
      graph: the graph that is being built.

    Attributes:
      begin: the operation that sets the count to 0; it must be run before anything is counted.
    """

    def __init__(self, graph: tf.Graph):
        name = graph.unique_name("recovered_bytes", mark_as_used=False)
        with tf.device("/cpu:0"):
            self._handle = tf.raw_ops.VarHandleOp(
                dtype=tf.int64, shape=[], container="", shared_name=name, name="recovered_bytes"
            )
            self.begin = tf.raw_ops.AssignVariableOp(resource=self._handle, value=tf.constant(0, tf.int64))
            self._value = tf.raw_ops.ReadVariableOp(resource=self._handle, dtype=tf.int64)

    def count(self, nbytes: int, after: tf.Operation) -> tf.Operation:
        """Returns an operation that counts `nbytes` once `after` has run."""
        with tf1.control_dependencies([after]), tf.device("/cpu:0"):
            return tf.raw_ops.AssignAddVariableOp(resource=self._handle, value=tf.constant(nbytes, tf.int64))

    def read(self, session: tf.compat.v1.Session) -> Optional[int]:
        """Returns the bytes counted by now; `None` if the session does not answer."""
        try:
            return int(session.run(self._value, options=_IN_THIS_THREAD))
        except (tf.errors.OpError, RuntimeError):
            return None


class _Watch(NamedTuple):
    """What tells how far one recovery is while the variables are initialized.

    Attributes:
      what: what is done, for the log.
      shares: whose values tell.
      have_values: for each, whether it has one.
    """

    what: str
    shares: Sequence[Share]
    have_values: Sequence[tf.Tensor]

    @contextmanager
    def watching(self, session: tf.compat.v1.Session) -> Iterator[None]:
        """A context in which the variables are initialized."""
        before = session.run(self.have_values)  # If a parameter server was lost, the others still have theirs.
        cold = [(share, value) for share, value, has_value in zip(self.shares, self.have_values, before) if not has_value]
        total, asked = sum(share.nbytes for share, _ in cold), [value for _, value in cold]

        def count() -> Optional[int]:
            try:
                have_values = session.run(asked, options=_IN_THIS_THREAD)
            except (tf.errors.OpError, RuntimeError):
                return None  # The session is broken; whoever initializes will say so.
            return sum(share.nbytes for (share, _), has_value in zip(cold, have_values) if has_value)

        with logged_progress(self.what, total, count):
            yield


def is_large(nbytes: int) -> bool:
    """Whether recovering so many bytes may take longer than two seconds, so that some operations to tell of it are worth it."""
    return nbytes >= LARGE_BYTES


def describe(plan: Plan) -> str:
    """Returns what is recovered, for the log."""
    return f"Recovering from {plan.old_place}"


def log_while_initialized(plan: Plan, graph: tf.Graph, shares: Sequence[Share]) -> None:
    """Makes a MonitoredSession of `graph`, which is not finalized yet, log how far `plan` is while it initializes the model."""
    if not shares:
        return
    watches: List[_Watch] = graph.get_collection_ref(_WATCHES_KEY)
    have_values: List[tf.Tensor] = []
    with own_scope(graph):
        for share in shares:
            with tf.device(device_of(share.copy)):
                have_values.append(is_initialized(share.copy))
    watches.append(_Watch(describe(plan), shares, have_values))
    if len(watches) == 1:
        _call_at_finalize(graph, lambda: _watch_session(watches))


def _watch_session(watches: Sequence[_Watch]) -> None:
    creator = monitored_session_creator()

    @contextmanager
    def watching(session: tf.compat.v1.Session) -> Iterator[None]:
        with ExitStack() as entered:
            for watch in watches:
                entered.enter_context(watch.watching(session))
            yield

    if isinstance(creator, tf1.train.ChiefSessionCreator):
        initialize_within(creator, watching)


def _call_at_finalize(graph: tf.Graph, act: Callable[[], None]) -> None:
    """Makes each `graph.finalize()` call `act()` first: that of the Scaffold comes right before the session is made."""
    finalize = graph.finalize

    def act_first() -> None:
        act()
        finalize()

    graph.finalize = act_first
