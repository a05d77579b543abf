"""Says how far work is that takes longer than two seconds: a bar on a terminal, elsewhere a line in the log now and then.

It needs TensorFlow's logger, which `text_output.py` must not: that one is there before TensorFlow is.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

from estimator_warmstart._tf import logger
from estimator_warmstart.printable import printable

# Is called with the bytes done and the bytes in all.
Progress = Callable[[int, int], None]

QUIET_SECS = 2.0
EACH_SECS = 10.0
_BAR = 20
_JOIN_SECS = 5.0


class Clock:
    """The time, for everything that is told here."""

    def now(self) -> float:
        """Returns seconds since some moment."""
        return time.monotonic()

    def wait(self, ended: threading.Event, secs: float) -> bool:
        """Waits for `secs`, or until `ended` is set; returns whether it is."""
        return ended.wait(secs)


CLOCK = Clock()


def unseen(done: int, total: int) -> None:
    """Takes the bytes done and the bytes in all, and tells nobody."""


@contextmanager
def progress_line(what: str, is_shown: Optional[bool] = None) -> Iterator[Progress]:
    """Provides a function of the bytes done and the total bytes that tells them, once two seconds have passed.

    If stderr is a terminal, a bar there is updated for each percent. Else a line is logged at level INFO each ten seconds.

    Args:
      what: the text in front, such as `"Converting model.ckpt"`.
      is_shown: `True`: the bar, from the first byte on, wherever stderr goes; `False`: nothing; `None`: as above.
    """
    if is_shown is False:
        yield unseen
    elif is_shown or sys.stderr.isatty():
        bar = _Bar(what, CLOCK.now() + (0 if is_shown else QUIET_SECS))
        try:
            yield bar.show
        finally:
            bar.end()
    else:
        yield _Lines(what, CLOCK.now() + QUIET_SECS).show


@contextmanager
def tally(what: str, total: int, is_shown: Optional[bool] = None) -> Iterator[Callable[[int], None]]:
    """Provides a function of the bytes done since its last call, which any thread may call. Else as `progress_line`.

    Args:
      what: the text in front.
      total: the bytes in all.
      is_shown: as for `progress_line`.
    """
    done, counting = 0, threading.Lock()
    with progress_line(what, is_shown) as progress:

        def add(nbytes: int) -> None:
            nonlocal done
            with counting:
                done += nbytes
                progress(done, total)

        yield add


@contextmanager
def logged_progress(what: str, total: int, count: Callable[[], Optional[int]]) -> Iterator[None]:
    """Logs how far the body is, at level INFO: after two seconds, then each ten. It ends with the body, however that ends.

    Use it where the work cannot tell by itself, as in `session.run`: another thread asks.

    Args:
      what: as for `progress_line`.
      total: the bytes in all.
      count: returns the bytes done, or `None` to be asked no more. It is called in a thread of its own.
    """
    if not total or not logger.isEnabledFor(logging.INFO):
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_log_until, args=(ended, what, total, count), name="warm-start-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_SECS)  # A question to a machine that is gone may take longer; nothing is logged after this.


def _log_until(ended: threading.Event, what: str, total: int, count: Callable[[], Optional[int]]) -> None:
    done: Optional[int] = 0
    secs = QUIET_SECS
    while done is not None and done < total and not CLOCK.wait(ended, secs):
        done, secs = count(), EACH_SECS
        if done is not None and not ended.is_set():
            logger.info("%s: %s", what, _amount(done, total))


class _Bar:
    """A bar on stderr.

    Args:
      what: the text in front.
      begins: when it is shown first.
    """

    def __init__(self, what: str, begins: float):
        self._what, self._begins, self._percent = printable(what), begins, -1

    def show(self, done: int, total: int) -> None:
        """Updates the bar."""
        percent = _percent(done, total)
        if percent != self._percent and CLOCK.now() >= self._begins:
            self._percent = percent
            shown = f" [{'#' * (percent * _BAR // 100):{_BAR}}] {_amount(done, total)}"
            room = max(shutil.get_terminal_size().columns - 1 - len(shown), 0)  # A line that wraps is not rewritten.
            sys.stderr.write(f"\r{self._what[:room]}{shown}")
            sys.stderr.flush()

    def end(self) -> None:
        """Lets what is written next, an error maybe, begin on a line of its own."""
        if self._percent >= 0:
            sys.stderr.write("\n")
            sys.stderr.flush()


class _Lines:
    """Lines in the log.

    Args:
      what: the text in front.
      due: when the first one is logged.
    """

    def __init__(self, what: str, due: float):
        self._what, self._due = what, due

    def show(self, done: int, total: int) -> None:
        """Logs a line if it is time for one."""
        if CLOCK.now() >= self._due:
            self._due = CLOCK.now() + EACH_SECS
            logger.info("%s: %s", self._what, _amount(done, total))


def _percent(done: int, total: int) -> int:
    return 100 * done // total if total else 100


def _amount(done: int, total: int) -> str:
    digits = 0 if total >= 10**8 else 1
    return f"{done / 1e6:,.{digits}f} of {total / 1e6:,.{digits}f} MB, {_percent(done, total)} %"
