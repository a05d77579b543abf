"""The rows of a checkpoint's list: a variable each, or several that are folded into one, with their slots."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from estimator_warmstart.checkpoint.checkpoint import OldVariable
from estimator_warmstart.checkpoint.listing import ListedVariable, Listing
from estimator_warmstart.checkpoint.statistics import Statistics, pool_statistics
from estimator_warmstart.folding import Foldable, fold_lines
from estimator_warmstart.scopes import Counted, ScopeTotal, total_scopes
from estimator_warmstart.tables import NAME, NUMBER, Column, Table

_VARIABLES, _SLOTS = "variables", "slots"


class ListedTensor(NamedTuple):
    """What is listed of a variable or of a slot.

    Attributes:
      name: the variable's, or the slot's label.
      path: the object path, if it is not the name.
      shape: as text, with the number of parts.
      dtype: TensorFlow's name of it.
      nbytes: of all variables that the row stands for.
      statistics: of all their values; `None` if there are none.
    """

    name: str
    path: str
    shape: str
    dtype: str
    nbytes: int
    statistics: Optional[Statistics] = None


class ListedRow(NamedTuple):
    """A row of the list.

    Attributes:
      variable: the variable, or several with names such as `layer{0..11}/kernel`.
      slots: its slots.
    """

    variable: ListedTensor
    slots: Tuple[ListedTensor, ...]

    @property
    def name(self) -> str:
        """The variable's name."""
        return self.variable.name

    @property
    def nbytes(self) -> int:
        """The variable's bytes."""
        return self.variable.nbytes


def listing_rows(listing: Listing, statistics: Mapping[str, Statistics], folded: bool = True) -> List[ListedRow]:
    """Returns the rows of a list.

    Args:
      listing: what is listed.
      statistics: {name: statistics} of some of the variables and slots; those of folded ones are pooled.
      folded: whether rows that differ only in the number of a scope become one.
    """
    entries = listing.entries
    rows = []
    for line in fold_lines([_foldable(entry) for entry in entries], folded):
        members = [entries[place] for place in line.members]
        name, path = line.names
        slots = [
            _tensor(label, "", [member.slots[place].variable for member in members], statistics)
            for place, label in enumerate(members[0].slot_labels)
        ]
        if len(members) == 1:
            slots = [slot._replace(path=_path_of(listed.variable)) for slot, listed in zip(slots, members[0].slots)]
        variable = _tensor(name, path, [member.variable for member in members], statistics)
        rows.append(ListedRow(variable, tuple(slots)))
    return rows


def total_listed(listing: Listing, depth: int, folded: bool = True) -> List[ScopeTotal]:
    """Returns the totals of the scopes, a slot counts to the scope of its variable."""
    variables = [Counted(entry.variable.name, _VARIABLES, entry.variable.nbytes) for entry in listing.entries]
    slots = [Counted(entry.variable.name, _SLOTS, slot.variable.nbytes) for entry in listing.entries for slot in entry.slots]
    return total_scopes(variables + slots, depth, folded)


def listed_scopes_table(totals: Sequence[ScopeTotal]) -> Table:
    """Returns the totals of `total_listed` as a table."""
    columns = [Column("scope", NAME), *(Column(title, NUMBER) for title in ("variables", "bytes", "slots", "slot bytes"))]
    numbers = [[number for kind in (_VARIABLES, _SLOTS) for number in total.counts.get(kind, (0, 0))] for total in totals]
    return Table(columns, [[total.name, *(f"{each:,}" for each in found)] for total, found in zip(totals, numbers)])


def _foldable(entry: ListedVariable) -> Foldable:
    tensors = [entry.variable, *(slot.variable for slot in entry.slots)]
    same = (*entry.slot_labels, *((old.shape, old.dtype, len(old.slices)) for old in tensors))
    return Foldable((entry.variable.name, _path_of(entry.variable)), "", same)


def _path_of(old: OldVariable) -> str:
    return old.path if old.path != old.name else ""


def _tensor(name: str, path: str, members: Sequence[OldVariable], statistics: Mapping[str, Statistics]) -> ListedTensor:
    old = members[0]
    parts = f" in {len(old.slices)} parts" if old.slices else ""
    found = [statistics[member.name] for member in members if member.name in statistics]
    return ListedTensor(
        name,
        path,
        f"{list(old.shape)}{parts}",
        old.dtype,
        sum(member.nbytes for member in members),
        pool_statistics(found) if found else None,
    )
