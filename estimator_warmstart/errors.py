"""The package's errors, each of which lists all problems in one message, and the phrases that messages share."""

from __future__ import annotations

from typing import Iterable, List, Sequence

from estimator_warmstart.printable import printable_lines
from estimator_warmstart.spellings import closest


class WarmStartError(ValueError):
    """A warm start cannot be done as asked; nothing has been changed.

    Catch it to catch every error that this package raises on purpose. It is a `ValueError`, so that code written for the
    plain hook of the article keeps working.

    Attributes:
      problems: tuple of str, each problem in one or more sentences; the message lists them all.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()):
        self.problems = tuple(map(printable_lines, problems)) or (printable_lines(message),)
        if len(problems) == 1:
            message = f"{message}: {problems[0]}"
        elif problems:
            message = "\n  * ".join([f"{message}, {len(problems)} problems:"] + list(problems))
        super().__init__(printable_lines(message))


class CheckpointError(WarmStartError):
    """The old model cannot be read: it is missing, damaged or not a checkpoint."""


def raise_together(errors: Sequence[WarmStartError]) -> None:
    """Raises the error of one old model as it is, and those of several as one; nothing if there is none."""
    if len(errors) > 1:
        kind = CheckpointError if all(isinstance(error, CheckpointError) for error in errors) else WarmStartError
        raise kind(f"{len(errors)} old models cannot be used", [str(error) for error in errors]) from errors[0]
    if errors:
        raise errors[0]


class DestinationExistsError(WarmStartError):
    """The destination holds a checkpoint already, and overwriting was not asked for.

    Attributes:
      destination: the prefix of that checkpoint.
    """

    def __init__(self, destination: str, remedy: str = "say overwrite=True"):
        self.destination = destination
        super().__init__(f"destination {destination!r} exists already; name another, or {remedy} to replace it")


def close_spellings(name: str, known: Iterable[str], count: int = 3) -> List[str]:
    """Returns the `count` names in `known` most similar to `name`, best first; the same last part is preferred."""
    return closest(name, tuple(dict.fromkeys(known)), count)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a question that offers close spellings, or an empty string if there are none."""
    close = close_spellings(name, known)
    return f" (did you mean {' or '.join(repr(other) for other in close)}?)" if close else ""


def first_few(names: Sequence[str], count: int = 5) -> str:
    """Returns the first of `names` for a sentence, and the number of the others."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return (", ".join(repr(name) for name in names[:count]) or "nothing") + more
