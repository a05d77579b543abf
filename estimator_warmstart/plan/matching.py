"""Which new variable takes which old one.

Enters: the user's `recover_vars`, or patterns and renames; a `Checkpoint` and the graph's logical variables. Leaves:
pairs of names, and all problems found on the way. Nothing here opens a session or touches a graph.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from estimator_warmstart._tf import tf1
from estimator_warmstart.checkpoint.checkpoint import open_checkpoint, other_spellings
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.variables import NewVariable, names_in_collection, variables_to_choose
from estimator_warmstart.patterns import Pattern, compile_patterns, compile_renames, fits_any, fits_nothing
from estimator_warmstart.plan.rename_rules import RenameRule, scopes_of


class Pair(NamedTuple):
    """One old variable and one new variable that takes its value, by name."""

    old: str
    new: str


def match_variables(
    ckp_dir: Any,
    include: Any = None,
    exclude: Any = None,
    rename: Any = None,
    *,
    collection: Optional[str] = None,
    graph: Any = None,
) -> Dict[str, Any]:
    r"""Matches a checkpoint's variables with a graph's, by name.

    Use it where a dict of names would be long or would have to be kept in step with the model: a scope at a time. The
    new variables to fill are chosen by `collection`, `include` and `exclude`; each takes the old variable that a rule
    of `rename` turns into its name, or the one of its own name if no rule moved that elsewhere. Optimizer slots and the
    global step are never matched: the hooks carry slots along with their variable. A new variable that the checkpoint does
    not have is left out of the result, also one that `include`, `rename` or `collection` chooses: the hooks refuse that
    unless they are told `missing="keep"`.

    Args:
      ckp_dir: a directory with a `checkpoint` file, a checkpoint's prefix, or a SavedModel's directory; name-based or
        object-based.
      include: a pattern or list of patterns of new names. A pattern is a regular expression that names a whole variable
        or a whole scope: `hidden[123]` takes `hidden1/kernel`, never `hidden10/kernel`. `None`: every new variable.
      exclude: patterns of new names to leave as they are.
      rename: `{old pattern: new name or scope, or a list of several}` or a list of such pairs; the first that fits an old
        name wins. `""` names the root scope, on either side; `\1` stands for what the first group of the pattern took. A
        pattern that fits no old name is one of object paths, or of slots as `VARIABLE/SLOT`, as `estimator-warmstart list`
        shows them.
      collection: a name from `tf.compat.v1.GraphKeys`; only its variables are matched, also local ones, as for
        `"local_variables"`. `None`: all global variables.
      graph: a `tf.Graph`; `None`: the default graph.

    Returns:
      `{old name: new variable}` for `recover_vars`, or a list of new variables where several take the same old one; a
      partitioned variable is the list of its parts.

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
    new = variables_to_choose(graph, collection)
    candidates = in_collection(new, graph, collection)
    checkpoint = open_checkpoint(ckp_dir)
    fillable, others = parted(candidates)
    pairs = match_names(checkpoint.variables, fillable, include, exclude, rename, other_spellings(checkpoint), others=others)
    targets: Dict[str, List[Any]] = {}
    for pair in pairs:
        targets.setdefault(pair.old, []).append(new[pair.new].target)
    return {old: found if len(found) > 1 else found[0] for old, found in targets.items()}


def in_collection(
    new: Mapping[str, NewVariable], graph: Any, collection: Optional[str], lacks_some: bool = False
) -> Dict[str, NewVariable]:
    """Those of `graph`'s logical variables that one of its collections has; `None`: all global ones.

    Raises:
      WarmStartError: if there is none, unless the graph may lack some.
    """
    named = None if collection is None else set(names_in_collection(graph, collection))
    candidates = {name: each for name, each in new.items() if (not each.is_local if named is None else name in named)}
    if not candidates and not lacks_some:
        raise WarmStartError(f"the graph's collection {collection or tf1.GraphKeys.GLOBAL_VARIABLES!r} has no variable")
    return candidates


def parted(candidates: Mapping[str, NewVariable]) -> Tuple[List[str], List[NewVariable]]:
    """The names of those that patterns may choose, and the others: an optimizer's state and the global step."""
    fillable = [name for name, variable in candidates.items() if variable.is_parameter]
    return fillable, [variable for variable in candidates.values() if not variable.is_parameter]


