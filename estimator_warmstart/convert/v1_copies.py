"""Writes V1 checkpoints as V2, by TensorFlow's own operations."""

from __future__ import annotations

import os
from typing import Iterable, List, Optional

from estimator_warmstart._tf import tf
from estimator_warmstart.checkpoint.checkpoint import Checkpoint, OldVariable, open_checkpoint, slice_spec
from estimator_warmstart.convert.cpu_session import cpu_session
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.progress import tally
from estimator_warmstart.tensors import whole_slice

_BATCH_BYTES = 1 << 26


def rewritten_as_v2(old: Checkpoint, folder: str, is_shown: Optional[bool]) -> Checkpoint:
    """Writes a V1 checkpoint as V2 in `folder`, with a few variables or one large one in memory at a time.

    Args:
      old: the V1 checkpoint.
      folder: where the other one is written.
      is_shown: whether the progress is, as for `progress_line`.

    Raises:
      CheckpointError: if a value cannot be read.
    """
    prefix = os.path.join(folder, "v2")
    written: List[str] = []
    total = sum(each.nbytes for each in old.variables.values())
    try:
        with cpu_session() as session, tally(f"Reading {os.path.basename(old.prefix)}", total, is_shown) as count:
            for batch in _in_batches(old.variables.values()):
                stored = [(each, slice_spec(each, box)) for each in batch for box in each.slices or [whole_slice(each.shape)]]
                names, specs = [each.key for each, _ in stored], [spec for _, spec in stored]
                dtypes = [tf.as_dtype(each.dtype) for each, _ in stored]
                values = tf.raw_ops.RestoreV2(prefix=old.prefix, tensor_names=names, shape_and_slices=specs, dtypes=dtypes)
                written.append(f"{prefix}-{len(written)}")
                session.run(tf.raw_ops.SaveV2(prefix=written[-1], tensor_names=names, shape_and_slices=specs, tensors=values))
                count(sum(each.nbytes for each in batch))
            session.run(
                tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=written, destination_prefix=prefix, delete_old_dirs=False)
            )
    except tf.errors.OpError as error:
        raise CheckpointError(f"{old.prefix} cannot be read as a V1 checkpoint: {error.message}") from error
    return open_checkpoint(prefix)


def _in_batches(variables: Iterable[OldVariable]) -> List[List[OldVariable]]:
    batches: List[List[OldVariable]] = [[]]
    for old in variables:
        if batches[-1] and sum(each.nbytes for each in batches[-1]) + old.nbytes > _BATCH_BYTES:
            batches.append([])
        batches[-1].append(old)
    return batches
