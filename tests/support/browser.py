"""Headless Chromium for the admin UI, and the few gestures the tests need. Everything waits by probe."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1600,1200",
)


@dataclass(frozen=True)
class Browser:
    driver: webdriver.Chrome

    def open(self, url: str) -> None:
        self.driver.get(url)

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def field(self, css: str) -> WebElement:
        """The first visible element; it must come up."""
        return self._visible(css, "")

    def fill(self, name: str, text: str) -> None:
        self.field(f"input[name={name}]").send_keys(text)

    def click(self, label: str, css: str = "button") -> None:
        """Click what carries exactly this text, the frontmost first. A page that redraws meanwhile is asked again."""

        def clicked() -> bool:
            try:
                self._matching(css, label)[-1].click()
            except (WebDriverException, IndexError):
                return False
            return True

        eventually(clicked, what=f"a click on {label!r}")

    def dialog(self, having: str) -> str:
        """The text of the dialog that contains `having`."""
        return str(self._visible("[role=dialog]", having, part=True).text)

    def _visible(self, css: str, label: str, *, part: bool = False) -> WebElement:
        found: list[WebElement] = eventually(
            lambda: self._matching(css, label, part=part), what=f"{css} with {label!r} at {self.url}"
        )
        return found[0]

    def _matching(self, css: str, label: str, *, part: bool = False) -> list[WebElement]:
        """Elements that carry the label (any with ""); none while the page is being redrawn."""
        try:
            return [
                element
                for element in self.driver.find_elements(By.CSS_SELECTOR, css)
                if element.is_displayed()
                and (not label or element.text.strip() == label or (part and label in element.text))
            ]
        except WebDriverException:
            return []


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a fresh profile. Needs `chromium` and `chromedriver` on PATH."""
    binary, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary or ""
    with tempfile.TemporaryDirectory(prefix="chromium-test-", ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # With both paths given, Selenium looks for nothing on the network.
        driver = webdriver.Chrome(options=options, service=Service(driver_path))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
