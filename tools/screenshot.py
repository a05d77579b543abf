"""Takes a picture of a page, a file of this machine, with the system's Chromium, in light or dark colors.

The tests of pages run the same browser in the same way.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile
from typing import Optional, Tuple

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What keeps it from talking to anybody by itself, and lets it run in a container.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SCHEMES = {False: "--blink-settings=preferredColorScheme=1", True: "--blink-settings=preferredColorScheme=0"}
_SECONDS = 120


def find_browser() -> Optional[str]:
    """The path of the first of `BROWSERS` that there is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def needed_browser() -> str:
    """The path of a browser; ends the program where there is none."""
    path = find_browser()
    if path is None:
        raise SystemExit(f"no browser: none of {', '.join(BROWSERS)} is on PATH (Debian: apt-get install chromium)")
    return path


def take_picture(page: pathlib.Path, picture: pathlib.Path, size: Tuple[int, int], dark: bool) -> None:
    """Writes the top of a page, as large as a window of `size` pixels shows it, as PNG."""
    path = needed_browser()
    if picture.exists():
        picture.unlink()
    with tempfile.TemporaryDirectory() as profile:
        command = [path, *ARGUMENTS, _SCHEMES[dark], f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"]
        command += ["--hide-scrollbars", f"--screenshot={picture}", page.resolve().as_uri()]
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS)
    if ran.returncode or not picture.exists():
        raise SystemExit(f"{path} has taken no picture of {page}:\n{ran.stdout}")
