"""Savers: what `tf.compat.v1.train.Saver` does not do of itself, and what is private of its builder.

With the other modules `_tf*.py` the only ones that touch private names.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.errors import WarmStartError, first_few

# isort: split
# Imported after _tf, which says what to install.
from tensorflow.python.training.saver import BulkSaverBuilder

__all__ = ["LateSaver", "RekeyingSaver", "ToSave"]

_Saver: Any = tf1.train.Saver


class LateSaver(_Saver):
    """A `Saver` that decides what to save when it is built, and builds itself if it is used before that.

    An Estimator builds the Scaffold's saver when all variables exist, but does not build it for an export.

    Args:
      saveables: a function without arguments that returns a `var_list` for `tf.compat.v1.train.Saver`.
      **options: for `tf.compat.v1.train.Saver`.
    """

    def __init__(self, saveables: Callable[[], object], **options: Any):
        self._saveables = saveables
        super().__init__(defer_build=True, **options)

    def build(self) -> None:
        if not self._is_built:
            self._var_list = self._saveables()
        super().build()

    def save(self, *args: Any, **options: Any) -> Optional[str]:
        self.build()
        prefix: Optional[str] = super().save(*args, **options)
        return prefix

    def restore(self, sess: tf.compat.v1.Session, save_path: str) -> None:
        self.build()
        super().restore(sess, save_path)


class ToSave(NamedTuple):
    """What a `RekeyingSaver` saves.

    Attributes:
      var_list: for `tf.compat.v1.train.Saver`.
      added: {key: value} of tensors that are saved too, and are never restored.
      finish: is called with the prefix of each checkpoint that is written, before the file `checkpoint` names it.
      find_keys: is called with a prefix and names; returns {name: key of its tensor} of those that the checkpoint has.
    """

    var_list: Any
    added: Mapping[str, Any]
    finish: Callable[[str], None]
    find_keys: Callable[[str, List[str]], Dict[str, str]]


class RekeyingSaver(LateSaver):
    """A `Saver` whose files are finished in Python, and which restores from keys that are known only then.

    TensorFlow's own saver adds operations for keys that are not the names, which a finalized graph, as an Estimator's, refuses.

    Args:
      to_save: a function without arguments that returns a `ToSave`.
      **options: for `tf.compat.v1.train.Saver`.
    """

    def __init__(self, to_save: Callable[[], ToSave], **options: Any):
        self._to_save = to_save
        self._is_finished = True
        super().__init__(self._decide, builder=_RekeyingBuilder(), **options)

    def _decide(self) -> Any:
        self._chosen = self._to_save()
        self._builder.added = dict(self._chosen.added)
        return self._chosen.var_list

    def save(self, *args: Any, **options: Any) -> Optional[str]:
        self._is_finished = False
        prefix = super().save(*args, **options)
        if prefix is not None:
            self._finish(prefix)
        return prefix

    def _RecordLastCheckpoint(self, latest_save_path: str) -> None:  # noqa: N802 (TensorFlow's name)
        self._finish(latest_save_path)
        super()._RecordLastCheckpoint(latest_save_path)

    def _finish(self, prefix: str) -> None:
        if not self._is_finished:
            self._chosen.finish(prefix)
            self._is_finished = True

    def restore(self, sess: tf.compat.v1.Session, save_path: str) -> None:
        self.build()
        names = [name for _, each in self._builder.restored for name in each]
        stored = set(names)
        with contextlib.suppress(ValueError, tf.errors.OpError):  # TensorFlow says below what is wrong with the path.
            stored = set(tf.train.load_checkpoint(save_path).get_variable_to_shape_map())
        if stored.issuperset(names):
            super().restore(sess, save_path)
            return
        keys = self._chosen.find_keys(save_path, sorted(set(names) - stored))
        keys.update((name, name) for name in stored)
        missing = sorted(set(names) - set(keys))
        if missing:
            raise WarmStartError(
                f"{save_path} cannot be restored, it has no {first_few(missing)}, by name or by object; give another "
                "model_dir, or restore the model that was saved there"
            )
        feeds = {tensor: [keys[name] for name in each] for tensor, each in self._builder.restored}
        try:
            sess.run(self.saver_def.restore_op_name, {self.saver_def.filename_tensor_name: save_path, **feeds})
        except tf.errors.InvalidArgumentError as error:
            raise WarmStartError(f"{save_path} cannot be restored, it is of another model: {error.message}") from error


class _RekeyingBuilder(BulkSaverBuilder):
    """Builds operations that save more than they restore, and that restore from keys which can be fed.

    Attributes:
      added: {key: value} of what is only saved.
      restored: tensors to feed with keys, each with the names that stand for its keys otherwise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.added: Dict[str, Any] = {}
        self.restored: List[Tuple[tf.Tensor, List[str]]] = []

    def save_op(self, filename_tensor: tf.Tensor, saveables: List[Any]) -> tf.Operation:
        added, self.added = self.added, {}  # It is called for each device.
        with tf.device("cpu:0"):
            constants = {key: tf.constant(value) for key, value in added.items()}
        more = [self.SaveableObject(each, [self.SaveSpec(each, "", key)], key) for key, each in constants.items()]
        return super().save_op(filename_tensor, [*saveables, *more])

    def bulk_restore(self, filename_tensor: tf.Tensor, saveables: List[Any], *_: Any) -> List[tf.Tensor]:
        specs = [spec for saveable in saveables for spec in saveable.specs]
        names = [spec.name for spec in specs]
        with tf.device("cpu:0"):
            keys = tf1.placeholder_with_default(tf.constant(names), [len(names)])
            self.restored.append((keys, names))
            return tf.raw_ops.RestoreV2(
                prefix=filename_tensor,
                tensor_names=keys,
                shape_and_slices=[spec.slice_spec for spec in specs],
                dtypes=[spec.dtype for spec in specs],
            )
