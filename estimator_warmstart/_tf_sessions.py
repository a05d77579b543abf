"""Wraps what is private in the making of a `MonitoredSession`: who makes it, and how the model is initialized there.

With the other modules `_tf*.py` the only ones that use TensorFlow's private names.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, ContextManager, Optional

from estimator_warmstart._tf import tf, tf1

__all__ = ["call_when_initialized", "initialize_within", "monitored_session_creator", "resumed_checkpoint"]

_MONITORED = (tf1.train.MonitoredSession, tf1.train.SingularMonitoredSession)


def monitored_session_creator() -> Optional[tf.compat.v1.train.SessionCreator]:
    """Returns the `SessionCreator` of the MonitoredSession that is calling a hook's `begin`, or `None`."""
    # TensorFlow does not pass it to hooks: it is found in the callers' frames.
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals
        if isinstance(caller.get("self"), _MONITORED) and "session_creator" in caller:
            return caller["session_creator"]
        frame = frame.f_back
    return None


def call_when_initialized(
    creator: tf.compat.v1.train.ChiefSessionCreator, act: Callable[[tf.compat.v1.Session, Optional[tf.Operation]], None]
) -> None:
    """Makes a `ChiefSessionCreator` call `act(session, init_op)` after it initializes a model, not after it restores one.

    The call comes after the user's own `init_op` and `init_fn`, and before any hook or checkpoint sees the session.
    """
    scaffold = creator._scaffold
    init_fn = scaffold._init_fn

    def act_last(session: tf.compat.v1.Session) -> None:
        if init_fn is not None:
            init_fn(session)
        act(session, scaffold.init_op)

    scaffold._init_fn = act_last


def initialize_within(
    creator: tf.compat.v1.train.ChiefSessionCreator, context: Callable[[tf.compat.v1.Session], ContextManager[None]]
) -> None:
    """Makes a `ChiefSessionCreator` run the `init_op` of each session that it initializes within `context(session)`.

    No context is entered for a session that is restored from a checkpoint. Call it before the creator makes its first session.
    """
    make_manager = creator._get_session_manager

    def make_manager_once() -> tf.compat.v1.train.SessionManager:
        creator._get_session_manager = make_manager
        manager = make_manager()
        prepare_session = manager.prepare_session

        def prepare(
            *arguments: Any,
            init_op: Any = None,
            init_feed_dict: Any = None,
            init_fn: Optional[Callable[[tf.compat.v1.Session], None]] = None,
            **options: Any,
        ) -> tf.compat.v1.Session:
            if init_op is None:
                return prepare_session(*arguments, init_feed_dict=init_feed_dict, init_fn=init_fn, **options)

            def initialize(session: tf.compat.v1.Session) -> None:
                with context(session):
                    session.run(init_op, feed_dict=init_feed_dict)
                if init_fn is not None:
                    init_fn(session)

            return prepare_session(*arguments, init_fn=initialize, **options)

        manager.prepare_session = prepare
        return manager

    creator._get_session_manager = make_manager_once


def resumed_checkpoint(creator: Optional[tf.compat.v1.train.SessionCreator]) -> Optional[str]:
    """Returns the checkpoint that a `ChiefSessionCreator` is going to restore, or `None`."""
    folder = getattr(creator, "_checkpoint_dir", None)
    return getattr(creator, "_checkpoint_filename_with_path", None) or (folder and tf.train.latest_checkpoint(folder))
