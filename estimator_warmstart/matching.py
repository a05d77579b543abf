"""Which new variable takes which old one.

Enters: the user's `recover_vars`, or patterns and renames; a `Checkpoint` and the graph's logical variables. Leaves:
pairs of names, and all problems found on the way. Nothing here opens a session or touches a graph.
"""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import copies_of, is_variable, tf1, variable_graph
from estimator_warmstart.checkpoints import open_checkpoint
from estimator_warmstart.errors import MatchError, did_you_mean
from estimator_warmstart.patterns import Pattern, compile_patterns, compile_renames, fits_any, fits_nothing
from estimator_warmstart.variables import NewVariable, logical_variables, names_in_collection


class Pair(NamedTuple):
    """One old variable and one new variable that takes its value, by name."""

    old: str
    new: str


def match_variables(
    ckp_dir: Any, include: Any = None, exclude: Any = None, rename: Any = None, *,
    collection: Optional[str] = None, graph: Any = None
) -> Dict[str, Any]:
    r"""Matches a checkpoint's variables with a graph's, by name.

    Use it where a dict of names would be long or would have to be kept in step with the model: a scope at a time. The
    new variables to fill are chosen by `collection`, `include` and `exclude`; each takes the old variable that a rule
    of `rename` turns into its name, or the one of its own name if no rule moved that elsewhere. Optimizer slots and the
    global step are never matched: the hooks carry slots along with their variable.

    Args:
      ckp_dir: a directory with a `checkpoint` file, a checkpoint's prefix, or a SavedModel's directory; name-based or
        object-based.
      include: a pattern or list of patterns of new names. A pattern is a regular expression that names a whole variable
        or a whole scope: `hidden[123]` takes `hidden1/kernel`, never `hidden10/kernel`. `None`: every new variable.
      exclude: patterns of new names to leave as they are.
      rename: `{old pattern: new name or scope}` or a list of such pairs; the first that fits an old name wins. `""`
        names the root scope, on either side; `\1` stands for what the first group of the pattern took.
      collection: a name from `tf.compat.v1.GraphKeys`; only its variables are matched. `None`: all global variables.
      graph: a `tf.Graph`; `None`: the default graph.

    Returns:
      `{old name: new variable}` for `recover_vars`; a partitioned variable is the list of its parts.

    Raises:
      WarmStartError: for a checkpoint that cannot be read; for a pattern or rename that fits nothing, with the close
        spellings; for two old variables renamed to one new name.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import match_variables
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     _ = tf1.get_variable("fm/w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> with tf.Graph().as_default():
      ...     _ = tf1.get_variable("ranker/fm/w", [3, 1])
      ...     sorted(match_variables(folder, rename={"fm": "ranker/fm"}))
      ['fm/w']

    Source: the assignment map of `tf.compat.v1.train.init_from_checkpoint`, without its silent misses.
    """
    graph = graph or tf1.get_default_graph()
    new = logical_variables(graph)
    candidates = in_collection(new, graph, collection)
    checkpoint = open_checkpoint(ckp_dir)
    pairs = match_names(checkpoint.variables, candidates, include, exclude, rename)
    return {pair.old: new[pair.new].target for pair in pairs}


def in_collection(
    new: Mapping[str, NewVariable], graph: Any, collection: Optional[str], lacks_some: bool = False
) -> Dict[str, NewVariable]:
    """Those of `graph`'s logical variables that one of its collections has; `None`: all of them.

    Raises:
      MatchError: if there is none, unless the graph may lack some.
    """
    chosen = set(new) if collection is None else set(names_in_collection(graph, collection))
    candidates = {name: variable for name, variable in new.items() if name in chosen}
    if not candidates and not lacks_some:
        raise MatchError(f"the graph's collection {collection or tf1.GraphKeys.GLOBAL_VARIABLES!r} has no variable")
    return candidates


