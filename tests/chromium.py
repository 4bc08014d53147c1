"""A real Chromium for tests, driven by selenium."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from tests.interop.required import lacking, program

SWITCHES = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "no-first-run",
    "autoplay-policy=no-user-gesture-required",
)


@contextmanager
def running_chromium(
    *, deadline_s: float, switches: Collection[str] = (), logs: Collection[str] = ("browser",)
) -> Iterator[Any]:
    """The driver of a browser; without one the test is skipped, or fails where none may lack.

    Args:
        deadline_s: How long a page may load, and a script may take.
        switches: More switches of the command line, without their dashes.
        logs: Which of its logs are kept.
    """
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        lacking("no selenium in this environment")
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    for switch in (*SWITCHES, *switches):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
    try:
        driver.set_script_timeout(deadline_s)
        driver.set_page_load_timeout(deadline_s)
        yield driver
    finally:
        driver.quit()
