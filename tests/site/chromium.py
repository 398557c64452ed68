"""A headless Chromium, spoken to by the DevTools protocol over two pipes."""

import base64
import fcntl
import json
import os
import select
import subprocess
import time

SECONDS = 20 * int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))


class Chromium:
    """One tab. ``requests`` has the addresses that it has asked for."""

    def __init__(self, program, profile):
        its_input, self.output = os.pipe()
        self.input, its_output = os.pipe()
        # It reads descriptor 3 and writes descriptor 4.
        passed = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (its_input, its_output)]
        script = f'exec 3<&{passed[0]} 4>&{passed[1]} {passed[0]}<&- {passed[1]}>&-; exec "$@"'
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=passed,
        )
        for each in (its_input, its_output, *passed):
            os.close(each)
        self.number, self.received, self.requests, self.loaded = 0, b"", [], False
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The result of a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def receive(self, end):
        """The next message, an event or an answer."""
        while b"\0" not in self.received:
            assert select.select([self.input], [], [], max(0, end - time.monotonic()))[0], "Chromium says nothing"
            data = os.read(self.input, 1 << 20)
            assert data, "Chromium has ended"
            self.received += data
        text, _, self.received = self.received.partition(b"\0")
        message = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        self.loaded |= message.get("method") == "Page.loadEventFired"
        return message

    def look(self, width, scheme, height=900):
        """Be a window of this width, of a reader who prefers the scheme light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.loaded = False
        self.call("Page.navigate", url=url)
        end = time.monotonic() + SECONDS
        while not self.loaded:
            self.receive(end)

    def ask(self, expression):
        """The value of an expression in JavaScript; a promise's when it has one."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression):
        """Wait until the expression is true, and return its value."""
        end = time.monotonic() + SECONDS
        while not (value := self.ask(expression)):
            assert time.monotonic() < end, expression
            time.sleep(0.05)
        return value

    def picture(self, path):
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self):
        self.session = None
        self.call("Browser.close")
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.output)
            os.close(self.input)
