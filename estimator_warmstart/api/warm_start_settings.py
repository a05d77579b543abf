"""Makes TensorFlow's own `WarmStartSettings`, for exactly the variables that are named.

TensorFlow reads `vars_to_warm_start` as regular expressions for the beginnings of names: it recovers `A_extra` along with `A`,
and silently leaves variables cold if a name is wrong. Here every name is anchored and is in the renames too, because TensorFlow
does raise an error for an unused rename.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tf, warm_start_fills_several
from estimator_warmstart._tf_estimator import check_has_estimator
from estimator_warmstart.adapters.transforms import Adapter
from estimator_warmstart.adapters.vocabulary import Vocabulary, read_vocabulary
from estimator_warmstart.arguments import is_integer
from estimator_warmstart.checkpoint.arrays import ARRAY_FORMATS
from estimator_warmstart.checkpoint.checkpoint import OldVariable, open_checkpoint
from estimator_warmstart.errors import WarmStartError, did_you_mean
from estimator_warmstart.files import checked_path
from estimator_warmstart.slots import SlotOf

_PARTITION = "(?:/part_[0-9]+)?"
_USE_HOOK = "ShapeAdaptingRecoverHook with adapters.remap_rows can"


class VocabularyChange(NamedTuple):
    """The keys of a mapping in `vocabularies`; all but the last are arguments of `adapters.remap_rows`."""

    old_vocab: Any
    new_vocab: Any
    axis: Any = 0
    num_oov_buckets: Any = 0
    old_vocab_size: Optional[int] = None
    new_vocab_size: Optional[int] = None
    backup_initializer: Any = None


def warm_start_settings(ckp_dir: Any, recover_vars: Mapping[str, Any], vocabularies: Optional[Mapping[str, Any]] = None) -> Any:
    """Makes `WarmStartSettings` that recover the named variables, their partitions included, and no others.

    Use it if an Estimator takes `warm_start_from=` and nothing else can be changed. Optimizer slots and the global step stay as
    initialized. TensorFlow compares shapes when training begins. If shapes differ or slots are to be recovered, use the hooks.

    Args:
      ckp_dir: a directory with a `checkpoint` file (the checkpoint that is its latest now), a checkpoint's prefix, or a
        SavedModel's directory. TensorFlow reads no `.npz` or `.safetensors` file here.
      recover_vars: `{old name: new name or list of new names}`. One old variable for several new ones needs TensorFlow 2.8.
      vocabularies: `{new name: (old file, new file)}` for float32 matrices whose rows follow a vocabulary. The files are text,
        one token a line. Or `{new name: mapping}` with the keys `old_vocab` and `new_vocab`, and optionally `axis` (0 or 1),
        `num_oov_buckets`, `old_vocab_size`, `new_vocab_size` (as in `adapters.remap_rows`) and `backup_initializer`, a
        TensorFlow initializer for new tokens and all out-of-vocabulary buckets. Without an initializer they are zeros.

    Returns:
      A `tf.estimator.WarmStartSettings` for the `warm_start_from` of an Estimator.

    Raises:
      WarmStartError: listing every old name that the checkpoint does not have, every new name with two old values, and every
        vocabulary that does not fit its variable or cannot be expressed in these settings.

    Example:
      >>> import os, tempfile
      >>> import tensorflow as tf
      >>> from estimator_warmstart import warm_start_settings
      >>> tf1, folder = tf.compat.v1, tempfile.mkdtemp()
      >>> with tf.Graph().as_default(), tf1.Session() as session:
      ...     _ = tf1.get_variable("fm/w", [3, 1])
      ...     session.run(tf1.global_variables_initializer())
      ...     prefix = tf1.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
      >>> settings = warm_start_settings(folder, {"fm/w": "ranker/fm/w"})
      >>> settings.vars_to_warm_start, settings.var_name_to_prev_var_name
      (['ranker/fm/w(?:/part_[0-9]+)?:0$'], {'ranker/fm/w': 'fm/w'})

    Source: `tf.compat.v1.train.warm_start` and `tf.train.VocabInfo`, without their silent misses.
    """
    check_has_estimator("warm_start_settings")
    checkpoint = open_checkpoint(ckp_dir)
    sources, problems = _check_names(recover_vars)
    found = {old: checkpoint.find(old) for old in sources.values()}
    problems += [checkpoint.why_not(name) for name, old in found.items() if old is None]
    olds = {new: found[old] for new, old in sources.items()}
    infos, vocabulary_problems = _vocab_infos(vocabularies, olds)
    problems += vocabulary_problems + _problems_of_shared(sources, vocabularies or {})
    if checkpoint.format in ARRAY_FORMATS:
        problems.append(
            f"TensorFlow itself would read it, and reads no .{checkpoint.format} file; use VariableRecoverHook, or convert the "
            "file with convert_checkpoint(..., to='name')"
        )
    if tf.io.gfile.isdir(checkpoint.prefix):
        problems.append(
            f"TensorFlow would look into the directory {checkpoint.prefix} for the checkpoint of that name next to it; move "
            "one of the two, or use VariableRecoverHook"
        )
    if problems:
        raise WarmStartError(f"WarmStartSettings cannot recover {checkpoint.prefix} as asked", problems)
    return tf.estimator.WarmStartSettings(
        checkpoint.prefix,
        vars_to_warm_start=[_pattern_of(new, checkpoint.slots_by_name.get(old.name)) for new, old in olds.items() if old],
        var_name_to_vocab_info=infos,
        # Keys instead of names, since TensorFlow resolves names of object-based checkpoints only if this is empty.
        var_name_to_prev_var_name={new: old.key for new, old in olds.items() if old},
    )


def _check_names(recover_vars: object) -> Tuple[Dict[str, str], List[str]]:
    """Returns `{new name: old name}` and the problems."""
    if not isinstance(recover_vars, Mapping) or not recover_vars:
        raise WarmStartError(f"recover_vars must be a dict {{old name: new name}} that is not empty, got {recover_vars!r}")
    sources: Dict[str, str] = {}
    problems = []
    for old, value in recover_vars.items():
        names = list(value) if isinstance(value, (list, tuple)) else [value]
        if not isinstance(old, str) or not names or not all(isinstance(name, str) and name for name in names):
            problems.append(
                f"{old!r}: {value!r}: old and new are names here, or lists of new names, since settings are made without a "
                "graph; VariableRecoverHook takes variables"
            )
            continue
        for name in names:
            new = name[:-2] if name.endswith(":0") else name
            if sources.setdefault(new, old) != old:
                problems.append(f"the new {new!r} is given two old values: {sources[new]!r} and {old!r}; keep one")
            if new == "global_step":
                problems.append("the global step is never carried over; leave 'global_step' out of recover_vars")
    return sources, problems


def _pattern_of(new: str, slot_of: Optional[SlotOf]) -> str:
    """Returns a regular expression that matches the variable `new`, whole or partitioned, and no other."""
    slot_name = f"/{slot_of.slot_name}" if slot_of is not None else ""
    if slot_name and new.endswith(slot_name):  # Slots of a partitioned variable are called v/part_0/Adagrad.
        return f"{re.escape(new[: -len(slot_name)])}{_PARTITION}{re.escape(slot_name)}:0$"
    return f"{re.escape(new)}{_PARTITION}:0$"


def _problems_of_shared(sources: Mapping[str, str], vocabularies: Mapping[str, Any]) -> List[str]:
    """Returns a problem for each old value of several new variables if this TensorFlow would fill only one of these."""
    takers = Counter(old for new, old in sources.items() if new not in vocabularies)
    return (
        []
        if warm_start_fills_several
        else [
            f"{old!r} is to fill {count} new variables, but this version of TensorFlow silently leaves all but one of them as "
            "initialized; VariableRecoverHook fills all"
            for old, count in takers.items()
            if count > 1
        ]
    )


def _vocab_infos(
    vocabularies: object, olds: Mapping[str, Optional[OldVariable]]
) -> Tuple[Dict[str, tf.estimator.VocabInfo], List[str]]:
    """Returns `{new name: VocabInfo}` and the problems."""
    if vocabularies is not None and not isinstance(vocabularies, Mapping):
        raise WarmStartError(f"vocabularies must be a dict {{new name: (old file, new file)}} or None, got {vocabularies!r}")
    infos: Dict[str, tf.estimator.VocabInfo] = {}
    problems = []
    for new, value in (vocabularies or {}).items():
        if new not in olds:
            problems.append(f"vocabularies[{new!r}]: recover_vars fills no new {new!r}{did_you_mean(str(new), olds)}")
            continue
        try:
            infos[new] = _vocab_info(_as_vocabulary_change(value), olds[new])
        except WarmStartError as error:
            problems += [f"vocabularies[{new!r}]: {problem}" for problem in error.problems]
    return infos, problems


def _as_vocabulary_change(value: object) -> VocabularyChange:
    if isinstance(value, Adapter):
        raise WarmStartError(
            f"WarmStartSettings cannot express {value.label}: they know vocabularies only, as (old file, new file); "
            "ShapeAdaptingRecoverHook takes every adapter"
        )
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return VocabularyChange(*value)
    if not isinstance(value, Mapping):
        raise WarmStartError(f"a pair (old file, new file) or a mapping is needed, got {value!r}")
    known = VocabularyChange._fields
    problems = [
        f"WarmStartSettings cannot express {key!r}; {_USE_HOOK}"
        if key in ("aliases", "fill")
        else f"{key!r} is not known{did_you_mean(str(key), known)}; known are {', '.join(known)}"
        for key in value
        if key not in known
    ] + [f"{key!r} is missing" for key in ("old_vocab", "new_vocab") if key not in value]
    if problems:
        raise WarmStartError("the mapping", problems)
    return VocabularyChange(**value)


def _vocab_info(change: VocabularyChange, old: Optional[OldVariable]) -> tf.estimator.VocabInfo:
    problems = _option_problems(change)
    vocabularies = []
    for name, source, size in (
        ("old_vocab", change.old_vocab, change.old_vocab_size),
        ("new_vocab", change.new_vocab, change.new_vocab_size),
    ):
        try:
            vocabularies.append(_read_file(name, source, size))
        except WarmStartError as error:
            problems.append(str(error))
    if old is not None and (old.dtype != "float32" or len(old.shape) != 2):
        problems.append(
            f"the old {old.name!r} is {old.dtype} {list(old.shape)}, and VocabInfo handles float32 matrices only; {_USE_HOOK}"
        )
    elif old is not None and not problems and vocabularies[0].size > old.shape[change.axis]:
        problems.append(
            f"{vocabularies[0].label} has {vocabularies[0].size:,} tokens, more than the {old.shape[change.axis]:,} of the old "
            f"{old.name!r} {list(old.shape)} on axis {change.axis}"
        )
    if problems:
        raise WarmStartError("the vocabulary", problems)
    old_vocab, new_vocab = vocabularies
    return tf.estimator.VocabInfo(
        new_vocab=new_vocab.path,
        new_vocab_size=new_vocab.size,
        num_oov_buckets=int(change.num_oov_buckets),
        old_vocab=old_vocab.path,
        old_vocab_size=old_vocab.size,
        backup_initializer=change.backup_initializer,
        axis=int(change.axis),
    )


def _option_problems(change: VocabularyChange) -> List[str]:
    buckets, backup = change.num_oov_buckets, change.backup_initializer
    return [
        f"{name} must be {what}, got {value!r}"
        for name, what, value, is_right in (
            ("axis", "0 or 1", change.axis, is_integer(change.axis) and change.axis in (0, 1)),
            ("num_oov_buckets", "0 or more", buckets, is_integer(buckets) and buckets >= 0),
            (
                "backup_initializer",
                "an initializer, such as a tf.compat.v1.truncated_normal_initializer(), or None",
                backup,
                backup is None or callable(backup),
            ),
        )
        if not is_right
    ]


def _read_file(name: str, source: object, size: Optional[int]) -> Vocabulary:
    if size is not None and (not is_integer(size) or size <= 0):
        raise WarmStartError(f"{name}_size must be positive or None, got {size!r}")
    path = checked_path(name, source, "a text file (sequences are for ShapeAdaptingRecoverHook)")
    vocabulary = read_vocabulary(path, size)
    if vocabulary.has_empty_token:
        raise WarmStartError(f"{vocabulary.label} has an empty line, which VocabInfo takes for no token; {_USE_HOOK}")
    return vocabulary
