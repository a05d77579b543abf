"""Wraps what is private in `tf.estimator.Estimator`, which TensorFlow has up to 2.15.

With `_tf.py` the only module that uses TensorFlow's private names.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, ContextManager, Mapping, Optional

from estimator_warmstart._tf import tf, tf1

__all__ = ["ExportingEstimatorV1", "ExportingEstimatorV2", "own_device", "own_warm_start"]

_BaseV1: Any = tf1.estimator.Estimator
_Mixin: Any = object  # `super()` is an Estimator, which mypy cannot see.


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


class ExportingEstimatorV1(_ExportsUntrained, _BaseV1):
    """A `tf.compat.v1.estimator.Estimator` that can export before it is trained."""


class ExportingEstimatorV2(_ExportsUntrained, tf.estimator.Estimator):
    """A `tf.estimator.Estimator` that can export before it is trained."""


def own_warm_start(estimator: tf.estimator.Estimator) -> Optional[tf.estimator.WarmStartSettings]:
    """Returns the `WarmStartSettings` that `estimator` was made with, or `None`."""
    return estimator._warm_start_settings


def own_device() -> str:
    """Returns this process's device in its cluster, which TF_CONFIG describes."""
    config = tf1.estimator.RunConfig()
    return f"/job:{config.task_type}/task:{config.task_id}/device:CPU:0"
