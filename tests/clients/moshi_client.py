#!/usr/bin/env python3
"""Moshi's frames on another Opus binding (PyPI sphn, which Moshi's own client uses) against `duet serve`.

Run by hand:  pip install sphn numpy websockets
              duet serve --port 8998 &  python3 tests/clients/moshi_client.py ws://127.0.0.1:8998/api/chat QUESTION.wav
Sends the question in real time, 20 s of silence after it, and expects a frame for a frame and words.
"""
import asyncio
import sys
import time

import numpy as np
import sphn
import websockets

RATE = 24000
PIECE = 1920


async def main(url, path, silence_s=20):
    question, rate = sphn.read(path)
    question = sphn.resample(question, rate, RATE)[0].astype(np.float32)
    question = np.concatenate([question, np.zeros(silence_s * RATE, np.float32)])
    question = question[:len(question) // PIECE * PIECE]
    writer, reader = sphn.OpusStreamWriter(RATE), sphn.OpusStreamReader(RATE)
    words, heard, kinds, times = [], [], set(), []
    async with websockets.connect(url + "?text_temperature=0.7&audio_temperature=0.8") as socket:
        while (await socket.recv())[0] != 0:
            pass

        async def receive():
            async for message in socket:
                kinds.add(message[0])
                if message[0] == 2:
                    words.append(message[1:].decode())
                if message[0] == 1:
                    times.append(time.monotonic())
                    pcm = reader.append_bytes(message[1:])
                    heard.append(pcm if pcm is not None else reader.read_pcm())

        receiving = asyncio.create_task(receive())
        begin = time.monotonic()
        for at in range(0, len(question), PIECE):
            data = writer.append_pcm(question[at:at + PIECE])
            await socket.send(b"\x01" + (data if data is not None else writer.read_bytes()))
            await asyncio.sleep(max(0.0, begin + (at + PIECE) / RATE - time.monotonic()))
        await asyncio.sleep(1.0)
        await socket.close()
        receiving.cancel()
    pcm = np.concatenate([piece for piece in heard if piece is not None and len(piece)])
    gaps = np.diff(times) * 1000
    print(f"sent {len(question) / RATE:.2f} s, heard {len(pcm) / RATE:.2f} s in {len(times)} frames, "
          f"gap p50 {np.percentile(gaps, 50):.0f} p99 {np.percentile(gaps, 99):.0f} ms, kinds {sorted(kinds)}")
    print("said:", repr("".join(words)), "peak", float(np.abs(pcm).max()))
    assert kinds <= {0, 1, 2, 4, 5} and words and np.abs(pcm).max() > 0.05
    assert len(pcm) > 0.95 * len(question)
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
