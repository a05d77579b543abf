"""What goes wrong, in one message.

Enters: problems found while a checkpoint is opened, names are matched or a plan is made. Leaves: one exception that
lists all of them. This module knows nothing of TensorFlow, checkpoints or graphs.
"""

from __future__ import annotations

from typing import Iterable, List, Sequence

from estimator_warmstart.printable import printable_lines
from estimator_warmstart.spellings import closest


class WarmStartError(ValueError):
    """A warm start cannot be done as asked; nothing has been touched.

    Catch this one to catch everything that this package raises on purpose. It is a `ValueError`, so code written for
    the plain hook of the article keeps working.

    Attributes:
      problems: tuple of str, each problem as one sentence or more; the message lists them all.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()):
        self.problems = tuple(map(printable_lines, problems)) or (printable_lines(message),)
        if len(problems) == 1:
            message = f"{message}: {problems[0]}"
        elif problems:
            message = "\n  * ".join([f"{message}, {len(problems)} problems:"] + list(problems))
        super().__init__(printable_lines(message))


class CheckpointError(WarmStartError):
    """The old side cannot be read: not there, not whole, or not a checkpoint."""


def close_spellings(name: str, known: Iterable[str], count: int = 3) -> List[str]:
    """The `count` names in `known` that look most like `name`, best first, the same last part of the name preferred."""
    return closest(name, tuple(known), count)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A half sentence with the close spellings, or an empty string where nothing is close."""
    close = close_spellings(name, known)
    return f" (did you mean {' or '.join(repr(other) for other in close)}?)" if close else ""


def first_few(names: Sequence[str], count: int = 5) -> str:
    """The first of `names` for a sentence, with the number of the others."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return (", ".join(repr(name) for name in names[:count]) or "nothing") + more
