"""The machine's headless Chromium. Without one the tests are skipped, and in CI they fail."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Features that are switched off: Chromium reads the last such option only, so those of Playwright's are named again.
#: Our own are the two pages of the address bar and the renderer in reserve that each window loads: nobody sees
#: them, and they take two fifths of the processor time of a window.
DISABLED: Final = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "PaintHolding"),
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "AvoidCorsURLLoaderRestartOnRedirect"),
    *("LensOverlay", "MediaRouter", "ThirdPartyStoragePartitioning", "OptimizationHints"),
    *("NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch"),
)
#: Root has no browser sandbox; the other options stop requests to the browser's vendor.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    f"--disable-features={','.join(DISABLED)}",
)


def find_chromium() -> str:
    """Return the path of Chromium; skip the test without one."""
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
    """Yield a browser; afterwards it and its event loop are closed."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
