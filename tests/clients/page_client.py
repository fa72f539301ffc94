#!/usr/bin/env python3
"""The web page in headless Chromium with a fake microphone file against `duet serve`; leaves screenshots.

Run by hand:  pip install websockets     (and Debian's chromium)
              duet serve & python3 tests/clients/page_client.py http://127.0.0.1:8998/ QUESTION.wav OUT [SECONDS]
Presses Talk by the keyboard, waits, records, stops. Exit code 1 when no words of the agent came.
"""
import asyncio
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import websockets

PORT = 9333


class Page:
    def __init__(self, socket):
        self.socket, self.number = socket, 0

    async def call(self, method, **params):
        self.number += 1
        await self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(await self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                print("exception:", answer["params"]["exceptionDetails"])
            if answer.get("id") == self.number:
                return answer.get("result", answer)

    async def eval(self, script):
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return result["result"].get("value", result)

    async def screenshot(self, path, width, height, mobile):
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=1, mobile=mobile)
        data = await self.call("Page.captureScreenshot", format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(data["data"]))


async def main(url, wav, out, seconds):
    with tempfile.TemporaryDirectory() as profile:
        browser = subprocess.Popen([
            "chromium", "--headless=new", "--no-sandbox", f"--remote-debugging-port={PORT}",
            f"--user-data-dir={profile}", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={pathlib.Path(wav).resolve()}",
            "--autoplay-policy=no-user-gesture-required", url], stderr=subprocess.DEVNULL)
        try:
            for _ in range(150):
                await asyncio.sleep(0.2)
                try:
                    tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/json"))
                    tab = next(tab for tab in tabs if tab["type"] == "page" and tab["url"].startswith(url))
                    break
                except (OSError, StopIteration):
                    continue
            async with websockets.connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                await page.call("Runtime.enable")
                await page.call("Page.bringToFront")
                await page.eval("new Promise(r => document.readyState === 'complete' ? r() : addEventListener('load', r))")
                await page.eval("document.getElementById('talk').focus()")
                for kind in ("keyDown", "keyUp"):  # The Enter key: reachable by the keyboard.
                    await page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r" if kind == "keyDown" else "",
                                    windowsVirtualKeyCode=13)
                await asyncio.sleep(3)
                print("after Enter:", await page.eval("document.getElementById('status').textContent"))
                await page.eval("document.getElementById('record').click()")
                await asyncio.sleep(seconds)
                await page.screenshot(f"{out}/page.png", 900, 700, False)
                await page.screenshot(f"{out}/page-phone.png", 390, 780, True)
                await page.eval("document.getElementById('record').click()")
                facts = await page.eval("""JSON.stringify({
                    status: document.getElementById('status').textContent,
                    latency: document.getElementById('latency').textContent,
                    turns: [...document.querySelectorAll('.turn')].map((t) => t.className + ': ' + t.textContent),
                    download: !document.getElementById('download').hidden,
                    overflow: document.documentElement.scrollWidth > innerWidth})""")
                print(json.dumps(json.loads(facts), indent=1))
                facts = json.loads(facts)
                assert any(turn.startswith("turn agent") for turn in facts["turns"]), "no words of the agent"
                assert facts["download"] and not facts["overflow"]
        finally:
            browser.terminate()
            browser.wait(10)
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]) if len(sys.argv) > 4 else 15))
