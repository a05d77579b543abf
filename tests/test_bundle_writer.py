"""A checkpoint written window by window is what TensorFlow itself would have written: it reads every value of it."""

import numpy as np
import pytest
import tensorflow as tf

from estimator_warmstart.checkpoint.bundle_writer import NewTensor, write_tensors
from estimator_warmstart.errors import CheckpointError
from estimator_warmstart.tensors import TensorSlice

HALF = tf.bfloat16.as_numpy_dtype
CASES = [
    ("float32", [[[0, 1], [2, 3]], [[4, 5]]], (3, 2)),
    ("bfloat16", [np.array([1, 2]).astype(HALF), np.array([3]).astype(HALF)], (3,)),
    ("int64", [7], ()),
    ("bool", [[True, False]], (2,)),
    ("complex64", [[1j, 2]], (2,)),
    ("float64", [], (0, 3)),
    ("string", [np.array([b"abc", b"", b"x" * 300], object)], (3,)),
    ("string", [np.array(b"one", object)], ()),
    ("string", [np.zeros([0], object)], (0,)),
]


def nothing(done, total):
    pass


@pytest.mark.parametrize("dtype, windows, shape", CASES, ids=[f"{dtype}{list(shape)}" for dtype, _, shape in CASES])
def test_a_tensor_in_windows(tmp_path, dtype, windows, shape):
    arrays = [np.asarray(window, tf.as_dtype(dtype).as_numpy_dtype) for window in windows]
    write_tensors(str(tmp_path / "new"), [NewTensor("w", dtype, shape, None, iter(arrays))], nothing)
    found = np.asarray(tf.train.load_variable(str(tmp_path / "new"), "w"))
    whole = np.concatenate(arrays).tolist() if shape and arrays else arrays[0].tolist() if arrays else []
    assert found.shape == shape and found.tolist() == whole


def test_slices(tmp_path):
    slices = [(TensorSlice((0, 0), (2, 2)), [[1, 2], [3, 4]]), (TensorSlice((2, 0), (1, 2)), [[5, 6]])]
    tensors = [NewTensor("w", "float32", (3, 2), box, iter([np.float32(value)])) for box, value in slices]
    tensors.insert(1, NewTensor("a", "int32", (), None, iter([np.int32(9)])))
    write_tensors(str(tmp_path / "new"), tensors, nothing)
    assert tf.train.load_variable(str(tmp_path / "new"), "w").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert tf.train.load_variable(str(tmp_path / "new"), "a") == 9


def test_all_that_cannot_be_read_is_told(tmp_path):
    def damaged(name):
        yield np.float32([1])
        raise CheckpointError(f"{name} is damaged")

    tensors = [NewTensor(name, "float32", (2,), None, damaged(name)) for name in "ab"]
    with pytest.raises(CheckpointError, match="2 problems") as raised:
        write_tensors(str(tmp_path / "new"), tensors, nothing)
    assert raised.value.problems == ("a is damaged", "b is damaged") and not (tmp_path / "new.index").exists()
