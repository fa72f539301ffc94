#!/usr/bin/env python3
"""tools/deploy/haproxy.cfg in front of two servers: spread, admission, resume affinity, a drained and a dead server.

Run by hand:  apt-get install haproxy;  pip install websockets
              python3 tests/clients/haproxy_test.py build/release/tests/duet_fake_serve
"""
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import websockets

from served import ROOT, Server, free_port, wait_until

SETTINGS = ["port=0", "max_sessions=2", "refuse_before_upgrade=true", "resume_grace_s=20", "drain_s=20"]


def sessions(server):
    return int(server.metrics()["duet_sessions"])


async def open_session(url):
    link = await websockets.connect(url)
    created = json.loads(await link.recv())
    assert created["type"] == "session.created", created
    return link, created


async def resume(url, created):
    session = created["session"]["id"]
    link = await websockets.connect(f"{url}?autostart=0&resume={session}")
    await link.send(json.dumps({"type": "session.resume", "session_id": session, "resume_token": created["resume_token"],
                                "last_received_server_event_seq": 2}))
    answer = json.loads(await link.recv())
    assert answer["type"] == "session.resumed", answer
    return link


async def check(base, a, b):
    url = base + "/v1/duplex"
    links = [await open_session(url) for _ in range(4)]
    assert sessions(a) == sessions(b) == 2, (sessions(a), sessions(b))
    print("spread: four conversations, two on each server")

    try:
        await websockets.connect(url)
        raise SystemExit("a fifth conversation was admitted")
    except websockets.InvalidStatus as error:
        assert error.response.status_code == 503, error
    print("admission: a fifth is refused, with 503, before the upgrade")

    # One leaves a full server: the next finds its way there, whichever server the balancer asks first.
    await links[0][0].send('{"type":"session.close"}')
    await links[0][0].wait_closed()
    links[0] = await open_session(url)
    assert sessions(a) == sessions(b) == 2
    print("admission: the one free seat is found")

    # All seats stay taken by conversations whose clients were cut off; each comes back to its own server.
    for link, _ in links:
        link.transport.abort()
    await asyncio.sleep(0.2)  # Lets the loop cut them.
    wait_until(lambda: a.metrics()["duet_sessions_parked"] + b.metrics()["duet_sessions_parked"] == 4, what="parking")
    back = [await resume(url, created) for _, created in links]
    assert a.metrics()["duet_sessions_resumed_total"] == b.metrics()["duet_sessions_resumed_total"] == 2
    print("resume: four clients came back, each to the server that has its conversation")

    for link in back:
        await link.send('{"type":"session.close"}')
        await link.wait_closed()
    keep, created = await open_session(url)
    stays = a if sessions(a) else b
    other = b if stays is a else a
    stays.process.send_signal(signal.SIGTERM)  # Drains: it refuses, its conversation goes on.
    wait_until(lambda: json.loads(stays.get("/readyz")[1])["draining"], what="draining")
    more = [await open_session(url) for _ in range(2)]
    assert sessions(other) == 2 and sessions(stays) == 1
    keep.transport.abort()
    await asyncio.sleep(0.2)
    keep = await resume(url, created)
    print("drain: new conversations go to the other server, resuming still works")
    await keep.send('{"type":"session.close"}')
    await keep.wait_closed()
    stays.process.wait(30)
    for link, _ in more:
        await link.send('{"type":"session.close"}')
        await link.wait_closed()
    link, _ = await open_session(url)
    await link.close()
    print("one server gone: the other serves")


def main(binary):
    if shutil.which("haproxy") is None:
        raise SystemExit("haproxy is missing: apt-get install haproxy")
    folder = tempfile.mkdtemp()
    a, b = (Server([binary, *SETTINGS, f"instance_name={name}"], f"{folder}/{name}.log") for name in "ab")
    port = free_port()
    environment = dict(os.environ, DUET_BIND=f"127.0.0.1:{port}", DUET_A=f"127.0.0.1:{a.port}", DUET_B=f"127.0.0.1:{b.port}")
    config = str(ROOT / "tools/deploy/haproxy.cfg")
    subprocess.run(["haproxy", "-c", "-q", "-f", config], env=environment, check=True)
    with open(f"{folder}/haproxy.log", "w") as log:
        proxy = subprocess.Popen(["haproxy", "-db", "-f", config], env=environment, stdout=log, stderr=log)
        try:
            asyncio.run(asyncio.wait_for(_when_up(f"ws://127.0.0.1:{port}", a, b), 120))
        finally:
            proxy.terminate()
            proxy.wait(10)
            a.stop()
            b.stop()
    print("ok")


async def _when_up(base, a, b):
    for _ in range(100):
        try:
            (await websockets.connect(base + "/v1/duplex?autostart=0")).transport.abort()
            break
        except (OSError, websockets.WebSocketException):
            await asyncio.sleep(0.1)
    await check(base, a, b)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
