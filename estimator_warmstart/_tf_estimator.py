"""What is private to `tf.estimator.Estimator`, which TensorFlow has up to 2.15.

With `_tf.py` the only module that touches TensorFlow's private names.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from estimator_warmstart._tf import tensorflow_version, tf, tf1
from estimator_warmstart.errors import WarmStartError

__all__ = ["check_has_estimator", "exporting_class", "own_device", "own_warm_start"]

_Mixin: Any = object  # The `super()` of a mixin is an Estimator's, which mypy cannot see.


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


@functools.lru_cache(maxsize=None)
def _classes() -> Any:
    class ExportingV1(_ExportsUntrained, tf1.estimator.Estimator):
        """`tf.compat.v1.estimator.Estimator` that exports before it is trained."""

    class ExportingV2(_ExportsUntrained, tf.estimator.Estimator):
        """`tf.estimator.Estimator` that exports before it is trained."""

    return ExportingV1, ExportingV2


def exporting_class(estimator: Any) -> Any:
    """The class of Estimators of the generation of `estimator` that export before they are trained too."""
    v1, v2 = _classes()
    return v2 if isinstance(estimator, tf.estimator.Estimator) else v1


def own_warm_start(estimator: Any) -> Any:
    """The `WarmStartSettings` that `estimator` was made with, or `None`."""
    return estimator._warm_start_settings


def own_device() -> str:
    """The device of this process among those of its cluster, which TF_CONFIG tells of."""
    task = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return f"/job:{task.task_type}/task:{task.task_id}/device:CPU:0"