def match_names(
    old_names: Iterable[str], new: Mapping[str, NewVariable], include: Any = None, exclude: Any = None, rename: Any = None,
    *, lacks_some: bool = False
) -> List[Pair]:
    """The pairs that `match_variables` is about, from names alone.

    Raises:
      MatchError: listing every rule that fits nothing, unless the graph may lack some variables, and every new name that two
        old ones were renamed to.
    """
    old_names = list(old_names)
    includes, excludes = compile_patterns(include, "include"), compile_patterns(exclude, "exclude")
    renames = compile_renames(rename)
    fillable = [name for name, variable in new.items() if variable.is_parameter]
    problems = [
        _fits_nothing_fillable(pattern, argument, fillable, new)
        for argument, patterns in (("include", includes), ("exclude", excludes)) for pattern in patterns if not lacks_some
    ]
    wanted = {
        name for name in fillable if (not includes or fits_any(includes, name)) and not fits_any(excludes, name)
    }
    sources, rename_problems = _sources(old_names, renames, wanted, fillable, lacks_some)
    pairs = [Pair(sources[name], name) for name in fillable if name in wanted and name in sources]
    problems += rename_problems
    problems += [
        f"include {pattern.text!r} fits new variables, but the checkpoint has none of them under that name or a renamed one"
        for pattern in includes
        if not lacks_some
        and any(pattern.fits(name) for name in wanted) and not any(pattern.fits(pair.new) for pair in pairs)
    ]
    found = [problem for problem in problems if problem]
    if lacks_some and not found:
        return pairs
    if not pairs and not found and fillable and not wanted:
        found.append(f"exclude leaves out every new variable: {exclude!r}")
    elif not pairs and not found:
        found.append(
            "no new variable has the name of an old one; rename={old scope: new scope} says which became which. The first "
            f"old names are {', '.join(old_names[:5])}; the first new ones {', '.join(fillable[:5])}"
        )
    if found:
        raise MatchError("the variables cannot be matched", found)
    return pairs


def _fits_nothing_fillable(
    pattern: Pattern, argument: str, fillable: List[str], new: Mapping[str, NewVariable]
) -> Optional[str]:
    """The problem of a pattern that fits none of `fillable`; else `None`."""
    problem = fits_nothing(pattern, argument, "new variable", fillable)
    other = next((each for name, each in new.items() if problem and pattern.fits(name)), None)
    if other is None:
        return problem
    if other.is_step:
        return (
            f"{argument} {pattern.text!r} fits only the global step, which no pattern carries over: a new model counts from 0. "
            f"Leave it out; recover_vars={{{other.name!r}: {other.name!r}}}, by name, would carry it over"
        )
    return (
        f"{argument} {pattern.text!r} fits only optimizer state, such as {other.name!r}, which goes with its variable "
        "(with_slots=True); name the variable"
    )


def _sources(
    old_names: List[str], renames: Tuple[Pattern, ...], wanted: Iterable[str], fillable: List[str], lacks_some: bool
) -> Tuple[Dict[str, str], List[str]]:
    """{new name: old name}: renamed ones first, then those that keep their name."""
    sources: Dict[str, str] = {}
    problems: List[str] = []
    used, taken = set(), set()
    moved = set()
    for old in old_names:
        rule = next((rule for rule in renames if rule.fits(old)), None)
        if rule is None:
            continue
        moved.add(old)
        taken.add(rule)
        target = rule.rename(old)
        if target not in wanted:
            continue
        used.add(rule)
        if target in sources:
            problems.append(f"rename gives the new {target!r} two old ones: {sources[target]!r} and {old!r}")
        sources.setdefault(target, old)
    for rule in renames:
        if rule not in used and not lacks_some:
            problems.append(_unused_rename(rule, rule in taken, old_names, fillable))
    for old in old_names:
        if old not in moved:
            sources.setdefault(old, old)
    return sources, problems


def _unused_rename(rule: Pattern, took_some: bool, old_names: List[str], fillable: List[str]) -> str:
    problem = fits_nothing(rule, "rename", "old variable", old_names)
    if problem:
        reversed_hint = " It fits a new variable: rename goes from old to new." if fits_any([rule], rule.text) and any(
            rule.fits(name) for name in fillable) else ""
        return problem + reversed_hint
    if not took_some:
        return f"rename {rule.text!r} fits only old variables that an earlier rule takes"
    example = next(old for old in old_names if rule.fits(old))
    target = rule.rename(example)
    left_out = next((rule.rename(old) for old in old_names if rule.fits(old) and rule.rename(old) in fillable), None)
    if left_out is not None:
        return (
            f"rename {rule.text!r} -> {rule.replacement!r} makes {left_out!r} and the like, which include or exclude leaves "
            "out, and of nothing a new variable to fill"
        )
    return (
        f"rename {rule.text!r} -> {rule.replacement!r} makes {target!r} of {example!r}, "
        f"and of nothing a new variable to fill{did_you_mean(target, fillable)}"
    )


