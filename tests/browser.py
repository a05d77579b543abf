"""A headless Chromium for the tests of pages: what it shows, what it complains of, what it asks the network for.

The browser is the system's (Debian: `chromium`, `chromium-driver`), selenium drives it. Nothing is downloaded.
"""

import importlib.util
import json
import os
import pathlib
import runpy
import shutil

import pytest

SCREENSHOT = runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "tools" / "screenshot.py"))
BROWSERS, find_browser = SCREENSHOT["BROWSERS"], SCREENSHOT["find_browser"]
ARGUMENTS = (*SCREENSHOT["ARGUMENTS"], "--disable-quic", "--window-size=1200,1000")


def why_none():
    """Why there is no browser to test with; empty if there is one."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    if find_browser() is None:
        return f"no browser: none of {', '.join(BROWSERS)} is on PATH (Debian: apt-get install chromium chromium-driver)"
    return "" if driver_path() else "no chromedriver on PATH (Debian: apt-get install chromium-driver)"


def driver_path():
    """The chromedriver on PATH, or where GitHub's machines have it."""
    return shutil.which("chromedriver") or shutil.which("chromedriver", path=os.environ.get("CHROMEWEBDRIVER", os.devnull))


needs_browser = pytest.mark.skipif(bool(why_none()), reason=why_none() or "there is a browser")


def start(profile):
    """Starts a browser with a profile of its own in the folder `profile`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = find_browser()
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver_path()))


def complaints(driver):
    """What the browser's console has, violations of the content security policy among it."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver, page):
    """The addresses that the page at the address `page` has asked for, its own first."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent if each["documentURL"] == page]
