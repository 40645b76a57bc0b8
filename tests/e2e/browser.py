"""Debian's chromium, headless, driven by its DevTools protocol: what a person would see, click and complain about."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--disable-features=Translate,OptimizationHints",
)


class BrowserError(AssertionError):
    """The browser is missing, a script threw, or what was waited for did not come."""


class LeftError(BrowserError):
    """The page was left for another one before it answered."""


LEFT = ("Inspected target navigated", "Cannot find context", "Execution context was destroyed")


@dataclass(frozen=True)
class Request:
    """One request that the page made."""

    method: str
    url: str

    @property
    def leaves_the_machine(self) -> bool:
        """Whether it goes neither to loopback nor to data in the page itself."""
        local = ("data:", "blob:", "file:", "about:", "chrome:", "http://127.0.0.1", "http://localhost")
        return not self.url.startswith(local)


@dataclass
class Frame:
    """A frame of the page that scripts can run in."""

    browser: Browser
    id: str
    session: str
    context: int

    @property
    def url(self) -> str:
        """Address of the frame; `blob:` or `about:srcdoc` for those that a page makes itself."""
        return str(self.evaluate("location.href"))

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression (promises awaited) in this frame."""
        return self.browser._evaluate(expression, self)

    def wait_for(self, expression: str, timeout: float = 20.0) -> Any:
        """Return the value of an expression as soon as it is truthy."""
        return self.browser._wait(lambda: self.evaluate(expression), expression, timeout)

    def click(self, css: str) -> None:
        """Click the middle of the first element that matches, with the mouse."""
        self.browser._click(css, self)


