"""Totals for each scope of a model: how many variables of which kind, and how many bytes."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Tuple

from estimator_warmstart.folding import Foldable, fold_lines

NO_SCOPE = "(no scope)"


class Counted(NamedTuple):
    """A variable, as it is counted.

    Attributes:
      name: the variable's name.
      kind: what it is counted as.
      nbytes: its size.
      changed: how many of these bytes are other than before.
    """

    name: str
    kind: str
    nbytes: int
    changed: int = 0


class ScopeTotal(NamedTuple):
    """The total of a scope, or of several scopes that are folded into one.

    Attributes:
      name: the scope, such as `tower/layer{0..11}`.
      counts: for each kind, the number of variables and of their bytes.
      changed: how many of all bytes are other than before.
    """

    name: str
    counts: Dict[str, Tuple[int, int]]
    changed: int

    @property
    def number(self) -> int:
        """The number of variables of any kind."""
        return sum(count for count, _ in self.counts.values())

    @property
    def nbytes(self) -> int:
        """The bytes of all of them."""
        return sum(nbytes for _, nbytes in self.counts.values())


def total_scopes(variables: Iterable[Counted], depth: int, folded: bool = True) -> List[ScopeTotal]:
    """Adds up variables by the first scopes of their names.

    Args:
      variables: in any order.
      depth: how many scopes of a name count, 1 or more; a variable with fewer counts to all that it has.
      folded: whether scopes that differ only in a number become one.

    Example:
      >>> total, = total_scopes([Counted(f"layer{number}/kernel", "same", 64) for number in range(3)], 1)
      >>> total.name, total.number, total.nbytes
      ('layer{0..2}', 3, 192)
    """
    members: Dict[str, List[Counted]] = {}
    for variable in variables:
        scopes = variable.name.split("/")[:-1][:depth]
        members.setdefault("".join(f"{scope}/" for scope in scopes), []).append(variable)
    totals = [(scope, _counts_of(inner), sum(each.changed for each in inner)) for scope, inner in sorted(members.items())]
    lines = [Foldable((scope,), "", (tuple(counts.items()), changed)) for scope, counts, changed in totals]
    return [
        ScopeTotal(
            line.names[0].rstrip("/") or NO_SCOPE,
            _counts_of(variable for place in line.members for variable in members[totals[place][0]]),
            sum(totals[place][2] for place in line.members),
        )
        for line in fold_lines(lines, folded)
    ]


def _counts_of(variables: Iterable[Counted]) -> Dict[str, Tuple[int, int]]:
    counts: Dict[str, Tuple[int, int]] = {}
    for variable in variables:
        count, nbytes = counts.get(variable.kind, (0, 0))
        counts[variable.kind] = (count + 1, nbytes + variable.nbytes)
    return dict(sorted(counts.items()))
