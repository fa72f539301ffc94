#!/usr/bin/env python3
"""So many conversations at once for so long: are steps late, what does the server add to a step, what does a session cost?

  tests/clients/load.py [--sessions 8] [--minutes 10] [--question WAV] [--json FILE] SERVER...
  e.g.  tests/clients/load.py --sessions 8 --minutes 10 build/release/duet serve
        tests/clients/load.py --sessions 4 --minutes 1 build/release/tests/duet_fake_serve step_us=20000

SERVER is started with a free port and --sessions seats. Each client speaks Moshi's protocol in real time: the question
(default: a recorded order), nine seconds of silence, over and over, starting at another moment each. The way of a frame,
from the sending of the message that completes it to the answer's arrival, holds the network, Opus, the wait for an inference
thread and the step; less the mean time of a step (the server's metrics) it is what the server adds, and how much longer
than usual the step took. The wait by itself comes from the server's metrics. (A message completes a frame when
the answer comes within 80 ms; more is counted as late steps.) After two fifths of the time one more client knocks and must be
refused at once. Exit code 1 when frames are lost, a client fails, or the one too many is not refused.
"""
import argparse
import asyncio
import json
import os
import tempfile
import time

import numpy as np
import sphn
import websockets

from served import QUESTION, Server
from talker import PIECE, RATE, Talker


async def one_too_many(url):
    """Seconds until the server says that it is full."""
    begin = time.monotonic()
    try:
        async with websockets.connect(url) as link:
            while True:
                await asyncio.wait_for(link.recv(), 5)
    except websockets.ConnectionClosed as closed:
        if closed.rcvd is None or closed.rcvd.code != 1013:
            raise SystemExit(f"one session too many: expected close code 1013, found {closed!r}") from None
    except websockets.InvalidStatus as refused:
        if refused.response.status_code != 503:
            raise SystemExit(f"one session too many: expected 503, found {refused!r}") from None
    return time.monotonic() - begin


async def play(server, arguments, speech):
    url = f"ws://127.0.0.1:{server.port}/api/chat?max_steps=4500"
    end = time.monotonic() + 60 * arguments.minutes
    talkers = [Talker(url, speech, 0.37 * i % 2.0) for i in range(arguments.sessions)]
    empty = server.rss_mib()
    before = await asyncio.to_thread(server.metrics)
    tasks = [asyncio.create_task(one.run(end)) for one in talkers]
    await asyncio.sleep(24 * arguments.minutes)
    full, knocked = server.rss_mib(), time.monotonic()
    refused_s = await one_too_many(url)
    await asyncio.gather(*tasks)
    return talkers, before, (full - empty) / arguments.sessions, refused_s, knocked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--question", default=str(QUESTION))
    parser.add_argument("--json")
    parser.add_argument("server", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.server:
        parser.error("the server's command is needed")
    pcm, rate = (sphn.read_opus if arguments.question.endswith(".ogg") else sphn.read)(arguments.question)
    pcm = np.concatenate([sphn.resample(pcm, rate, RATE)[0], np.zeros(9 * RATE)]).astype(np.float32)
    speech = pcm[:len(pcm) // PIECE * PIECE].reshape(-1, PIECE)
    settings = ["port=0", f"max_sessions={arguments.sessions}", "max_connections=100", "max_connections_per_address=100"]
    if arguments.server[1:2] == ["serve"]:
        settings = [part for setting in settings for part in ("--set", setting)]
    log = os.path.join(tempfile.mkdtemp(), "server.log")
    server = Server(arguments.server + settings, log)
    try:
        talkers, before, session_mib, refused_s, knocked = asyncio.run(play(server, arguments, speech))
        metrics = server.metrics()
    finally:
        code = server.stop()
    sent, got = sum(one.sent for one in talkers), sum(one.got for one in talkers)
    ways = np.array([way for one in talkers for _, way in one.ways]) * 1000
    after_knock = np.array([way for one in talkers for at, way in one.ways if 0 <= at - knocked < 1]) * 1000
    since = lambda name: metrics[name] - before.get(name, 0.0)
    missed = since("duet_deadline_misses_total") / max(1, since("duet_steps_total"))
    step_ms = 1000 * since("duet_step_seconds_sum") / max(1, since("duet_step_seconds_count"))
    waits = since("duet_wait_seconds_count")
    waited_10ms = 1 - since('duet_wait_seconds_bucket{le="0.01"}') / max(1, waits)
    failures = [one.failure for one in talkers if one.failure]
    result = {"sessions": arguments.sessions, "minutes": arguments.minutes, "frames_sent": sent, "frames_got": got,
              "steps": int(since("duet_steps_total")), "late_share": missed,
              "way_ms": {"p50": float(np.percentile(ways, 50)), "p99": float(np.percentile(ways, 99)), "max": float(ways.max())},
              "step_ms": step_ms, "waited_over_10ms_share": waited_10ms, "session_mib": session_mib, "refused_after_s": refused_s,
              "way_after_refusal_ms": float(after_knock.max())}
    print(f"{arguments.sessions} sessions for {arguments.minutes:g} min: frames sent {sent}, got {got}; {result['steps']} steps, late {100 * missed:.3f} %; "
          f"failures {failures}")
    print(f"a frame's way: p50 {result['way_ms']['p50']:.1f}, p99 {result['way_ms']['p99']:.1f}, longest {result['way_ms']['max']:.1f} ms; the step takes "
          f"{step_ms:.1f} ms in the mean; added p50 {result['way_ms']['p50'] - step_ms:.1f}, p99 {result['way_ms']['p99'] - step_ms:.1f} ms (the step's own spread included); {100 * waited_10ms:.2f} % of steps waited more than 10 ms for a thread")
    print(f"one too many was refused after {1000 * refused_s:.0f} ms; the others' longest way in the second after it {after_knock.max():.1f} ms; "
          f"memory of a session {session_mib:.1f} MiB; exit code {code}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1)
    assert not failures and all(one.is_whole for one in talkers), "frames were lost"
    assert code == 0, f"exit code {code}, see {log}"
    print("ok")


if __name__ == "__main__":
    main()