def resolve_pairs(
    recover_vars: Mapping[str, Any], new: Mapping[str, NewVariable], graph: Any, lacks_some: bool = False
) -> Tuple[List[Pair], List[str]]:
    """The pairs that a `recover_vars` dict asks for, and what is wrong with its new side.

    Args:
      recover_vars: {old name: a variable, its name, a list of a partitioned one's parts, or a list of several of these}.
      new: the graph's logical variables.
      graph: the graph that they are of.
      lacks_some: whether a name that the graph does not have is left out.
    """
    finder = _TargetFinder(new, graph, lacks_some)
    pairs: List[Pair] = []
    for old, value in recover_vars.items():
        pairs.extend(Pair(str(old), name) for name in finder.names(str(old), value))
    return pairs, finder.problems


class _TargetFinder:
    """Turns what a user writes for a new variable into logical names, collecting problems."""

    def __init__(self, new: Mapping[str, NewVariable], graph: Any, lacks_some: bool):
        self._new, self._graph, self._lacks_some = new, graph, lacks_some
        self._by_id = {
            id(variable): (name, number)
            for name, logical in new.items() for number, part in enumerate(logical.parts)
            for variable in (part.variable,) + part.copies
        }
        self._part_names = {part.name: name for name, logical in new.items() for part in logical.parts}
        self.problems: List[str] = []

    def names(self, old: str, value: Any) -> List[str]:
        """The logical names behind `value`, each once."""
        parts: Dict[str, set] = {}
        names: Dict[str, None] = {}
        for item in self._flat(old, value):
            if isinstance(item, str):
                names.update(dict.fromkeys(self._by_name(old, item)))
            elif id(item) in self._by_id:
                name, number = self._by_id[id(item)]
                parts.setdefault(name, set()).add(number)
                names[name] = None
            else:
                self.problems.append(self._no_variable(old, item))
        for name, numbers in parts.items():
            whole = len(self._new[name].parts)
            if len(numbers) < whole:
                self.problems.append(
                    f"{old!r}: {len(numbers)} of the {whole} parts of the new {name!r} given; give all, or its name {name!r}"
                )
        return list(names)

    def _flat(self, old: str, value: Any) -> List[Any]:
        if isinstance(value, str) or is_variable(value):
            return [value]
        if isinstance(value, (list, tuple)) or type(value).__name__ == "PartitionedVariable":
            items = list(value)
            if not items:
                self.problems.append(f"{old!r}: an empty list of new variables; leave {old!r} out instead")
            return [flat for item in items for flat in self._flat(old, item)]
        self.problems.append(
            f"{old!r}: {value!r} is no variable; give a variable of the new graph, its name, or a list of these"
        )
        return []

    def _by_name(self, old: str, text: str) -> List[str]:
        name = text[:-2] if text.endswith(":0") else text
        if name in self._new:
            return [name]
        if name in self._part_names:
            self.problems.append(f"{old!r}: {name!r} is one part of the new {self._part_names[name]!r}; give that name")
        elif not self._lacks_some:
            self.problems.append(f"{old!r}: the graph has no new variable {name!r}{did_you_mean(name, self._new)}")
        return []

    def _no_variable(self, old: str, item: Any) -> str:
        name = item.name.split(":")[0]
        try:
            elsewhere = variable_graph(copies_of(item)[0]) is not self._graph
        except (AttributeError, RuntimeError, ValueError):  # An eager variable has no graph.
            elsewhere = True
        if elsewhere:
            return f"{old!r}: the variable {name!r} is not of the graph that is trained; give its name instead of the object"
        return f"{old!r}: {name!r} is not among the graph's global variables, so no checkpoint of it would hold the value"
