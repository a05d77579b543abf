"""What is private to `tf.estimator.Estimator`, which TensorFlow has up to 2.15.

With `_tf.py` the only module that touches TensorFlow's private names.
"""

from __future__ import annotations

import contextlib
from typing import Any

from estimator_warmstart._tf import tf, tf1

__all__ = ["EstimatorV1", "EstimatorV2", "own_device", "own_warm_start"]

_EstimatorV1: Any = tf1.estimator.Estimator
_Mixin: Any = object  # The `super()` of a mixin is an Estimator's, which mypy cannot see.


class _ExportsUntrained(_Mixin):
    """An Estimator that exports before it is trained too, from a checkpoint that is made for that.

    Attributes:
      checkpoint_of_untrained: called with the export's directory and its input receivers by mode, returns a context with the
        prefix of a checkpoint.
    """

    checkpoint_of_untrained: Any = None

    def _export_all_saved_models(
        self,
        export_dir_base: Any,
        input_receiver_fn_map: Any,
        assets_extra: Any = None,
        as_text: bool = False,
        checkpoint_path: Any = None,
        strip_default_attrs: bool = True,
    ) -> Any:
        with contextlib.ExitStack() as stack:
            has_modes = any(input_receiver_fn_map.values())  # Else TensorFlow says what is wrong.
            if has_modes and not checkpoint_path and tf.train.latest_checkpoint(self.model_dir) is None:
                checkpoint_path = stack.enter_context(self.checkpoint_of_untrained(export_dir_base, input_receiver_fn_map))
            return super()._export_all_saved_models(
                export_dir_base, input_receiver_fn_map, assets_extra, as_text, checkpoint_path, strip_default_attrs
            )


class EstimatorV1(_ExportsUntrained, _EstimatorV1):
    """`tf.compat.v1.estimator.Estimator` that exports before it is trained."""


class EstimatorV2(_ExportsUntrained, tf.estimator.Estimator):
    """`tf.estimator.Estimator` that exports before it is trained."""


def own_warm_start(estimator: Any) -> Any:
    """The `WarmStartSettings` that `estimator` was made with, or `None`."""
    return estimator._warm_start_settings


def own_device() -> str:
    """The device of this process among those of its cluster, which TF_CONFIG tells of."""
    config = tf1.estimator.RunConfig()
    return f"/job:{config.task_type}/task:{config.task_id}/device:CPU:0"
