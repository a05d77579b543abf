"""What the tests of the FM example share: its modules, its process, and files that it reads."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import estimator_warmstart

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "estimator_fm"


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example's folder, and forgets them all afterwards: other folders use the same names."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def run_example(*arguments):
    """Runs main.py as a user would; returns the ended process."""
    return run_python(str(FOLDER / "main.py"), *arguments)


def run_examples(*runs):
    """The same for several lists of arguments, one after the other in one process: loading TensorFlow takes the longest."""
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import main\n"
    return run_python("-c", code + "\n".join(f"assert main.main({list(map(str, arguments))}) == 0" for arguments in runs))


def run_python(*arguments):
    package = str(Path(estimator_warmstart.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=path),
    )


def rows(example, part):
    """All of a part's rows: {feature: array}, labels."""
    chunks = list(example("source").fetch(part.chunks))
    features = {name: np.concatenate([chunk[0][name] for chunk in chunks]) for name in chunks[0][0]}
    return features, np.concatenate([chunk[1] for chunk in chunks])


def tokens(example, part):
    return [[token.decode() for token in row] for row in rows(example, part)[0]["tokens"]]


def write_ratings(folder, lines):
    (folder / "u.data").write_text("".join(f"{line}\n" for line in lines))
    return str(folder)


INTEGERS = ["1", "", "-1", "0", "2", "3", "7", "1382", "", "", "", "", "181"]
CATEGORIES = ["68fd1e64", "", *(f"{number:08x}" for number in range(3, 27))]


def criteo_line(label, integers=None, categories=None):
    return "\t".join([str(label), *(integers or INTEGERS), *(categories or CATEGORIES)])
