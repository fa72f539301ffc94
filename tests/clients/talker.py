"""A steady client of Moshi's protocol, for load.py and faults.py: speech over and over, a frame each 80 ms."""
import asyncio
import time

import sphn
import websockets

RATE, PIECE = 24000, 1920


class Talker:
    """speech: frames [N, PIECE] of float32 at RATE, said over and over from `delay` seconds on."""

    def __init__(self, url, speech, delay=0.0):
        self.url, self.speech, self.delay = url, speech, delay
        self.sent, self.got, self.refused, self.failure, self.last_sent = 0, 0, 0, None, 0.0
        self.conversations = 0
        self.gaps, self.ways = [], []   # between two answers; (when, since the newest message sent), seconds

    @property
    def is_whole(self):
        """Every frame was answered, but for the last of each conversation, which Opus and the server still hold at its end."""
        return self.got >= self.sent - 3 * self.conversations

    async def receive(self, link):
        last = None
        async for message in link:
            if message[0] != 1:
                continue
            now = time.monotonic()
            if last is not None:
                self.gaps.append(now - last)
            last = now
            self.ways.append((now, now - self.last_sent))
            self.got += 1

    async def run(self, end):
        """Moshi's conversations end after six minutes: a new one every five."""
        await asyncio.sleep(self.delay)
        try:
            while time.monotonic() < end:
                try:
                    await self.talk(min(end, time.monotonic() + 300))
                except websockets.ConnectionClosedError as error:
                    if error.rcvd is None or error.rcvd.code != 1013:
                        raise
                    self.refused += 1   # others were quicker, or the seat it has just left is not free yet
                    await asyncio.sleep(0.2)
        except (OSError, websockets.WebSocketException) as error:
            self.failure = repr(error)

    async def talk(self, end):
        writer = sphn.OpusStreamWriter(RATE)
        async with websockets.connect(self.url) as link:
            while (await link.recv())[0] != 0:
                pass
            receiving = asyncio.create_task(self.receive(link))
            self.conversations += 1
            begin, at = time.monotonic(), 0
            while time.monotonic() < end:
                data = writer.append_pcm(self.speech[at % len(self.speech)])
                data = data if data is not None else writer.read_bytes()
                self.last_sent = time.monotonic()
                await link.send(b"\x01" + data)
                at += 1
                self.sent += 1
                await asyncio.sleep(max(0.0, begin + at * PIECE / RATE - time.monotonic()))
            await asyncio.sleep(1.0)
            receiving.cancel()
