"""A headless Chromium for tests: the one that the machine has. Without one they say so, and in CI they fail."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: As root there is no sandbox to be had; the rest keeps the browser from calling its makers.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def find_chromium() -> str:
    """Return where Chromium is; skips the test without one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if "CI" in os.environ:
            pytest.fail("There is no Chromium here: `.ci/run` installs Debian's.")
        pytest.skip(
            "There is no Chromium here: install one (Debian: apt-get install chromium) to run the browser's tests."
        )
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser, and leave neither it nor its event loop behind."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