def match_names(
    old_names: Iterable[str],
    fillable: Sequence[str],
    include: Any = None,
    exclude: Any = None,
    rename: Any = None,
    spellings: Mapping[str, Sequence[str]] = {},
    *,
    others: Sequence[NewVariable] = (),
    may_miss: bool = False,
    lacks_some: bool = False,
) -> List[Pair]:
    """The pairs that `match_variables` is about, from names alone.

    Args:
      old_names: of all old variables.
      fillable: names of the new variables that patterns may choose.
      include: as for `match_variables`, and so are the next two.
      exclude: as for `match_variables`.
      rename: as for `match_variables`.
      spellings: {old name: what else it is called}, for patterns of `rename` that fit no old name.
      others: new variables that no pattern chooses, for messages.
      may_miss: whether the checkpoint may lack what was chosen: the caller says what is missing, see `chosen_names`.
      lacks_some: whether the graph may lack variables that the rules name, as an evaluation's does.

    Raises:
      WarmStartError: listing every rule that fits nothing, unless the graph may lack some variables, and every new name that
        two old ones were renamed to.
    """
    olds = {name: (name, *spellings.get(name, ())) for name in old_names}
    includes, excludes = compile_patterns(include, "include"), compile_patterns(exclude, "exclude")
    renames = [RenameRule(rules, olds) for rules in compile_renames(rename)]
    problems = [
        _fits_nothing_fillable(pattern, argument, fillable, others)
        for argument, patterns in (("include", includes), ("exclude", excludes))
        for pattern in patterns
        if not lacks_some
    ]
    wanted = {name for name in fillable if (not includes or fits_any(includes, name)) and not fits_any(excludes, name)}
    sources, rename_problems = _sources(list(olds), renames, wanted, list(fillable), lacks_some)
    pairs = [Pair(sources[name], name) for name in fillable if name in wanted and name in sources]
    problems += rename_problems
    problems += [
        f"include {pattern.text!r} fits new variables, but the checkpoint has none of them under that name or a renamed one"
        for pattern in includes
        if not may_miss and not lacks_some
        if any(pattern.fits(name) for name in wanted) and not any(pattern.fits(pair.new) for pair in pairs)
    ]
    found = [problem for problem in problems if problem]
    if not pairs and not found and not lacks_some:
        if fillable and not wanted:
            found.append(f"exclude leaves out every new variable: {exclude!r}")
        elif not may_miss:
            found.append(_nothing_in_common(list(olds), fillable))
    if found:
        raise WarmStartError("the variables cannot be matched", found)
    return pairs


def _nothing_in_common(old_names: Sequence[str], fillable: Sequence[str]) -> str:
    return (
        "no new variable has the name of an old one; rename={old scope: new scope} says which became which. The first "
        f"old names are {', '.join(old_names[:5])}; the first new ones {', '.join(fillable[:5])}"
    )


def chosen_names(
    old_names: Iterable[str],
    fillable: Iterable[str],
    include: Any,
    exclude: Any,
    rename: Any,
    spellings: Mapping[str, Sequence[str]],
    is_collection: bool,
) -> List[str]:
    """The new variables that were chosen explicitly, whether or not the checkpoint has them.

    An include or a collection chooses all that it names. A rename chooses what lies in the scopes that it makes of old ones.
    An exclude alone chooses nothing: what it leaves is taken where the checkpoint has it.
    """
    includes, excludes = compile_patterns(include, "include"), compile_patterns(exclude, "exclude")
    wanted = [name for name in fillable if (not includes or fits_any(includes, name)) and not fits_any(excludes, name)]
    if includes or is_collection:
        return wanted
    olds = {name: (name, *spellings.get(name, ())) for name in old_names}
    rules = [RenameRule(rules, olds) for rules in compile_renames(rename)]
    scopes: Set[str] = set()
    for old in olds:
        rule = next((rule for rule in rules if old in rule.fitting), None)
        if rule is not None:
            scopes.update(rename.renamed_scope(rule.fitting[old]) for rename in rule.renames)
    return [name for name in wanted if not scopes.isdisjoint(scopes_of(name))]


def _fits_nothing_fillable(
    pattern: Pattern, argument: str, fillable: Sequence[str], others: Sequence[NewVariable]
) -> Optional[str]:
    """The problem of a pattern that fits none of `fillable`; else `None`."""
    problem = fits_nothing(pattern, argument, "new variable", fillable)
    other = next((each for each in others if problem and pattern.fits(each.name)), None)
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
    old_names: List[str], rules: Sequence[RenameRule], wanted: Iterable[str], fillable: List[str], lacks_some: bool
) -> Tuple[Dict[str, str], List[str]]:
    """{new name: old name}: renamed ones first, then those that keep their name."""
    sources: Dict[str, str] = {}
    problems: List[str] = []
    used: Set[Pattern] = set()
    moved: Set[str] = set()
    taking: Set[RenameRule] = set()
    for old in old_names:
        rule = next((rule for rule in rules if old in rule.fitting), None)
        if rule is None:
            continue
        moved.add(old)
        taking.add(rule)
        for rename, target in rule.targets(old):
            if target not in wanted:
                continue
            used.add(rename)
            if target in sources:
                problems.append(f"rename gives the new {target!r} two old ones: {sources[target]!r} and {old!r}")
            sources.setdefault(target, old)
    for rule in rules:
        problems += [
            rule.why_unused(rename, rule in taking, fillable)
            for rename in rule.renames
            if rename not in used and not lacks_some
        ]
    for old in old_names:
        if old not in moved:
            sources.setdefault(old, old)
    return sources, problems
