#!/usr/bin/env python3
"""Bad clients against one server, beside good ones that must not notice.

  tests/clients/faults.py [--minutes 1] [--sessions 8] [--good 4] [--seed 1] [--late 0.1] SERVER...
  e.g.  tests/clients/faults.py --minutes 30 build/asan/tests/duet_fake_serve step_us=2000
        tests/clients/faults.py --minutes 30 build/release/duet serve

SERVER is started with a free port, --sessions seats and many connections allowed. The good clients speak Moshi's
protocol in real time, a frame each 80 ms, and want a frame back for each. Meanwhile, at random: clients killed in the
middle of a message, connections that fall silent without a word (half open), readers that never read, garbage (bytes,
HTTP, frames, JSON, Opus), storms of reconnections, conversations dropped and resumed, 1 % of a client's audio lost and
some late. At the end: exit code 1 unless the server lives, answers, has freed all seats, kept its size (RSS, after the
first fifth of the time), lost none of the good clients' frames, was late for at most --late % of all steps beyond what it
was in the first fifth, when the good clients are alone (twice that: the machine may have other work), and ends with
code 0 (under AddressSanitizer: without a leak).
"""
import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import struct
import tempfile
import time

import numpy as np
import sphn
import websockets

from served import Server
from talker import PIECE, RATE, Talker

TALK = (3000 * np.sin(np.arange(PIECE) * 0.05)).astype(np.int16)
counts = {}


def count(name):
    counts[name] = counts.get(name, 0) + 1


def good_client(url):
    """Two seconds of tone, three of silence, over and over."""
    return Talker(url, np.stack([TALK if at < 25 else 0 * TALK for at in range(63)]).astype(np.float32) / 32768.0)


def append(pcm):
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm.tobytes()).decode()})


async def stream(link, seconds, lossy=False):
    begin = time.monotonic()
    for at in range(int(seconds * RATE / PIECE)):
        if not lossy or random.random() > 0.01:
            await link.send(append(TALK if at % 25 < 12 else 0 * TALK))
        late = random.random() * 0.3 if lossy and random.random() < 0.05 else 0.0
        await asyncio.sleep(late + max(0.0, begin + (at + 1) * PIECE / RATE - time.monotonic()))


async def killed(url, port):
    async with websockets.connect(url + "/v1/realtime") as link:
        await stream(link, random.random())
        link.transport.abort()


async def lossy(url, port):
    async with websockets.connect(url + "/v1/realtime") as link:
        reading = asyncio.create_task(drain(link))
        await stream(link, 2 + 3 * random.random(), lossy=True)
        reading.cancel()


async def drain(link):
    with contextlib.suppress(OSError, websockets.WebSocketException):
        async for _ in link:
            pass


