"""Matches the variables of a checkpoint with those of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Union

from estimator_warmstart._tf import tf1
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, open_checkpoint, other_spellings
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.files import PathArgument
from estimator_warmstart.graph.variables import NewVariable, names_in_collection, variables_to_choose
from estimator_warmstart.patterns import PatternsArgument, RenameArgument
from estimator_warmstart.plan.name_matching import Matched, NameRules, compile_name_rules, match_names

if TYPE_CHECKING:
    import tensorflow as tf


def match_variables(
    ckp_dir: PathArgument,
    include: PatternsArgument = None,
    exclude: PatternsArgument = None,
    rename: RenameArgument = None,
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
        `.safetensors` file; name-based or object-based.
      include: a pattern or list of patterns of new names. A pattern is a regular expression that names a whole variable
        or a whole scope: `hidden[123]` fits `hidden1/kernel`, never `hidden10/kernel`. `None`: every new variable.
      exclude: patterns of new names to leave as they are.
      rename: `{old pattern: new name or scope, or a list of several}` or a list of such pairs; the first that fits an old
        name wins. `""` is the root scope, on either side. `\1` is the text of the first group of the pattern. A pattern that
        fits no old name is compared with object paths, and with slots as `VARIABLE/SLOT`, as `estimator-warmstart list` shows
        them.
      collection: a name from `tf.compat.v1.GraphKeys`. Only its variables are matched, also local ones, such as those of
        `"local_variables"`. `None`: all global variables.
      graph: a `tf.Graph`; `None`: the default graph.

    Returns:
      `{old name: new variable}` for `recover_vars`, or a list of new variables where several take the same old one; a
      partitioned variable is the list of its parts.

    Raises:
      WarmStartError: for a checkpoint that cannot be read; for a pattern or rename that fits nothing, with close spellings;
        for two old variables that are renamed to one new name.

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
    rules = compile_name_rules(include, exclude, rename, collection)
    new = variables_to_choose(graph, collection)
    matched = match_graph(open_checkpoint(ckp_dir), new, graph, rules)
    if matched.problems:
        raise WarmStartError("the variables cannot be matched", matched.problems)
    targets: Dict[str, List[Union[tf.Variable, List[tf.Variable]]]] = {}
    for pair in matched.pairs:
        targets.setdefault(pair.old, []).append(new[pair.new].target)
    return {old: found if len(found) > 1 else found[0] for old, found in targets.items()}


def match_graph(checkpoint: Checkpoint, new: Mapping[str, NewVariable], graph: tf.Graph, rules: NameRules) -> Matched:
    """Matches the variables of `checkpoint` with those of `graph`.

    An optimizer's state and the global step cannot be chosen by patterns: they are not matched.

    Args:
      checkpoint: the old model.
      new: the graph's logical variables.
      graph: the graph that they are in.
      rules: what chooses variables by name.
    """
    named = None if rules.collection is None else set(names_in_collection(graph, rules.collection))
    candidates = [each for name, each in new.items() if (not each.is_local if named is None else name in named)]
    if not candidates:
        key = rules.collection or tf1.GraphKeys.GLOBAL_VARIABLES
        return Matched(unused=(f"the graph's collection {key!r} has no variable",))
    fillable = [each.name for each in candidates if each.is_parameter]
    others = [each for each in candidates if not each.is_parameter]
    return match_names(other_spellings(checkpoint), fillable, rules, others)