@dataclass
class Browser:
    """One page of a headless chromium. Use as a context manager.

    Attributes:
        errors: what the console, uncaught exceptions and the browser's own log called errors, since `open`.
        requests: every request since `open`, frames included.
    """

    width: int = 1280
    height: int = 1000
    dark: bool = False
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        program = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if program is None:
            raise BrowserError(
                f"This test opens a page in a real browser and found none of {', '.join(CHROMIUM)} on the PATH. "
                "Install one, on Debian with `apt-get install --yes chromium`, or leave these tests out by "
                "`-m 'not browser'`."
            )
        self._next, self._page = 0, ""
        self._contexts: dict[tuple[str, str], int] = {}
        with contextlib.ExitStack() as stack:
            # Chromium's helpers may still write for a moment after it has ended.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True))
            self._process = subprocess.Popen(
                [
                    program,
                    *FLAGS,
                    f"--user-data-dir={folder}",
                    f"--window-size={self.width},{self.height}",
                    "about:blank",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.callback(self._end)
            address = self._wait(lambda: _address(Path(folder)), "chromium's DevTools port", 60.0)
            self._socket: ClientConnection = stack.enter_context(connect(address, max_size=None, open_timeout=30))
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._page = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._watch(self._page)
            self._call(
                "Emulation.setDeviceMetricsOverride",
                width=self.width, height=self.height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
            self._call("Emulation.setEmulatedMedia", features=[scheme])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def open(self, url: str | Path, timeout: float = 30.0) -> None:
        """Open an address or a file and wait until the page is loaded."""
        self.errors.clear()
        self.requests.clear()
        address = url.resolve().as_uri() if isinstance(url, Path) else url
        failure = self._call("Page.navigate", url=address).get("errorText")
        if failure:
            raise BrowserError(f"The browser could not open {address}: {failure}.")
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'", timeout)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression (promises awaited) in the page."""
        return self._evaluate(expression, None)

    def wait_for(self, expression: str, timeout: float = 20.0) -> Any:
        """Return the value of an expression as soon as it is truthy; BrowserError after `timeout` seconds."""
        return self._wait(lambda: self.evaluate(expression), expression, timeout)

    def click(self, css: str) -> None:
        """Click the middle of the first element that matches, with the mouse."""
        self._click(css, None)

    def type(self, css: str, text: str) -> None:
        """Click into a field, replace what it holds and type."""
        self.click(css)
        self.evaluate("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key: `Tab`, `Space`, `Enter` or `Escape`."""
        code, text = {"Tab": (9, ""), "Space": (32, " "), "Enter": (13, "\r"), "Escape": (27, "")}[key]
        name = " " if key == "Space" else key
        told = {"key": name, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **told)
        self._call("Input.dispatchKeyEvent", type="keyUp", **told)

    def downloads_to(self, folder: Path) -> None:
        """Let what the page offers for download be written to a folder."""
        self._call("Browser.setDownloadBehavior", "", behavior="allow", downloadPath=str(folder))

    def downloaded(self, path: Path, timeout: float = 20.0) -> bytes:
        """Return what was downloaded, as soon as it is there."""
        self._wait(path.is_file, str(path), timeout)
        return path.read_bytes()

    def choose(self, css: str, value: str) -> None:
        """Choose the option of a select element by its value."""
        self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(css)}); e.value = {json.dumps(value)};"
            " if (e.selectedIndex < 0) throw Error('no such option');"
            " e.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def frames(self) -> list[Frame]:
        """Return the frames inside the page, sandboxed ones included, without the page itself."""
        self._drain()
        top = self._call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        return [Frame(self, frame, session, at) for (session, frame), at in self._contexts.items() if frame != top]

    def frame(self, expression: str, timeout: float = 20.0) -> Frame:
        """Return the first inner frame in which an expression is truthy, waiting for it."""
        return self._wait(lambda: self._frame(expression), f"a frame with {expression}", timeout)

    def screenshot(self, path: Path, *, full: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _frame(self, expression: str) -> Frame | None:
        for frame in self.frames():
            # A frame may be replaced between the list and the question.
            with contextlib.suppress(BrowserError):
                if frame.evaluate(expression):
                    return frame
        return None

    def _click(self, css: str, frame: Frame | None) -> None:
        chosen = f"document.querySelector({json.dumps(css)})"
        session, here = (frame.session, {"contextId": frame.context}) if frame else (self._page, {})
        found = self._call("Runtime.evaluate", session, expression=chosen, **here)["result"]
        if "objectId" not in found:
            raise BrowserError(f"There is no element {css!r} to click.")
        self._call("DOM.scrollIntoViewIfNeeded", session, objectId=found["objectId"])
        x0, y0, _, _, x1, y1, _, _ = self._call("DOM.getContentQuads", session, objectId=found["objectId"])["quads"][0]
        left, top = self._corner(frame)
        at = {"x": left + (x0 + x1) / 2, "y": top + (y0 + y1) / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, **at)

    def _corner(self, frame: Frame | None) -> tuple[float, float]:
        """Where the coordinates of a frame begin in the window: 0, 0 unless it lives in a process of its own."""
        if frame is None or frame.session == self._page:
            return 0.0, 0.0
        owner = self._call("DOM.getFrameOwner", frameId=frame.id)["backendNodeId"]
        self._call("DOM.scrollIntoViewIfNeeded", backendNodeId=owner)
        content = self._call("DOM.getBoxModel", backendNodeId=owner)["model"]["content"]
        return content[0], content[1]

    def _evaluate(self, expression: str, frame: Frame | None) -> Any:
        answer = self._call(
            "Runtime.evaluate",
            frame.session if frame else self._page,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
            **({"contextId": frame.context} if frame else {}),
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression} threw: {_thrown(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def _wait(self, ask: Any, what: str, timeout: float) -> Any:
        end = time.monotonic() + timeout
        while True:
            answer = None
            # A page that sends its reader on (a login) is asked again where it leads.
            with contextlib.suppress(LeftError):
                answer = ask()
            if answer:
                return answer
            if time.monotonic() > end:
                raise BrowserError(f"Waited {timeout:g} s in vain for {what}; errors so far: {self.errors or 'none'}.")
            if not self._page:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = self._process.wait(0.05)
                    raise BrowserError(f"chromium ended with code {code} before it could be reached.")
            else:
                self._drain(0.05)

    def _watch(self, session: str) -> None:
        """Listen to a page or to a frame with a process of its own, and let it go on where it waits for us."""
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self._send(f"{domain}.enable", session, {})
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Target.setAutoAttach", session, attach)
        self._send("Runtime.runIfWaitingForDebugger", session, {})

    def _send(self, method: str, session: str, params: dict[str, Any]) -> int:
        self._next += 1
        order = {"id": self._next, "method": method, "params": params}
        self._socket.send(json.dumps(order | ({"sessionId": session} if session else {})))
        return self._next

    def _call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        number = self._send(method, self._page if session is None else session, params)
        end = time.monotonic() + 60.0
        while True:
            try:
                message = json.loads(self._socket.recv(timeout=max(0.0, end - time.monotonic())))
            except TimeoutError:
                raise BrowserError(f"chromium did not answer {method} within 60 s.") from None
            if message.get("id") != number:
                self._event(message)
            elif "error" in message:
                kind = LeftError if any(word in message["error"]["message"] for word in LEFT) else BrowserError
                raise kind(f"chromium refused {method}: {message['error']['message']}")
            else:
                return message["result"]

    def _drain(self, seconds: float = 0.0) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self._event(json.loads(self._socket.recv(timeout=seconds)))

    def _event(self, message: dict[str, Any]) -> None:
        params, session = message.get("params", {}), message.get("sessionId", "")
        match message.get("method"):
            case "Target.attachedToTarget" if self._page:
                self._watch(params["sessionId"])
            case "Target.detachedFromTarget":
                self._forget(params["sessionId"])
            case "Runtime.executionContextCreated":
                context = params["context"]
                if context.get("auxData", {}).get("isDefault"):
                    self._contexts[session, context["auxData"]["frameId"]] = context["id"]
            case "Runtime.executionContextDestroyed":
                self._forget(session, params["executionContextId"])
            case "Runtime.executionContextsCleared":
                self._forget(session)
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(a.get("value", a.get("description", ""))) for a in params["args"]))
            case "Runtime.exceptionThrown":
                self.errors.append(_thrown(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
            case "Network.requestWillBeSent":
                self.requests.append(Request(params["request"]["method"], params["request"]["url"]))

    def _forget(self, session: str, context: int | None = None) -> None:
        """Drop the contexts of a session, or one of them."""
        for key, known in list(self._contexts.items()):
            if key[0] == session and context in (None, known):
                del self._contexts[key]

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def _address(folder: Path) -> str | None:
    try:
        port, path = (folder / "DevToolsActivePort").read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return None
    return f"ws://127.0.0.1:{port}{path}"


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text", "an unknown error"))
