"""Makes a virtual environment of the project's in .venvs/, or brings it up to date, by means of uv.

    set_up.py NAME    tf1, tf2, lint, docs, or one of MATRIX: tf2-0 for TensorFlow 2.0, and so on

Run it with any Python 3.8 or later. pyproject.toml says what is in each environment. An environment is made anew when that
has changed or the environment is not whole; this takes seconds where uv has the packages in its cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]
VENVS = ROOT / ".venvs"
PYPROJECT = ROOT / "pyproject.toml"
PACKAGE = "estimator_warmstart"
BUILD_FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.py")
# 0.8 is the first to have all that is asked of it below.
OLDEST_UV, OWN_UV = (0, 8), "uv>=0.13,<0.14"


class Environment(NamedTuple):
    """What a virtual environment is made from."""

    variable: str  # of the caller's shell: the Python to use
    versions: List[str]  # those that will do, the best first
    requirements: List[str]  # as options of `uv pip install`
    with_package: bool = False  # the package itself too, from a wheel


NEWER = ("PYTHON_TF2", ["3.11", "3.10", "3.9"])
ENVIRONMENTS: Dict[str, Environment] = {
    "tf1": Environment("PYTHON_TF1", ["3.7"], ["--extra=demo", "--extra=test", "--group=tf1"], with_package=True),
    "tf2": Environment(*NEWER, ["--extra=demo", "--extra=test", "--group=tf2"], with_package=True),
    "lint": Environment(*NEWER, ["--extra=lint", "--group=lint"]),
    "docs": Environment(*NEWER, ["--group=docs"]),
}
# The Python for each further TensorFlow 2 that is tested. Its group in pyproject.toml has the same name.
MATRIX = {
    "tf2-0": "3.7",
    "tf2-1": "3.7",
    "tf2-3": "3.8",
    "tf2-4": "3.8",
    "tf2-6": "3.9",
    "tf2-8": "3.9",
    "tf2-10": "3.10",
    "tf2-11": "3.10",
    "tf2-13": "3.8",
    "tf2-16": "3.12",
    "tf2-18": "3.12",
    "tf2-21": "3.13",
}
ENVIRONMENTS.update(
    (
        name,
        Environment(
            f"PYTHON_{name.upper().replace('-', '_')}",
            [python],
            ["--extra=demo", "--extra=test", f"--group={name}"],
            with_package=True,
        ),
    )
    for name, python in MATRIX.items()
)


def settings() -> Dict[str, str]:
    """The caller's, without what would divert uv or a Python; a pyenv's Pythons in front of its shims, which mislead uv."""
    diverting = ("CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in diverting}
    pyenv = Path(kept.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [str(path) for path in sorted(pyenv.glob("versions/3.*/bin"))]
    return dict(kept, PATH=os.pathsep.join([*places, kept.get("PATH", os.defpath)]), PIP_DISABLE_PIP_VERSION_CHECK="1")


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], cwd=str(ROOT), env=settings(), stdin=subprocess.DEVNULL, check=True)


def output_of(*command: object) -> Optional[str]:
    """What `command` prints, or None where it fails."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=str(ROOT),
            env=settings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().strip()


def will_do(uv: object) -> bool:
    version = re.match(r"uv (\d+)\.(\d+)", output_of(uv, "--version") or "")
    return version is not None and tuple(map(int, version.groups())) >= OLDEST_UV


def find_uv() -> str:
    """The uv on PATH where it will do, else one of this checkout's own."""
    found, own = shutil.which("uv"), VENVS / "uv" / "bin" / "uv"
    if found and will_do(found):
        return found
    if not will_do(own):
        try:
            run(sys.executable, "-I", "-m", "venv", "--clear", VENVS / "uv")
            run(VENVS / "uv" / "bin" / "python", "-I", "-m", "pip", "install", "-q", OWN_UV)
        except subprocess.CalledProcessError:
            sys.exit(f"{sys.executable} cannot install uv, see above: install uv yourself (Debian, Ubuntu: or python3-venv).")
    return str(own)


def find_python(uv: str, environment: Environment) -> str:
    """The path of a Python for `environment`; ends the program in one line where there is none."""
    variable, versions = environment.variable, environment.versions
    wanted = " or ".join(versions)
    find = (uv, "python", "find", "--system", "--no-project", "--no-python-downloads")
    chosen = os.environ.get(variable)
    if chosen:
        path = output_of(*find, chosen)
        version = path and output_of(path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        if not path or version not in versions:
            found = f"Python {version}" if version else "not a Python"
            sys.exit(f"{variable}={chosen} is {found}; this needs Python {wanted}.")
        return path
    for version in versions:
        path = output_of(*find, version)
        if path:
            return path
    with suppress(subprocess.CalledProcessError):
        run(uv, "python", "install", versions[0])
    none = f"No Python {wanted} found, and uv could not bring one: install one, or set {variable} to the path of one."
    return output_of(*find, versions[0]) or sys.exit(none)


def holds(note: Path, text: str) -> bool:
    return note.exists() and note.read_text(encoding="utf-8") == text


def make(uv: str, python: str, directory: Path, environment: Environment) -> None:
    """Makes the environment anew unless it is whole and from just this; a note in it, written last, says so."""
    note = directory / "made-from"
    # The tools' settings, which are at the end, make no difference.
    requirements = PYPROJECT.read_text(encoding="utf-8").partition("\n[tool.")[0]
    made_from = "\n".join([python, *environment.requirements, requirements])
    if holds(note, made_from):
        return
    print(f"Making {directory} with {python}", flush=True)
    # Not left to uv, which clears nothing that is not a whole environment.
    shutil.rmtree(directory, ignore_errors=True)
    run(uv, "venv", "--quiet", "--no-project", "--python", python, directory)
    run(uv, "pip", "install", "--quiet", "--python", directory, "--requirement", PYPROJECT, *environment.requirements)
    note.write_text(made_from, encoding="utf-8")


def install_package(uv: str, directory: Path) -> None:
    """Installs the checkout's files unless just these are installed: another process may be at work with them."""
    note, source = directory / "package-from", directory / "source"
    # From a copy: the build leaves nothing in the checkout, and nothing that a former build left comes along.
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / PACKAGE, source / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, source)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    made_from = "\n".join(f"{sha256(path.read_bytes()).hexdigest()} {path.relative_to(source)}" for path in files)
    if holds(note, made_from):
        return
    print(f"Installing the package in {directory}", flush=True)
    note.write_text("", encoding="utf-8")
    options = ("--no-deps", "--no-build-isolation", "--reinstall")
    run(uv, "pip", "install", "--quiet", "--python", directory, *options, source)
    note.write_text(made_from, encoding="utf-8")


def set_up(name: str) -> None:
    environment = ENVIRONMENTS[name]
    uv = find_uv()
    make(uv, find_python(uv, environment), VENVS / name, environment)
    if environment.with_package:
        install_package(uv, VENVS / name)


def main() -> None:
    if sys.argv[1:] not in [[name] for name in ENVIRONMENTS]:
        sys.exit(f"{__doc__}\nNAME is one of {', '.join(ENVIRONMENTS)}")
    VENVS.mkdir(exist_ok=True)
    # One at a time, whatever several calls of make are at.
    with (VENVS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            set_up(sys.argv[1])
        except subprocess.CalledProcessError as error:
            sys.exit(f"Set-up failed, see above: {' '.join(error.cmd)}")
        except KeyboardInterrupt:
            sys.exit("Set-up interrupted; the next run takes it up again.")


if __name__ == "__main__":
    main()
