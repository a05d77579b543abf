"""Runs the tests and the docstring examples on the installed package, never on the checkout's.

    run_tests.py [option of pytest]...

Run it with `python -I` of the environment to test: isolated mode keeps the current directory, the script's own and
PYTHONPATH from being imported from. The tests run in an empty directory, so that neither do the processes they start.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "estimator_warmstart"
INSTALLED = Path(sysconfig.get_path("purelib")).resolve() / PACKAGE
OPTIONS = [
    f"--rootdir={ROOT}",
    f"--config-file={ROOT / 'pyproject.toml'}",
    "-prun_tests",
    "--doctest-modules",
    "--pyargs",
    str(ROOT / "tests"),
    PACKAGE,
]


def contents(directory: Path) -> Dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.suffix in (".css", ".html", ".js", ".json", ".py", ".typed")
    }


def verify_installation() -> None:
    """Ends the program unless the installed package is, byte for byte, the checkout's."""
    installed, checkout = contents(INSTALLED), contents(ROOT / PACKAGE)
    differing = sorted(name for name in {*installed, *checkout} if installed.get(name) != checkout.get(name))
    if differing:
        sys.exit(
            f"{INSTALLED} differs from the checkout in {', '.join(differing)}: run the same `make` target again, and "
            "`make clean` first where that does not help"
        )


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """As a plugin of pytest: skips the docstring examples of what needs an Estimator where TensorFlow has none."""
    from conftest import needs_estimator

    for item in items:
        name = item.name.rpartition(".")[2]
        if isinstance(item, pytest.DoctestItem) and name in ("prove_recovery", "warm_started", "warm_start_settings"):
            item.add_marker(needs_estimator)


def pytest_runtest_teardown() -> None:
    """As a plugin of pytest, in each process that runs tests: fails them where another package of that name was imported."""
    strays = sorted(
        f"{name} from {module.__file__}"
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == PACKAGE and INSTALLED not in Path(module.__file__).resolve().parents
    )
    if strays:
        pytest.fail(f"Tested the wrong package (is there an __init__.py in tests/?): {'; '.join(strays[:3])}", pytrace=False)


def main() -> int:
    verify_installation()
    print(f"Python {sys.version.split()[0]}, {PACKAGE} in {INSTALLED}", flush=True)
    os.environ.pop("PYTHONPATH", None)
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))
    # The plugin is this file. Last, so that no module here stands before an installed one.
    sys.path.append(str(Path(__file__).resolve().parent))
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        status = int(pytest.main([*OPTIONS, *sys.argv[1:]]))
        os.chdir(str(ROOT))
    return status


if __name__ == "__main__":
    sys.exit(main())
