"""Kills a process before each of its file operations. The programs that tests start in a Python of their own import this."""

import builtins
import os
import signal
import sys

import tensorflow as tf

OF_OS = ("mkdir", "link", "replace", "rename", "rmdir", "unlink", "remove", "fsync", "open", "close", "write")
OF_TENSORFLOW = ("remove", "rename", "makedirs", "rmtree", "copy")
MOST_OPERATIONS = 1000


def count_operations(before_each):
    """Has `before_each` called before each file operation of this process."""

    def counted(function):
        def call(*arguments, **options):
            before_each()
            return function(*arguments, **options)

        return call

    for module, names in ((os, OF_OS), (tf.io.gfile, OF_TENSORFLOW), (builtins, ("open",))):
        for name in names:
            setattr(module, name, counted(getattr(module, name)))


def status_of(act, kill_at=0):
    """The status of a process that calls `act` and is killed before its file operation `kill_at`, counted from 1; 0: never."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    done = 0

    def before_each():
        nonlocal done
        done += 1
        if done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        count_operations(before_each)
        act()
    finally:
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        os._exit(0 if sys.exc_info()[0] is None else 1)


def kill_before_each(act, make_ready=lambda: None, every=1):
    """Yields the operation before which a process that calls `act` was killed, until one is so short that it ends by itself.

    Args:
      act: is called in a process of its own each time; no session may be open in this one.
      make_ready: is called before each.
      every: 1 kills before each operation, 2 before the first, third, fifth and so on.
    """
    for kill_at in range(1, MOST_OPERATIONS, every):
        make_ready()
        status = status_of(act, kill_at)
        assert status in (0, signal.SIGKILL), status
        yield kill_at
        if status == 0:
            return
    raise AssertionError(f"{MOST_OPERATIONS} operations, and not done")
