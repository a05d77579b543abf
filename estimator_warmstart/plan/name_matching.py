"""Matches old variables with new ones by patterns and renames, on names alone.

A plan, `match_variables` and the command line share it. Each of them decides which of the problems found here count.
"""

from __future__ import annotations

from typing import Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from estimator_warmstart.errors import did_you_mean
from estimator_warmstart.graph.variables import NewVariable
from estimator_warmstart.patterns import (
    Pattern,
    PatternsArgument,
    RenameArgument,
    Renames,
    compile_patterns,
    compile_renames,
    fits_any,
    fits_nothing,
)


class Pair(NamedTuple):
    """One old variable and one new variable that takes its value, by name.

    Attributes:
      old: the old variable's name.
      new: the new variable's name.
      model: the number, from 0, of the old model that has it.
    """

    old: str
    new: str
    model: int = 0


class NameRules(NamedTuple):
    """The compiled arguments that choose variables by name; `None` for one that the user did not give.

    Attributes:
      include: patterns of the new names to fill; all of them if there is no pattern.
      exclude: patterns of the new names to leave as they are.
      renames: each old pattern with its replacements; the first that fits an old name wins.
      collection: a name from `tf.compat.v1.GraphKeys`: only its variables are filled.
    """

    include: Optional[Tuple[Pattern, ...]] = None
    exclude: Optional[Tuple[Pattern, ...]] = None
    renames: Optional[Tuple[Renames, ...]] = None
    collection: Optional[str] = None

    @property
    def are_given(self) -> bool:
        """Whether the user gave any of these rules."""
        return any(rule is not None for rule in self)

    @property
    def choose_explicitly(self) -> bool:
        """Whether the rules say which new variables are to be filled, so that each one without an old value is a problem."""
        return self.include is not None or self.collection is not None

    def have(self, about: Tuple[str, Union[str, Pattern, None]]) -> bool:
        """Whether a problem may be about these rules: each old model may have renames of its own."""
        return about[0] != "rename" or any(about[1] in renames for renames in self.renames or ())

    def choose(self, name: str) -> bool:
        """Whether `include` and `exclude` let the new variable `name` be filled."""
        return (not self.include or fits_any(self.include, name)) and not fits_any(self.exclude or (), name)


def compile_name_rules(
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenameArgument = None,
    collection: Optional[str] = None,
) -> NameRules:
    """Compiles the arguments of `match_variables` that choose variables.

    Raises:
      WarmStartError: for a pattern or rename that is not valid.
    """
    return NameRules(
        compile_patterns(include, "include"), compile_patterns(exclude, "exclude"), compile_renames(rename), collection
    )


class Problem(NamedTuple):
    """What is wrong with a rule, or with the name of a new variable.

    Attributes:
      about: the rule or the name. What is wrong with it for one old model may be right for another.
      says: what is wrong, in a sentence.
    """

    about: Tuple[str, Union[str, Pattern, None]]
    says: str


class Matched(NamedTuple):
    """The result of matching the names of two models.

    Attributes:
      pairs: which new variable takes which old one.
      chosen: the new variables that were chosen explicitly, whether or not the checkpoint has them. An include or a
        collection chooses all that it names, a rename all in its new scopes. An exclude alone chooses nothing: the other
        variables are filled if the checkpoint has them.
      unused: problems of rules that fit nothing.
      doubled: problems of new variables that renames give two old ones.
      missing: problems of new variables that the checkpoint does not have.
    """

    pairs: Tuple[Pair, ...] = ()
    chosen: Tuple[str, ...] = ()
    unused: Tuple[Problem, ...] = ()
    doubled: Tuple[Problem, ...] = ()
    missing: Tuple[Problem, ...] = ()

    @property
    def problems(self) -> Tuple[str, ...]:
        """The problems of all kinds, in sentences."""
        return sentences(self.unused + self.doubled + self.missing)


def sentences(problems: Iterable[Problem]) -> Tuple[str, ...]:
    """Returns what the problems say."""
    return tuple(problem.says for problem in problems)