async def handshake(port, target, receive_buffer=None):
    """A WebSocket by hand: (reader, writer) of a socket after its upgrade."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.write((f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    return reader, writer


async def half_open(url, port):
    _, writer = await handshake(port, random.choice(["/v1/realtime", "/api/chat", "/v1/duplex"]))
    await asyncio.sleep(2 + 4 * random.random())
    writer.transport.abort()


def frame(payload, opcode=1):
    head = bytes([0x80 | opcode])
    size = len(payload)
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    return head + b"\0\0\0\0" + payload  # Masked with zeros.


async def slow_reader(url, port):
    _, writer = await handshake(port, "/v1/realtime", receive_buffer=2048)
    writer.transport.pause_reading()
    message = frame(append(TALK).encode()) * 12
    with contextlib.suppress(OSError):
        for _ in range(60):
            writer.write(message if random.random() < 0.3 else frame(b'{"type":"response.create"}'))
            await asyncio.wait_for(writer.drain(), 5)
            await asyncio.sleep(0.1)
    writer.transport.abort()


async def raw_garbage(url, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(random.choice([os.urandom(2000), b"GET / HTTP/9.9\r\n\r\n", b"A" * 20000, b"\x16\x03\x01" + os.urandom(300),
                                b"POST /v1/realtime/client_secrets HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{"]))
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1000), 1)
    writer.transport.abort()


async def frame_garbage(url, port):
    _, writer = await handshake(port, random.choice(["/v1/realtime", "/api/chat"]))
    await asyncio.sleep(0.1)
    writer.write(os.urandom(500))
    await asyncio.sleep(0.3)
    writer.transport.abort()


async def message_garbage(url, port):
    path = random.choice(["/v1/realtime", "/api/chat", "/v1/duplex", "/v1/live/sessions"])
    async with websockets.connect(url + path) as link:
        for _ in range(50):
            await link.send(random.choice([
                os.urandom(random.randrange(1, 300)), b"\x01" + os.urandom(400), b"\x01OggS" + os.urandom(100),
                '{"type":"session.update","session":' + "[" * 40, '{"type":"input_audio_buffer.append","audio":"AAA"}',
                '{"type":"conversation.item.truncate","item_id":"x","content_index":0,"audio_end_ms":1e99}', "null", "\0"]))
        await asyncio.sleep(0.2)


async def storm(url, port):
    async def one():
        with contextlib.suppress(OSError, websockets.WebSocketException, asyncio.TimeoutError):
            async with asyncio.timeout(3):
                async with websockets.connect(url + "/v1/realtime") as link:
                    await link.recv()
    await asyncio.gather(*(one() for _ in range(20)))


async def resumed(url, port):
    async with websockets.connect(url + "/v1/duplex") as link:
        created = json.loads(await link.recv())
        if created["type"] != "session.created":
            return  # Full.
        await stream(link, 0.5)
        link.transport.abort()
    await asyncio.sleep(0.2)
    session = created["session"]["id"]
    async with websockets.connect(f"{url}/v1/duplex?autostart=0&resume={session}") as link:
        await link.send(json.dumps({"type": "session.resume", "session_id": session,
                                    "resume_token": created["resume_token"], "last_received_server_event_seq": 1}))
        answer = json.loads(await link.recv())
        if answer["type"] != "session.resumed":
            raise SystemExit(f"not resumed: {answer}")
        count("resumed for certain")
        await link.send('{"type":"session.close"}')


FAULTS = [killed, lossy, half_open, slow_reader, raw_garbage, frame_garbage, message_garbage, storm, resumed]


async def trouble(url, port, end):
    while time.monotonic() < end:
        fault = random.choice(FAULTS)
        count(fault.__name__)
        with contextlib.suppress(OSError, websockets.WebSocketException, asyncio.TimeoutError):
            await fault(url, port)
        await asyncio.sleep(0.2 * random.random())


async def play(server, arguments):
    url = f"ws://127.0.0.1:{server.port}"
    begin = time.monotonic()
    end = begin + 60 * arguments.minutes
    good = [good_client(url + "/api/chat?max_steps=4500") for _ in range(arguments.good)]
    tasks = [asyncio.create_task(one.run(end)) for one in good]
    await asyncio.sleep(12 * arguments.minutes)
    alone = await asyncio.to_thread(server.metrics)
    tasks += [asyncio.create_task(trouble(url, server.port, end - 8)) for _ in range(4)]
    sizes = []
    while time.monotonic() < end:
        await asyncio.sleep(min(5, 6 * arguments.minutes))
        if server.process.poll() is not None:
            raise SystemExit(f"the server died with code {server.process.returncode}")
        if time.monotonic() - begin > 12 * arguments.minutes:
            sizes.append(server.rss_mib())
    await asyncio.gather(*tasks)
    return good, sizes, alone


def late(metrics, since=None):
    """Share of the steps that ended more than a step after they were due."""
    def counted(name):
        return metrics[name] - (since[name] if since else 0)
    return counted("duet_deadline_misses_total") / max(1, counted("duet_steps_total"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--good", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--late", type=float, default=0.1)
    parser.add_argument("server", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    settings = ["port=0", f"max_sessions={arguments.sessions}", "max_connections=2000",
                "max_connections_per_address=2000", "resume_grace_s=2", "drain_s=1"]
    if arguments.server[1:2] == ["serve"]:
        settings = [part for setting in settings for part in ("--set", setting)]
    log = os.path.join(tempfile.mkdtemp(), "server.log")
    server = Server(arguments.server + settings, log)
    try:
        good, sizes, alone = asyncio.run(play(server, arguments))
        for _ in range(20):   # A close that the client does not answer takes 10 s.
            time.sleep(1)
            metrics = server.metrics()
            if metrics["duet_sessions"] == 0 and metrics["duet_connections"] <= 1:
                break
    finally:
        code = server.stop()
    sent, got = sum(one.sent for one in good), sum(one.got for one in good)
    gaps = np.array(sum((one.gaps for one in good), [])) * 1000
    before = late(alone)
    missed = late(metrics, alone)
    growth = max(sizes[-3:]) - min(sizes[:3])
    if refused := sum(one.refused for one in good):
        counts["good client refused for a moment"] = refused
    print(f"faults: {counts}")
    print(f"good clients: {len(good)}, frames sent {sent}, got {got}, gap p50 {np.percentile(gaps, 50):.0f} "
          f"p99 {np.percentile(gaps, 99):.0f} max {gaps.max():.0f} ms, failures {[one.failure for one in good if one.failure]}")
    print(f"server: {metrics['duet_steps_total']:.0f} steps, late {100 * missed:.3f} % (alone {100 * before:.3f} %), refused {metrics['duet_sessions_refused_total']:.0f}, "
          f"resumed {metrics['duet_sessions_resumed_total']:.0f}, RSS {' '.join(f'{sizes[i * (len(sizes) - 1) // 6]:.0f}' for i in range(7))} MiB, exit code {code}")
    assert not any(one.failure for one in good)
    assert all(one.is_whole for one in good), "frames of good clients were lost"
    assert missed < arguments.late / 100 + 2 * before, "steps were late"
    assert metrics["duet_sessions"] == 0 and metrics["duet_connections"] <= 1, metrics
    assert growth < 8 + 0.05 * sizes[0], "memory grows"
    assert code == 0, f"exit code {code}, see {log}"
    print("ok")


if __name__ == "__main__":
    main()
