"""The old checkpoint's values and both vocabularies, as functions of the row's index.

So a contender's result can be checked without reading the checkpoint again.
"""

from __future__ import annotations

from math import gcd
from typing import Dict, List, Sequence

import numpy as np

# Variable -> columns. A slot comes after its variable.
COLUMNS: Dict[str, int] = {"fm/w": 1, "fm/w/Adagrad": 1, "fm/v": 16, "fm/v/Adagrad": 16}
NO_OLD_ROW = -1
INITIAL_ACCUMULATOR = 0.1
STDDEV = 0.01

_ODD = 2654435761  # Knuth's multiplier; odd, hence one to one on a range that is a power of two
_STEPS = 1 << 23  # of a float32's mantissa: k / 2**23 and 1 + k / 2**23 are exact
_BLOCK = 1 << 18


def is_slot(name: str) -> bool:
    """Whether the variable is an optimizer's slot."""
    return name.endswith("/Adagrad")


def old_values(name: str, rows: np.ndarray) -> np.ndarray:
    """Values of the old variable: in [0, 1), a slot's in [1, 2), no two rows of one column alike below 2**23 rows.

    Args:
        name: a key of `COLUMNS`.
        rows: int, `[n]`.

    Returns:
        float32, `[n, columns]`.
    """
    salt = list(COLUMNS).index(name) * 1299709
    out = np.empty((len(rows), COLUMNS[name]), np.float32)
    columns = np.arange(COLUMNS[name], dtype=np.uint64) * np.uint64(40503) + np.uint64(salt)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.uint64)[:, np.newaxis]
        steps = (block * np.uint64(_ODD) + columns) % np.uint64(_STEPS)
        out[start : start + _BLOCK] = steps.astype(np.float64) / _STEPS + (1.0 if is_slot(name) else 0.0)
    return out


def source_rows(task: str, rows: np.ndarray, old_size: int) -> np.ndarray:
    """The old row whose value each new row takes, `NO_OLD_ROW` for one that is new.

    Args:
        task: the task's name.
        rows: int64, `[n]`, rows of the new table.
        old_size: rows of the old table.
    """
    if task == "vocabulary":
        old = (rows * _stride(old_size) + old_size // 3) % old_size
        return np.where(old % 10 == 9, NO_OLD_ROW, old)
    if task == "rehash":
        return rows % old_size
    return np.where(rows < old_size, rows, NO_OLD_ROW)


def problems(task: str, recovers: bool, rows: np.ndarray, old_size: int, found: Dict[str, np.ndarray]) -> List[str]:
    """What is wrong with the rows found in the new variables; empty when all is as it must be.

    Args:
        task: the task's name.
        recovers: whether old values are expected at all.
        rows: int64, `[n]`, the rows that were looked at.
        old_size: rows of the old table.
        found: variable's name -> float32, `[n, columns]`.
    """
    sources = source_rows(task, rows, old_size) if recovers else np.full_like(rows, NO_OLD_ROW)
    kept = sources != NO_OLD_ROW
    wrong = []
    for name in COLUMNS:
        unequal = np.any(found[name][kept] != old_values(name, sources[kept]), axis=1)
        if unequal.any():
            wrong.append(f"{name}: {unequal.sum()} of {kept.sum()} old rows differ, first row {rows[kept][unequal][0]}")
        if not _looks_fresh(name, found[name][~kept]):
            wrong.append(f"{name}: {(~kept).sum()} rows should be as initialized and are not")
    return wrong


def sampled_rows(size: int, old_size: int) -> np.ndarray:
    """Some rows of the new table: all of a small one, else evenly spread with both ends and the old table's end."""
    if size <= 4096:
        return np.arange(size, dtype=np.int64)
    spread = np.linspace(0, size - 1, 2048).astype(np.int64)
    edges = np.arange(old_size - 3, old_size + 3, dtype=np.int64)
    return np.unique(np.concatenate([spread, edges[edges < size]]))


def old_tokens(size: int) -> List[str]:
    """The old vocabulary, one token a row, in no order that could be made use of."""
    return [_token(row) for row in range(size)]


def new_tokens(task: str, size: int, old_size: int) -> List[str]:
    """The new vocabulary: the old token where a row has an old row, one that was never seen where it has none."""
    sources: Sequence[int] = source_rows(task, np.arange(size, dtype=np.int64), old_size).tolist()
    return [_token(old_size + row if source == NO_OLD_ROW else source) for row, source in enumerate(sources)]


def _token(index: int) -> str:
    return f"{index * _ODD % (1 << 32):08x}"


def _stride(size: int) -> int:
    """A step that visits every row once before it returns to the first, and keeps neighbors far apart."""
    stride = max(1, int(size * 0.618))
    while gcd(stride, size) != 1:
        stride += 1
    return stride


def _looks_fresh(name: str, values: np.ndarray) -> bool:
    if is_slot(name):
        return bool(np.all(values == np.float32(INITIAL_ACCUMULATOR)))
    # A truncated normal never leaves two standard deviations. The old values are spread over [0, 1).
    inside = np.all(np.abs(values) <= 2.001 * STDDEV)
    return bool(inside and (values.size < 2 or np.ptp(values) > 0))
