"""Matches the variables of a checkpoint with those of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence, Union

from estimator_warmstart._tf import tf1
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, other_spellings
from estimator_warmstart.checkpoint.old_models import OldModelsArgument, checked_ckp_dirs, number_with, open_checkpoints
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.graph.variables import NewVariable, names_in_collection, variables_to_choose
from estimator_warmstart.patterns import PatternsArgument, RenamesArgument
from estimator_warmstart.plan.joint_matching import compile_rules_of_each, join_matched
from estimator_warmstart.plan.name_matching import Matched, NameRules, Pair, Problem, match_names

if TYPE_CHECKING:
    import tensorflow as tf


def match_variables(
    ckp_dir: OldModelsArgument,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenamesArgument = None,
    *,
    collection: Optional[str] = None,
    graph: Optional[tf.Graph] = None,
) -> Dict[str, Union[tf.Variable, List[tf.Variable]]]:
    r"""Matches a checkpoint's variables with a graph's, by name.

    Use it for whole scopes, where a dict of names would be long and would change with the model. `collection`, `include` and
    `exclude` choose the new variables to fill. Each takes the old variable that a rule of `rename` gives its name, or the one
    that has its name if no rule moves that elsewhere. Optimizer slots and the global step are never matched: the hooks recover
    slots with their variable. A new variable that the checkpoint does not have is left out of the result, even if `include`,
    `rename` or `collection` chooses it. The hooks refuse that without `missing="keep"`.

    Args:
      ckp_dir: a directory with a `checkpoint` file, a checkpoint's prefix, a SavedModel's directory, or an `.npz` or
        `.safetensors` file; name-based or object-based. Or a list of several of these: the first that has a variable counts.
      include: a pattern or list of patterns of new names. A pattern is a regular expression that names a whole variable
        or a whole scope: `hidden[123]` fits `hidden1/kernel`, never `hidden10/kernel`. `None`: every new variable.
      exclude: patterns of new names to leave as they are.
      rename: `{old pattern: new name or scope, or a list of several}` or a list of such pairs; the first that fits an old
        name wins. `""` is the root scope, on either side. `\1` is the text of the first group of the pattern. A pattern that
        fits no old name is compared with object paths, and with slots as `VARIABLE/SLOT`, as `estimator-warmstart list` shows
        them. For a list as `ckp_dir` also a list of one rename for each old model: dicts, lists of pairs, or `None`.
      collection: a name from `tf.compat.v1.GraphKeys`. Only its variables are matched, also local ones, such as those of
        `"local_variables"`. `None`: all global variables.
      graph: a `tf.Graph`; `None`: the default graph.

    Returns:
      `{old name: new variable}` for `recover_vars`, or a list of new variables where several take the same old one; a
      partitioned variable is the list of its parts.

    Raises:
      WarmStartError: for a checkpoint that cannot be read; for a pattern or rename that fits nothing, with close spellings;
        for two old variables that are renamed to one new name; for an old name that is meant of a later old model than the
        first that has it, since `recover_vars` could not tell.

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
    ckp_dirs = checked_ckp_dirs(ckp_dir)
    rules = compile_rules_of_each(include, exclude, rename, collection, len(ckp_dirs))
    checkpoints, new = open_checkpoints(ckp_dirs), variables_to_choose(graph, collection)
    matched = match_graph(checkpoints, new, graph, rules)
    problems = [*matched.problems, *_hidden(checkpoints, matched.pairs)]
    if problems:
        raise WarmStartError("the variables cannot be matched", problems)
    targets: Dict[str, List[Union[tf.Variable, List[tf.Variable]]]] = {}
    for pair in matched.pairs:
        targets.setdefault(pair.old, []).append(new[pair.new].target)
    return {old: found if len(found) > 1 else found[0] for old, found in targets.items()}


def _hidden(checkpoints: Sequence[Checkpoint], pairs: Sequence[Pair]) -> List[str]:
    """Returns the problems of old variables that `recover_vars` would find in an earlier old model than their rename did."""
    found = [(pair, number_with(checkpoints, pair.old)) for pair in pairs if pair.model]
    return [
        f"the old {pair.old!r} for the new {pair.new!r} is that of {checkpoints[pair.model].prefix}, but recover_vars would "
        f"take the one of {checkpoints[first].prefix}, which comes first; give rename to the hook instead"
        for pair, first in found
        if first != pair.model
    ]


def match_graph(
    checkpoints: Sequence[Checkpoint], new: Mapping[str, NewVariable], graph: tf.Graph, rules: Sequence[NameRules]
) -> Matched:
    """Matches the variables of old models with those of `graph`: for each new variable the first model that has it.

    An optimizer's state and the global step cannot be chosen by patterns: they are not matched.

    Args:
      checkpoints: the old models.
      new: the graph's logical variables.
      graph: the graph that they are in.
      rules: for each old model, what chooses variables by name.
    """
    collection = rules[0].collection
    named = None if collection is None else set(names_in_collection(graph, collection))
    candidates = [each for name, each in new.items() if (not each.is_local if named is None else name in named)]
    if not candidates:
        key = collection or tf1.GraphKeys.GLOBAL_VARIABLES
        return Matched(unused=(Problem(("collection", key), f"the graph's collection {key!r} has no variable"),))
    fillable = [each.name for each in candidates if each.is_parameter]
    others = [each for each in candidates if not each.is_parameter]
    found = [match_names(other_spellings(each), fillable, own, others) for each, own in zip(checkpoints, rules)]
    return join_matched(found, rules, [checkpoint.prefix for checkpoint in checkpoints])