def match_names(
    olds: Mapping[str, Sequence[str]], fillable: Sequence[str], rules: NameRules, others: Sequence[NewVariable] = ()
) -> Matched:
    """Matches old and new variables by their names.

    Args:
      olds: {name of an old variable: its other spellings}; a rename that fits no name may fit a spelling.
      fillable: the names of the new variables that patterns may choose.
      rules: the patterns and renames.
      others: the new variables that no pattern can choose, for messages.
    """
    renaming = _Renaming(olds, rules.renames or ())
    wanted = [name for name in fillable if rules.choose(name)]
    old_of, doubled = renaming.old_names_for(set(wanted))
    pairs = [Pair(old_of[name], name) for name in wanted if name in old_of]
    unused = [
        problem
        for argument, patterns in (("include", rules.include), ("exclude", rules.exclude))
        for pattern in patterns or ()
        for problem in _why_nothing_fillable(pattern, argument, fillable, others)
    ]
    unused += renaming.why_unused(set(wanted), fillable)
    missing = _missing_includes(rules.include or (), wanted, pairs)
    if not (pairs or unused or doubled or missing):
        if fillable and not wanted:
            excluding = ", ".join(repr(pattern.text) for pattern in rules.exclude or ())
            unused = [Problem(("exclude", None), f"exclude leaves out every new variable: {excluding}")]
        else:
            missing = [Problem(("names", None), _nothing_in_common(list(olds), fillable))]
    chosen = wanted if rules.include or rules.collection is not None else renaming.in_new_scopes(wanted)
    return Matched(tuple(pairs), tuple(chosen), tuple(unused), tuple(doubled), tuple(missing))


class _FittingRename:
    """The renames of one old pattern, and the old variables that it fits.

    Attributes:
      renames: the pattern with each of its replacements.
      fitting: {old name: the name or other spelling of it that the pattern fits}. Names come first: a pattern is compared
        with other spellings, such as object paths, only if it fits no name.
    """

    def __init__(self, renames: Renames, olds: Mapping[str, Sequence[str]]):
        self.renames = renames
        pattern = renames[0]
        self.fitting = {old: old for old in olds if pattern.fits(old)} or {
            old: spelling for old, spellings in olds.items() for spelling in spellings if pattern.fits(spelling)
        }

    def targets(self, old: str) -> List[Tuple[Pattern, str]]:
        """Returns each of the renames with the new name that it gives `old`, which fits."""
        return [(rename, rename.rename(self.fitting[old])) for rename in self.renames]


