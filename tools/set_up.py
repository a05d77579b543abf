"""Makes a virtual environment with the project installed in it as a wheel, or brings one up to date.

    set_up.py ENVIRONMENT REQUIREMENTS

Enters: the directory of the environment and a requirements file that names its TensorFlow. Leaves: an environment that
holds exactly what the checkout says. Two stamp files in it, each the digest of what its part was made from and written
last, tell a complete part from an interrupted or outdated one. Digests rather than times of change: a file that was
removed, or one that came back older, counts too.
"""
from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Iterable, List

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "estimator_warmstart"
BUILD_FILES = [ROOT / name for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE")]
# pip 22 is the first to have all that is asked of it below; TensorFlow 1.15 and 2.15 import the pkg_resources that
# later releases of setuptools no longer have.
BUILD_TOOLS = ["pip>=22", "setuptools>=61,<81", "wheel"]


def package_files() -> List[Path]:
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".typed"))


def digest(files: Iterable[Path], *extra: str) -> str:
    total = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        total.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        total.update(content)
    for text in extra:
        total.update(f"{text}\0".encode())
    return total.hexdigest()


class Stamp:
    """The record that one part of an environment is complete, and what it was made from."""

    def __init__(self, path: Path, made_from: str) -> None:
        self._path = path
        self._made_from = made_from

    def holds(self) -> bool:
        return self._path.exists() and self._path.read_text() == self._made_from

    def remove(self) -> None:
        if self._path.exists():
            self._path.unlink()

    def write(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(self._made_from)
        draft.replace(self._path)


def run(*command: object) -> None:
    """Runs a command that asks nothing and that no setting of the user's own Python or pip diverts."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment.update(PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    subprocess.run([str(part) for part in command], env=environment, stdin=subprocess.DEVNULL, check=True)


class Environment:
    """A virtual environment and the few things done to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"

    def pip(self, *arguments: object) -> None:
        """Runs pip, which says errors only: its remarks on the user's settings would bury what matters."""
        run(self.python, "-I", "-m", "pip", "-qq", *arguments)

    def create(self) -> None:
        if self.directory.exists():
            shutil.rmtree(self.directory)
        run(sys.executable, "-I", "-m", "venv", self.directory)
        self.pip("install", *BUILD_TOOLS)

    def build_wheel(self, scratch: Path) -> Path:
        """Builds from a copy: nothing is left in the checkout, and nothing a former build left comes along."""
        source = scratch / "source"
        shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in BUILD_FILES:
            shutil.copy(path, source)
        self.pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", scratch, source)
        return next(scratch.glob("*.whl"))

    def install_all(self, wheel: Path, requirements: Path) -> None:
        """One call of pip, so that one resolution suits TensorFlow and everything else."""
        self.pip("install", "--requirement", requirements, f"{wheel}[demo,dev]")

    def reinstall(self, wheel: Path) -> None:
        # The scheme is named because Debian's own Python has another default outside of environments.
        packages = Path(sysconfig.get_path("purelib", "posix_prefix", vars={"base": str(self.directory)}))
        # By hand: pip leaves files behind where an earlier installation was interrupted.
        for path in packages.glob(f"{PACKAGE.name}*"):
            shutil.rmtree(path)
        self.pip("install", "--no-deps", "--no-index", wheel)


def bring_up_to_date(environment: Environment, requirements: Path) -> None:
    made_from = digest([Path(__file__).resolve(), ROOT / "setup.py", requirements], sys.version, sys.base_prefix)
    everything = Stamp(environment.directory / ".dependencies-complete", made_from)
    package = Stamp(environment.directory / ".package-complete", digest([*BUILD_FILES, *package_files()]))
    complete = everything.holds() and environment.python.exists()
    if complete and package.holds():
        return
    package.remove()
    if not complete:
        everything.remove()
        version = "{}.{}.{}".format(*sys.version_info)
        print(f"Making {environment.directory} with Python {version}; TensorFlow takes a few minutes.", flush=True)
        environment.create()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = environment.build_wheel(Path(scratch))
        if complete:
            environment.reinstall(wheel)
        else:
            environment.install_all(wheel, requirements)
            everything.write()
    package.write()
    print(f"Installed {wheel.name} in {environment.directory}.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=lambda text: Path(text).absolute())
    parser.add_argument("requirements", type=lambda text: Path(text).resolve())
    arguments = parser.parse_args()
    arguments.environment.parent.mkdir(parents=True, exist_ok=True)
    with arguments.environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            bring_up_to_date(Environment(arguments.environment), arguments.requirements)
        except subprocess.CalledProcessError as error:
            sys.exit(f"Set-up of {arguments.environment} failed, see above: {' '.join(error.cmd)}")
        except KeyboardInterrupt:
            sys.exit(f"Set-up of {arguments.environment} interrupted; the next run takes it up again.")


if __name__ == "__main__":
    main()
