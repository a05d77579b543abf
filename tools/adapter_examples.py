"""What the adapters of docs/adapters.md do, cell by cell: found out by warm starts, not drawn from memory.

Each example runs once for each old cell, with a one in that cell and zeros elsewhere. What arrives where is then how much of
which old cell each new cell holds. All of these variables are recovered in one session.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

from estimator_warmstart import ShapeAdaptingRecoverHook

tf1 = tf.compat.v1

_INITIAL = -1.0
"""The initial value of the new variables: no old cell and no fill of the page."""
_IN_PAGE = re.compile(r"!\[[^\]]*\]\(images/adapters/(\w+)\.svg\)|```python\n(.*?)```", re.DOTALL)
# The rows' names, as expressions that the page's own variables give: of the old rows, of the new ones.
_ROW_NAMES = {
    "remap_rows": ("old_films", "new_films"),
    "remap_rows_buckets": ("[*old_films, 'bucket 1']", "[*new_films, 'bucket 1']"),
    "remap_rows_aliases": ("old_films", "['Alien', 'dune']"),
    "remap_rows_similar": ("old_films", "new_films"),
    "hash_buckets": ("[f'bucket {number}' for number in range(3)]", "films"),
    "remap_segments": ("by_width(old_widths)", "by_width(new_widths)"),
    "remap_feature_columns": ("by_width({'film': 1, 'user': 3})", "by_width({'film': 2, 'genre': 1, 'user': 3})"),
}


class Example(NamedTuple):
    """An adapter as the page calls it, for an old and a new shape of two axes; the rows may have names."""

    name: str
    old_shape: Sequence[int]
    new_shape: Sequence[int]
    adapter: Any
    dtype: Any
    old_rows: Sequence[str]
    new_rows: Sequence[str]


class Cell(NamedTuple):
    """A new cell: the old cells it holds with their weights, or what it is filled with, `initial` or a number."""

    weights: Tuple[Tuple[int, float], ...]
    fill: str


def examples_of(page: str) -> List[Example]:
    """Runs the blocks of a page in order; each picture is of the call in the block behind it."""
    calls: List[Tuple[Any, ...]] = []
    names: Dict[str, Any] = {"by_width": _by_width}
    found, picture = [], ""
    for name, block in _IN_PAGE.findall(page):
        if name:
            picture = name
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, "adapters.md", "exec"), names)
        names["recovered"] = lambda *call: calls.append(call)
        if picture:
            old_shape, new_shape, adapter, dtype = (*calls.pop(), tf.float32)[:4]
            rows = [eval(each, names) for each in _ROW_NAMES.get(picture, ("()", "()"))]
            found.append(Example(picture, old_shape, new_shape, adapter, dtype, *rows))
            picture = ""
    return found


def _by_width(widths: Dict[str, int]) -> List[str]:
    return [name for name, width in widths.items() for _ in range(width)]


def cells_of(examples: Sequence[Example]) -> Dict[str, List[List[Cell]]]:
    """Returns the new cells of each example, row by row."""
    with tempfile.TemporaryDirectory() as folder:
        _save_old(examples, folder)
        values = _recovered(examples, folder)
    return {example.name: _cells(values[f"{example.name}/zeros"], _ones(example, values)) for example in examples}


def _ones(example: Example, values: Dict[str, np.ndarray]) -> List[np.ndarray]:
    return [values[f"{example.name}/{cell}"] for cell in range(int(np.prod(example.old_shape)))]


def _save_old(examples: Sequence[Example], folder: str) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        for example in examples:
            count = int(np.prod(example.old_shape))
            for cell, value in enumerate(np.eye(count, dtype=np.float32)):
                tf1.get_variable(f"{example.name}/{cell}", initializer=value.reshape(example.old_shape))
            tf1.get_variable(f"{example.name}/zeros", initializer=np.zeros(example.old_shape, np.float32))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, f"{folder}/model.ckpt")


def _recovered(examples: Sequence[Example], folder: str) -> Dict[str, np.ndarray]:
    with tf.Graph().as_default():
        variables = {}
        for example in examples:
            for cell in [*range(int(np.prod(example.old_shape))), "zeros"]:
                name = f"{example.name}/{cell}"
                initial = tf1.constant_initializer(_INITIAL)
                variables[name] = tf1.get_variable(name, example.new_shape, example.dtype, initializer=initial)
        hook = ShapeAdaptingRecoverHook(folder, adapters={f"{example.name}/.*": example.adapter for example in examples})
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            return dict(session.run(variables))


def _cells(zeros: np.ndarray, ones: Sequence[np.ndarray]) -> List[List[Cell]]:
    weights = np.stack(ones, axis=-1).astype(np.float64) - zeros[..., None]
    return [[_cell(float(fill), row) for fill, row in zip(*both)] for both in zip(zeros, weights)]


def _cell(fill: float, weights: np.ndarray) -> Cell:
    held = tuple((int(cell), round(float(weights[cell]), 3)) for cell in np.flatnonzero(weights))
    return Cell(held, "" if held else "initial" if fill == _INITIAL else f"{fill:g}")
