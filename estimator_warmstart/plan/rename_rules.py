"""One rule of `rename`: which old variables it fits, by name, object path or slot, and what it turns each into."""

from __future__ import annotations

from typing import List, Mapping, Tuple

from estimator_warmstart.errors import did_you_mean
from estimator_warmstart.patterns import Pattern, Renames, fits_any, fits_nothing


def scopes_of(name: str) -> List[str]:
    """The root scope, each scope that `name` lies in, and `name` itself."""
    return [""] + [name[:at] for at, letter in enumerate(name) if letter == "/"] + [name]


class RenameRule:
    """One old pattern of `rename` with its new scopes, and the old variables that it fits.

    Attributes:
      renames: the pattern with each of its replacements.
      fitting: {old name: the name or other spelling of it that the pattern fits}. Names count before all else: a pattern is
        one of object paths and the like only if it fits no name.
    """

    def __init__(self, renames: Renames, olds: Mapping[str, Tuple[str, ...]]):
        self.renames = renames
        pattern = renames[0]
        self.fitting = {old: old for old in olds if pattern.fits(old)} or {
            old: spelling for old, spellings in olds.items() for spelling in spellings if pattern.fits(spelling)
        }
        self._known = [spelling for spellings in olds.values() for spelling in spellings]

    def targets(self, old: str) -> List[Tuple[Pattern, str]]:
        """Each of the renames with what it makes of `old`, which fits."""
        return [(rename, rename.rename(self.fitting[old])) for rename in self.renames]

    def why_unused(self, rename: Pattern, takes_some: bool, fillable: List[str]) -> str:
        """What is wrong with one of the renames, which gives no new variable anything."""
        problem = fits_nothing(rename, "rename", "old variable", self._known)
        if problem:
            is_new = fits_any([rename], rename.text) and any(rename.fits(name) for name in fillable)
            return problem + (" It fits a new variable: rename goes from old to new." if is_new else "")
        if not takes_some:
            return f"rename {rename.text!r} fits only old variables that an earlier rule takes"
        made = {old: rename.rename(spelling) for old, spelling in self.fitting.items()}
        says = f"rename {rename.text!r} -> {rename.replacement!r} makes"
        left_out = next((target for target in made.values() if target in fillable), None)
        if left_out is not None:
            return (
                f"{says} {left_out!r} and the like, which include or exclude leaves out, and of nothing a new variable to fill"
            )
        example, target = next(iter(made.items()))
        return f"{says} {target!r} of {example!r}, and of nothing a new variable to fill{did_you_mean(target, fillable)}"