class _Renaming:
    """All renames, and the first of them that fits each old variable.

    Args:
      olds: {name of an old variable: its other spellings}.
      renames: as compiled, in the user's order.
    """

    def __init__(self, olds: Mapping[str, Sequence[str]], renames: Iterable[Renames]):
        self._olds = olds
        self._all = [_FittingRename(each, olds) for each in renames]
        by_old: Dict[str, _FittingRename] = {}
        for each in reversed(self._all):
            by_old.update(dict.fromkeys(each.fitting, each))
        self._by_old = {old: by_old[old] for old in olds if old in by_old}

    def old_names_for(self, wanted: Set[str]) -> Tuple[Dict[str, str], List[Problem]]:
        """Returns {new name: old name}, renamed or of the same name, and the problems of new names with two old ones."""
        old_of: Dict[str, str] = {}
        problems: List[Problem] = []
        for old, found in self._by_old.items():
            for _, target in found.targets(old):
                if target not in wanted:
                    continue
                if target in old_of:
                    says = f"rename gives the new {target!r} two old ones: {old_of[target]!r} and {old!r}"
                    problems.append(Problem(("new", target), says))
                old_of.setdefault(target, old)
        for old in self._olds:
            if old not in self._by_old:
                old_of.setdefault(old, old)
        return old_of, problems

    def in_new_scopes(self, wanted: Iterable[str]) -> List[str]:
        """Returns the new variables that are in the new scope of a rename, or have its new name."""
        scopes = {rename.renamed_scope(found.fitting[old]) for old, found in self._by_old.items() for rename in found.renames}
        return [name for name in wanted if scopes and not scopes.isdisjoint(_scopes_of(name))]

    def why_unused(self, wanted: Set[str], fillable: Sequence[str]) -> List[Problem]:
        """Returns the problems of renames that do not lead to any new variable."""
        used = {rename for old, found in self._by_old.items() for rename, target in found.targets(old) if target in wanted}
        taking = set(map(id, self._by_old.values()))
        return [
            Problem(("rename", rename), self._why_unused(rename, found, id(found) in taking, dict.fromkeys(fillable)))
            for found in self._all
            for rename in found.renames
            if rename not in used
        ]

    def _why_unused(self, rename: Pattern, found: _FittingRename, takes_some: bool, fillable: Collection[str]) -> str:
        known = [spelling for old, spellings in self._olds.items() for spelling in (old, *spellings)]
        problem = fits_nothing(rename, "rename", "old variable", known)
        if problem:
            is_new = fits_any([rename], rename.text) and any(rename.fits(name) for name in fillable)
            return problem + (" It fits a new variable: rename goes from old to new." if is_new else "")
        if not takes_some:
            return f"rename {rename.text!r} fits only old variables that an earlier rule takes"
        says = f"rename {rename.text!r} -> {rename.replacement!r} turns"
        new_names = {old: rename.rename(spelling) for old, spelling in found.fitting.items()}
        left_out = next((old for old, new_name in new_names.items() if new_name in fillable), None)
        if left_out is not None:
            return f"{says} {left_out!r} into {new_names[left_out]!r}, but include or exclude leaves that new variable out"
        example, new_name = next(iter(new_names.items()))
        return f"{says} {example!r} into {new_name!r}, but the new graph has no such variable{did_you_mean(new_name, fillable)}"


def _scopes_of(name: str) -> List[str]:
    """Returns the root scope, each scope that `name` is in, and `name` itself."""
    return [""] + [name[:at] for at, letter in enumerate(name) if letter == "/"] + [name]


def _why_nothing_fillable(
    pattern: Pattern, argument: str, fillable: Sequence[str], others: Sequence[NewVariable]
) -> List[Problem]:
    """Returns the problem of a pattern that fits none of `fillable`; nothing if it fits one."""
    says = fits_nothing(pattern, argument, "new variable", fillable)
    if not says:
        return []
    other = next((each for each in others if pattern.fits(each.name)), None)
    if other is not None and other.is_step:
        says = (
            f"{argument} {pattern.text!r} fits only the global step, which no pattern carries over: a new model counts from 0. "
            f"Leave it out; recover_vars={{{other.name!r}: {other.name!r}}}, by name, would carry it over"
        )
    elif other is not None:
        says = (
            f"{argument} {pattern.text!r} fits only optimizer state, such as {other.name!r}, which goes with its variable "
            "(with_slots=True); name the variable"
        )
    return [Problem((argument, pattern), says)]


def _missing_includes(include: Iterable[Pattern], wanted: Sequence[str], pairs: Sequence[Pair]) -> List[Problem]:
    """Returns the problems of patterns that fit only new variables that the checkpoint does not have."""
    return [
        Problem(
            ("include", pattern),
            f"include {pattern.text!r} fits new variables, but the checkpoint has none of them under that name or a renamed "
            "one",
        )
        for pattern in include
        if any(pattern.fits(name) for name in wanted) and not any(pattern.fits(pair.new) for pair in pairs)
    ]


def _nothing_in_common(old_names: Sequence[str], fillable: Sequence[str]) -> str:
    return (
        "no new variable has the name of an old one; rename={old scope: new scope} says which became which. The first "
        f"old names are {', '.join(old_names[:5])}; the first new ones {', '.join(fillable[:5])}"
    )
