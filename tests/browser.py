"""A real browser, driven through the DevTools protocol over its pipe: no network, no library beside it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

BROWSER = shutil.which("chromium")
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="NO BROWSER, EXPLORER NOT TESTED: apt-get install --no-install-recommends chromium"
)
_TO_BROWSER, _FROM_BROWSER = 3, 4  # the descriptors that --remote-debugging-pipe names
_KEYS = {"Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One page of one headless chromium. What it downloads lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        self.folder = folder
        theirs, self._to = os.pipe()
        self._from, ours = os.pipe()
        own = [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank",
        ]  # fmt: skip
        # The shell gives chromium its two pipes under the numbers that it reads.
        script = f'exec "$@" {_TO_BROWSER}<&{theirs} {_FROM_BROWSER}>&{ours}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *own], pass_fds=(theirs, ours), stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(ours)
        self._sent, self._read, self._session = 0, b"", ""
        (page,) = [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.errors: list[str] = []
        self.send("Runtime.enable")
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.send("Browser.close")
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)

    def send(self, method: str, **parameters: Any) -> Any:
        """The result of a command; exceptions of the page's scripts are kept in `errors`."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._sent:
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"]))
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._read:
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser has ended"
            self._read += piece
        message, self._read = self._read.split(b"\0", 1)
        return json.loads(message)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, file: Path, fragment: str = "", width: int = 1280, dark: bool = False) -> None:
        """The page at a width in CSS pixels, loaded anew; none of its scripts may have failed."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=f"{file.as_uri()}#{fragment}")
        ready = f"location.protocol === 'file:' && document.readyState === 'complete' && '{file.name}'"
        until(lambda: self.run(ready))
        assert not self.errors

    def press(self, *keys: str) -> None:
        """Keys as from a keyboard, to whatever has the focus."""
        for key in keys:
            code = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
            self.send("Input.dispatchKeyEvent", type="rawKeyDown", **code)
            self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def picture(self, file: Path, height: int | None = None) -> None:
        """The page from its top as a PNG; the whole of it without a height."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(height or 1e9, size["height"]), "scale": 1}
        shot = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


def until(holds: Any, seconds: float = 30) -> None:
    """Returns when `holds()` is true; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)
