"""Arrays of `.npz` and `.safetensors` files as tensors: the operations that read them where a variable is.

They need the file and no Python, as `RestoreV2` does, so a parameter server reads its own rows. `tf.numpy_function` would read
in the process that made the graph, and send each value to its variable.
"""

from __future__ import annotations

import struct
from typing import Dict, Tuple

from estimator_warmstart._tf import tf, tf1
from estimator_warmstart.checkpoint.arrays import StoredArray
from estimator_warmstart.files import is_local
from estimator_warmstart.tensors import NATIVE_ORDER, TensorSlice, count_elements

# The header of a gzip file without a name and a date (RFC 1952).
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_BUFFER_SIZE = 1 << 20


class ArrayValues:
    """Makes tensors of stored arrays. One mapping of a file serves all arrays on a device."""

    def __init__(self) -> None:
        self._files: Dict[Tuple[str, str], tf.Tensor] = {}

    def read(self, stored: StoredArray, wanted: TensorSlice, device: str, name: str) -> tf.Tensor:
        """Returns a slice of a stored array; if its rows lie one after the other, no others are read.

        Args:
          stored: where it lies.
          wanted: the slice.
          device: that the operations are made for.
          name: of the operation that reads.
        """
        dtype, shape = tf.as_dtype(stored.dtype), stored.shape
        if 0 in wanted.shape:
            return tf.zeros(wanted.shape, dtype)
        first, count = (wanted.offset[0], wanted.shape[0]) if stored.has_rows else (0, shape[0] if shape else 1)
        row_size = count_elements(shape[1:]) * dtype.size
        if stored.compressed_size:
            inflated = _inflate(_record(stored, stored.begin, stored.compressed_size, name), stored)
            stored_bytes = tf.io.decode_raw(inflated, tf.uint8)[stored.header_size :]
        else:
            begin, size = stored.begin + stored.header_size + first * row_size, count * row_size
            if is_local(stored.path):
                stored_bytes = self._mapped(stored, begin, size, device, name)
            else:
                stored_bytes = tf.io.decode_raw(_record(stored, begin, size, name), tf.uint8)
        values = _decode(stored_bytes, stored, dtype)
        if stored.is_fortran:
            value = tf.transpose(tf.reshape(values, shape[::-1]))
        else:
            value = tf.reshape(values, (count, *shape[1:]) if shape else ())
        if value.shape.as_list() == list(wanted.shape):
            return value
        return tf.slice(value, (wanted.offset[0] - first, *wanted.offset[1:]), wanted.shape)

    def _mapped(self, stored: StoredArray, begin: int, size: int, device: str, name: str) -> tf.Tensor:
        """Returns bytes of the file, of which those pages are read that are needed."""
        if (device, stored.path) not in self._files:
            with tf1.control_dependencies(None):
                self._files[device, stored.path] = tf.raw_ops.ImmutableConst(
                    dtype=tf.uint8, shape=[stored.file_size], memory_region_name=stored.path
                )
        place = [tf.constant([number], tf.int64) for number in (begin, size)]
        part = tf.slice(self._files[device, stored.path], *place, name=name)
        # A slice may share the memory of the file, which a variable must not take over.
        return tf.raw_ops.DeepCopy(x=part)


def _record(stored: StoredArray, begin: int, size: int, name: str) -> tf.Tensor:
    """Returns bytes of the file as one string, from any filesystem that `tf.io.gfile` reads."""
    header, record, footer, buffer = (
        tf.constant(number, tf.int64) for number in (begin, size, stored.file_size - begin - size, _BUFFER_SIZE)
    )
    dataset = tf.raw_ops.FixedLengthRecordDataset(
        filenames=stored.path, header_bytes=header, record_bytes=record, footer_bytes=footer, buffer_size=buffer
    )
    return tf.raw_ops.DatasetToSingleElement(dataset=dataset, output_types=[tf.string], output_shapes=[[]], name=name)[0]


def _inflate(deflated: tf.Tensor, stored: StoredArray) -> tf.Tensor:
    """Returns what was deflated: TensorFlow inflates gzip, which has the same checksum after the same bytes."""
    end = struct.pack("<II", stored.crc32 or 0, stored.size & 0xFFFFFFFF)
    return tf.io.decode_compressed(tf.strings.join([_GZIP_HEADER, deflated, end]), "GZIP")


def _decode(stored_bytes: tf.Tensor, stored: StoredArray, dtype: tf.DType) -> tf.Tensor:
    """Returns the values of stored bytes, in the order in which they are stored."""
    if dtype == tf.bool:
        return tf.cast(stored_bytes, tf.bool)
    if dtype.size == 1:
        return tf.bitcast(stored_bytes, dtype)
    unit = dtype.size // 2 if dtype.is_complex else dtype.size
    if stored.byte_order != NATIVE_ORDER:
        stored_bytes = tf.reverse(tf.reshape(stored_bytes, [-1, unit]), [1])
    return tf.bitcast(tf.reshape(stored_bytes, [-1, dtype.size]), dtype)
