"""Wraps what is private in `tf.estimator.Estimator`, which TensorFlow has up to 2.15.

With `_tf.py` the only module that uses TensorFlow's private names.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, ContextManager, Mapping, Optional, Tuple

from estimator_warmstart._tf import tensorflow_version, tf, tf1
from estimator_warmstart.errors import WarmStartError

__all__ = ["call_input_fn", "check_has_estimator", "exporting_class", "own_device", "own_warm_start"]

_Mixin: Any = object  # `super()` is an Estimator, which mypy cannot see.


def check_has_estimator(what: str) -> None:
    """Raises `WarmStartError` if this TensorFlow has no `tf.estimator`, which `what` needs."""
    try:
        # Loaded from the package tensorflow-estimator when it is touched.
        found = tf.estimator.Estimator, tf1.estimator.Estimator
    except (AttributeError, ImportError) as error:
        raise WarmStartError(
            f"{what} needs tf.estimator, and TensorFlow {tensorflow_version} here has none ({error}); TensorFlow 2.15 with the "
            "tensorflow-estimator of that version was the last that had it. Without it recover_into(model, ckp_dir) recovers "
            "into a Keras model, and VariableRecoverHook works in a tf.compat.v1.train.MonitoredTrainingSession"
        ) from error
    del found


class _ExportsUntrained(_Mixin):
    """An Estimator that can export before it is trained, from a checkpoint that is made for the export.

    Attributes:
      checkpoint_of_untrained: a function of the export's directory and its input receivers by mode; returns a context manager
        that gives the prefix of a checkpoint.
    """

    checkpoint_of_untrained: Callable[[str, Mapping[str, object]], ContextManager[str]]

    def _export_all_saved_models(
        self,
        export_dir_base: str,
        input_receiver_fn_map: Mapping[str, object],
        assets_extra: Optional[Mapping[str, str]] = None,
        as_text: bool = False,
        checkpoint_path: Optional[str] = None,
        strip_default_attrs: bool = True,
    ) -> str:
        with contextlib.ExitStack() as stack:
            has_modes = any(input_receiver_fn_map.values())  # If not, TensorFlow says what is wrong.
            if has_modes and not checkpoint_path and tf.train.latest_checkpoint(self.model_dir) is None:
                checkpoint_path = stack.enter_context(self.checkpoint_of_untrained(export_dir_base, input_receiver_fn_map))
            directory: str = super()._export_all_saved_models(
                export_dir_base, input_receiver_fn_map, assets_extra, as_text, checkpoint_path, strip_default_attrs
            )
        return directory


@functools.lru_cache(maxsize=None)
def _exporting_classes() -> Tuple[type, type]:
    class ExportingV1(_ExportsUntrained, tf1.estimator.Estimator):
        """A `tf.compat.v1.estimator.Estimator` that can export before it is trained."""

    class ExportingV2(_ExportsUntrained, tf.estimator.Estimator):
        """A `tf.estimator.Estimator` that can export before it is trained."""

    return ExportingV1, ExportingV2


def exporting_class(estimator: tf.estimator.Estimator) -> Any:
    """Returns the class of Estimators of the generation of `estimator` that can export before they are trained."""
    v1, v2 = _exporting_classes()
    return v2 if isinstance(estimator, tf.estimator.Estimator) else v1


def own_warm_start(estimator: tf.estimator.Estimator) -> Optional[tf.estimator.WarmStartSettings]:
    """Returns the `WarmStartSettings` that `estimator` was made with, or `None`."""
    return estimator._warm_start_settings


def own_device() -> str:
    """Returns this process's device in its cluster, which TF_CONFIG describes."""
    task = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return f"/job:{task.task_type}/task:{task.task_id}/device:CPU:0"


def call_input_fn(estimator: tf.estimator.Estimator, input_fn: Callable[..., Any], mode: str) -> Any:
    """Returns what `input_fn` makes in the default graph, given those of `mode`, `params` and `config` that it takes."""
    return estimator._call_input_fn(input_fn, mode)
