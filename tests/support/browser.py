"""A headless Chromium that tests drive through chromedriver (W3C WebDriver over plain HTTP).

with Browser(folder) as browser:
    browser.open("http://127.0.0.1:8088/agent/")
    browser.type("#username", "anna")
    browser.click("#login button")
    browser.wait_for("return document.querySelector('#desk').hidden === false")
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from kalibri.pg_cluster import free_port

DRIVER = "/usr/bin/chromedriver"
CHROMIUM = "/usr/bin/chromium"
#: Generous: a machine may be ten times slower than the one this was written on.
PATIENCE_SECONDS = 90.0
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # the sandbox wants rights that a container does not give; pages come from the test itself
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1000,1200",
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class BrowserError(Exception):
    """The browser could not do it."""


class Browser:
    """One browser with one window; ends with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._session = ""
        self._driver: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Browser:
        (self._folder / "profile").mkdir(parents=True)
        environment = {**os.environ, "HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}
        with (self._folder / "chromedriver.log").open("wb") as log:
            self._driver = subprocess.Popen(
                [DRIVER, f"--port={self._port}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_for_driver()
            options = {
                "binary": CHROMIUM,
                "args": [*_ARGUMENTS, f"--user-data-dir={self._folder / 'profile'}"],
            }
            wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
            self._session = self._send("POST", "/session", {"capabilities": wanted})["sessionId"]
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print("page:", self.run("return document.body.innerText"))  # shown with a failure
        try:
            self._send("DELETE", f"/session/{self._session}")
        finally:
            self._stop()

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.terminate()
            self._driver.wait(30)

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if self._send("GET", "/status")["ready"]:
                    return
            except OSError:
                assert time.monotonic() < deadline, "chromedriver does not answer"
            time.sleep(0.05)

    def _send(self, verb: str, path: str, body: Any = None) -> Any:
        data = json.dumps({} if body is None else body).encode() if verb == "POST" else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", data, {"Content-Type": "application/json"}, method=verb
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise BrowserError(f"{path}: {told['error']}: {told['message']}") from None

    def _element(self, selector: str) -> str:
        body = {"using": "css selector", "value": selector}
        found = self._send("POST", f"/session/{self._session}/element", body)
        return f"/session/{self._session}/element/{found[_ELEMENT]}"

    # ---- what a person does

    def open(self, url: str) -> None:
        """Go to an address."""
        self._send("POST", f"/session/{self._session}/url", {"url": url})

    def click(self, selector: str) -> None:
        """Click an element."""
        self._send("POST", f"{self._element(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        self._send("POST", f"{self._element(selector)}/value", {"text": text})

    # ---- what a person sees

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        body = {"script": script, "args": list(arguments)}
        return self._send("POST", f"/session/{self._session}/execute/sync", body)

    def text(self, selector: str) -> str:
        """Return the text that an element shows; empty if it is hidden or not there."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def wait_for(self, script: str, *arguments: Any) -> Any:
        """Wait until JavaScript returns something true; return it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"never true: {script} {arguments}"
            time.sleep(0.05)
        return found

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element shows a text among others."""
        self.wait_for(
            "return document.querySelector(arguments[0])?.innerText.includes(arguments[1])", selector, text
        )

    def screenshot(self, file: Path) -> None:
        """Write what the window shows to a PNG file."""
        file.write_bytes(base64.b64decode(self._send("GET", f"/session/{self._session}/screenshot")))
