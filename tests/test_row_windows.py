"""Old values a few rows at a time: whole, in slices on any axis, of any dtype, damaged, V1."""

import pathlib
import sys
from contextlib import closing

import numpy as np
import pytest
import tensorflow as tf

from conftest import save_checkpoint
from estimator_warmstart.checkpoint.checkpoint import OldVariable, open_checkpoint
from estimator_warmstart.checkpoint.row_windows import row_windows
from estimator_warmstart.checkpoint.statistics import value_reader
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.tensors import TensorSlice

tf1 = tf.compat.v1
TABLE = np.arange(10, dtype=np.float32).reshape(5, 2)  # A row has 8 bytes.


def windows_of(prefix, name, nbytes):
    checkpoint = open_checkpoint(prefix)
    with closing(value_reader(checkpoint)) as reader:
        return list(row_windows(reader, checkpoint.variables[name], nbytes))


def save_slices(folder, value, boxes):
    """Saves a tensor in slices, each (offset, shape)."""
    prefix = str(folder / "model.ckpt")
    with tf.Graph().as_default(), tf1.Session() as session:
        specs, parts = [], []
        for offset, shape in boxes:
            ends = [slice(begin, begin + length) for begin, length in zip(offset, shape)]
            specs.append(" ".join(map(str, value.shape)) + " " + ":".join(f"{a},{b}" for a, b in zip(offset, shape)))
            parts.append(tf.constant(value[tuple(ends)]))
        session.run(tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["w"] * len(parts), shape_and_slices=specs, tensors=parts))
    return prefix


@pytest.mark.parametrize(
    "nbytes, rows", [(1, [1, 1, 1, 1, 1]), (16, [2, 2, 1]), (23, [2, 2, 1]), (1 << 20, [5])], ids=["one", "two", "odd", "all"]
)
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_windows_have_as_many_rows_as_fit_whatever_the_slices(old_dir, nbytes, rows, parts):
    found = windows_of(save_checkpoint(old_dir, {"w": TABLE}, {"w": parts} if parts > 1 else None), "w", nbytes)
    assert [len(window) for window in found] == rows
    assert np.concatenate(found).tolist() == TABLE.tolist() and found[0].dtype == np.float32


@pytest.mark.parametrize(
    "boxes",
    [
        [((0, 0), (5, 1)), ((0, 1), (5, 1))],
        [((0, 0), (2, 1)), ((0, 1), (4, 1)), ((2, 0), (3, 1)), ((4, 1), (1, 1))],
    ],
    ids=["columns", "boxes"],
)
def test_slices_on_other_axes(tmp_path, boxes):
    found = windows_of(save_slices(tmp_path, TABLE, boxes), "w", 16)
    assert [window.tolist() for window in found] == [TABLE[:2].tolist(), TABLE[2:4].tolist(), TABLE[4:].tolist()]


DTYPES = [
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "int64",
    "bool",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(old_dir, dtype):
    with tf.Graph().as_default(), tf1.Session() as session:
        value = session.run(tf.cast(tf.constant([[0, 1], [1, 0], [0, 1]]), tf.as_dtype(dtype)))
    found = windows_of(save_checkpoint(old_dir, {"w": value}), "w", 4)
    joined = np.concatenate(found)
    assert joined.dtype == value.dtype and joined.tobytes() == value.tobytes()


SHAPES = [(), (0,), (3, 0), (0, 2), (1,), (2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(old_dir, shape):
    value = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    found = windows_of(save_checkpoint(old_dir, {"w": value}), "w", 8)
    rows = value.reshape(shape or (1,))
    assert all(len(window) == 1 or not window.size for window in found)
    assert [row.tolist() for window in found for row in window] == rows.tolist()


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
def test_a_flipped_bit_is_told_before_the_last_rows(old_dir, parts, at):
    prefix = save_checkpoint(old_dir, {"w": TABLE}, {"w": parts} if parts > 1 else None)
    path = pathlib.Path(prefix + ".data-00000-of-00001")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    checkpoint, found = open_checkpoint(prefix), []
    with closing(value_reader(checkpoint)) as reader, pytest.raises(CheckpointError, match="do not have the checksum"):
        found.extend(row_windows(reader, checkpoint.variables["w"], 8))
    assert len(found) < len(TABLE)


def test_a_tensor_that_is_stored_in_part(tmp_path):
    with pytest.raises(CheckpointError, match=r"'w' \[5, 2\] is stored in part only"):
        windows_of(save_slices(tmp_path, TABLE, [((0, 0), (2, 2))]), "w", 8)


@pytest.mark.parametrize("parts", [1, 2])
def test_v1(old_dir, parts):
    with tf.Graph().as_default(), tf1.Session() as session:
        partitioner = tf1.fixed_size_partitioner(parts) if parts > 1 else None
        tf1.get_variable("w", initializer=tf.constant(TABLE), partitioner=partitioner, use_resource=False)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(write_version=tf1.train.SaverDef.V1)
        prefix = saver.save(session, str(old_dir / "model.ckpt"), write_meta_graph=False)
    found = windows_of(prefix, "w", 16)
    assert [window.tolist() for window in found] == [TABLE[:2].tolist(), TABLE[2:4].tolist(), TABLE[4:].tolist()]


@pytest.mark.parametrize("dtype", ["int16", "float64", "complex64", "bool"])
def test_the_other_byte_order(dtype):
    value = np.array([1, 2, 0]).astype(dtype)
    other = ">" if sys.byteorder == "little" else "<"

    class OtherReader:
        byte_order = other

        def stored_slices(self, key):
            return [(TensorSlice((0,), (3,)), iter([value.astype(value.dtype.newbyteorder(other)).tobytes()]))]

    found = np.concatenate(list(row_windows(OtherReader(), OldVariable("w", (3,), dtype, "w"), 1)))
    assert found.dtype == value.dtype and found.tolist() == value.tolist()
