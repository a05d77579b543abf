"""The rows of a dense layer behind feature columns, moved by what the columns themselves say of their order and widths."""

from __future__ import annotations

from typing import Any, Dict, Hashable, Iterable, List, Mapping, Tuple, Union

import numpy as np

from estimator_warmstart.adapters.axis_map import Fill
from estimator_warmstart.adapters.remap import check_axis, segments_adapter
from estimator_warmstart.adapters.transforms import Adapter, check_fill
from estimator_warmstart.errors import WarmStartError
from estimator_warmstart.tensors import Shape

# Feature columns of either generation, which have no public class in common; or a mapping whose values they are.
FeatureColumns = Union[Iterable[Any], Mapping[Any, Any]]


def remap_feature_columns(
    old_columns: FeatureColumns, new_columns: FeatureColumns, *, axis: int = 0, fill: Fill = "initial"
) -> Adapter:
    """Moves the rows of a dense kernel behind feature columns to their column's new place.

    Use it where the columns in front of a dense layer were added, removed or resized. `tf.keras.layers.DenseFeatures` and
    `tf.compat.v1.feature_column.input_layer` sort columns by name, so a new or wider one moves the rows of all columns after
    it. The order and the widths are taken from the columns. A column that was widened keeps its old rows at its beginning.
    Columns of several values for each element, such as a bucketized column of shape `[2]`, do so for each of these elements.

    Args:
      old_columns: all columns in front of the old layer, in any order: numeric, bucketized, indicator, embedding and shared
        embedding columns, of `tf.feature_column` or of its older generation.
      new_columns: the same of the new layer.
      axis: the axis of the kernel that the columns are on; a negative one counts from the end.
      fill: the fill value for new columns and the new part of widened ones, as for `crop_or_pad`.

    Returns:
      An adapter that changes the length of one axis. It moves the rows of one-hot columns by position. Where a column's
      vocabulary or boundaries were reordered, combine it with others.

    Raises:
      WarmStartError: for sequence columns, which `DenseFeatures` does not take, for columns that are not dense, and for two
        columns of one name.

    Example:
      >>> import tensorflow as tf
      >>> from estimator_warmstart import adapters
      >>> age = tf.feature_column.numeric_column("age")
      >>> zip_code = tf.feature_column.numeric_column("zip", shape=[2])
      >>> height = tf.feature_column.numeric_column("height")
      >>> adapters.remap_feature_columns([zip_code, age], [age, zip_code, height]).steps((3, 8), (4, 8), "float32")[0].axis_map
      (Kept(length=1, start=0, step=1), Filled(length=1, fill='initial'), Kept(length=2, start=1, step=1))

    Source: `_normalize_feature_columns` and `DenseFeatures.call` in TensorFlow's feature_column.
    """
    check_fill(fill)
    check_axis(axis)
    old, new = _column_list(old_columns, "old_columns"), _column_list(new_columns, "new_columns")
    problems = _problems(old, "old_columns") + _problems(new, "new_columns")
    if problems:
        raise WarmStartError("remap_feature_columns: the rows of a dense layer cannot be told from these columns", problems)
    label = f"remap_feature_columns({len(old)} -> {len(new)} columns)"
    return segments_adapter(label, _segments(old), _segments(new), axis, fill, "the widths of old_columns add up to")


def _column_list(columns: FeatureColumns, argument: str) -> List[Any]:
    values = columns.values() if isinstance(columns, Mapping) else columns
    # A column is a named tuple, and would be taken for several.
    if isinstance(values, (str, bytes)) or hasattr(values, "name") or not isinstance(values, Iterable):
        raise WarmStartError(f"remap_feature_columns: {argument} must be a list of feature columns, got {columns!r}")
    found = sorted(values, key=lambda column: str(getattr(column, "name", "")))
    if not found:
        raise WarmStartError(f"remap_feature_columns: {argument} is empty")
    return found


def _problems(columns: List[Any], argument: str) -> List[str]:
    problems = []
    names = [getattr(column, "name", None) for column in columns]
    for name, column in zip(names, columns):
        kinds = [type(column).__name__, type(getattr(column, "categorical_column", None)).__name__]
        if any(kind.lstrip("_").startswith("Sequence") for kind in kinds):
            problems.append(f"{argument}: {name!r} is a sequence column; DenseFeatures and input_layer take none")
        elif _shape_of(column) is None:
            problems.append(
                f"{argument}: {name or column!r} is not a dense column ({kinds[0]}); wrap a categorical one in an "
                "indicator_column or embedding_column"
            )
    twice = sorted({str(name) for name in names if name is not None and names.count(name) > 1})
    return problems + [f"{argument}: {name!r} is there twice" for name in twice]


def _shape_of(column: Any) -> Any:
    """Returns the shape of what `column` puts into the layer for one example; `None` if it puts in nothing dense."""
    for attribute in ("variable_shape", "_variable_shape"):
        shape = getattr(column, attribute, None)
        if shape is not None:
            return tuple(shape.as_list())
    return None


def _segments(columns: List[Any]) -> Dict[Hashable, int]:
    """Returns the width of each run of positions that belong together: the last axis of a column, for each place before it."""
    segments: Dict[Hashable, int] = {}
    for column in columns:
        shape: Shape = _shape_of(column)
        places: List[Tuple[int, ...]] = list(np.ndindex(*shape[:-1])) if shape else [()]
        for place in places:
            segments[(column.name, place)] = shape[-1] if shape else 1
    return segments
