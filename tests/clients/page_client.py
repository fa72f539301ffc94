#!/usr/bin/env python3
"""The web page in headless Chromium with a fake microphone file against `duet serve`; leaves screenshots.

Run by hand:  pip install websockets     (and Debian's chromium)
              duet serve & python3 tests/clients/page_client.py http://127.0.0.1:8998/ QUESTION.wav OUT [SECONDS]
Presses Talk by the keyboard, waits, records; then its connection is cut, and the conversation must go on on the next one;
stops. Exit code 1 when no words of the agent came, before the cut or after it.
"""
import asyncio
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import websockets

PORT = 9333


class Wire:
    """Stands between the browser and the server; cut() breaks off all connections."""

    def __init__(self, host, port):
        self.host, self.port, self.writers, self.tasks = host, port, [], set()

    async def open(self):
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def carry(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        self.writers += [writer, far_writer]
        for pump in (self.pump(reader, far_writer), self.pump(far_reader, writer)):
            task = asyncio.create_task(pump)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    @staticmethod
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers = []


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

    async def text(self, element):
        return await self.eval(f"document.getElementById('{element}').textContent")

    async def agent_turns(self):
        return await self.eval("document.querySelectorAll('.turn.agent').length")

    async def screenshot(self, path, width, height, mobile):
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=1, mobile=mobile)
        data = await self.call("Page.captureScreenshot", format="png")
        pathlib.Path(path).write_bytes(base64.b64decode(data["data"]))


async def resumes(page, wire, out, seconds):
    """The connection goes, and comes again: the same session goes on."""
    session, turns = await page.text("session"), await page.agent_turns()
    wire.cut()
    await asyncio.sleep(0.1)
    await page.screenshot(f"{out}/page-lost.png", 900, 700, False)
    print("after the cut:", await page.text("status"))
    await asyncio.sleep(seconds)
    status, after = await page.text("status"), await page.agent_turns()
    print(f"later: {status}; turns of the agent {turns}, then {after}")
    assert status == "Listening" and await page.text("session") == session, "not resumed"
    assert after > turns, "no words of the agent after the cut"


async def main(url, wav, out, seconds):
    place = urllib.parse.urlsplit(url)
    wire = Wire(place.hostname, place.port)
    url = f"http://127.0.0.1:{await wire.open()}/"
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
                for _ in range(150):
                    if await page.eval("document.readyState === 'complete' && document.getElementById('talk') !== null"):
                        break
                    await asyncio.sleep(0.2)
                await page.eval("document.getElementById('talk').focus()")
                for kind in ("keyDown", "keyUp"):  # The Enter key: reachable by the keyboard.
                    await page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r" if kind == "keyDown" else "",
                                    windowsVirtualKeyCode=13)
                await asyncio.sleep(3)
                print("after Enter:", await page.text("status"))
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
                await resumes(page, wire, out, seconds)
                await page.eval("document.getElementById('talk').click()")
                print("after Stop:", await page.text("status"))
        finally:
            browser.terminate()
            browser.wait(10)
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]) if len(sys.argv) > 4 else 15))
