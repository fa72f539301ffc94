#!/usr/bin/env python3
"""Starts a server and lets the clients of this folder talk with it: sphn, OpenAI's SDK, the page where Chromium is; with a
folder of node/package.json's packages OpenAI's npm clients too, over TLS.

Run by hand:  pip install -r tests/clients/requirements.txt
              python3 tests/clients/speak_test.py build/release/tests/duet_fake_serve [NODE_FOLDER]
"""
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import wave

import numpy as np
import sphn

import moshi_client
import openai_client
import page_client
from served import QUESTION, running


def as_wav(path, seconds_of_silence):
    """The question as the microphone file that Chromium plays over and over."""
    pcm, rate = sphn.read_opus(str(QUESTION))
    pcm = sphn.resample(pcm, rate, 48000)[0]
    pcm = np.concatenate([pcm, np.zeros(int(48000 * seconds_of_silence), np.float32)])
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def node(binary, folder, packages):
    """The npm clients: `openai` insists on wss, so the server makes a certificate and they are told to trust it."""
    wav = as_wav(f"{folder}/question.wav", 0)
    with running([binary, "port=0", "max_sessions=4", f"self_signed={folder}/tls"], f"{folder}/node.log") as server:
        subprocess.run(["node", f"{packages}/node_client.mjs", f"https://127.0.0.1:{server.port}/v1", wav], check=True,
                       timeout=120, env={**os.environ, "NODE_EXTRA_CA_CERTS": f"{folder}/tls/duet-cert.pem"})


def main(binary, packages=None):
    folder = tempfile.mkdtemp()
    with running([binary, "port=0", "max_sessions=4"], f"{folder}/server.log") as server:
        wav = as_wav(f"{folder}/question.wav", 5)
        print("--- Moshi's frames over sphn")
        asyncio.run(moshi_client.main(f"ws://127.0.0.1:{server.port}/api/chat", wav, silence_s=4))
        print("--- OpenAI's SDK")
        asyncio.run(openai_client.main(f"ws://127.0.0.1:{server.port}/v1", wav, "none"))
        if shutil.which("chromium"):
            print("--- the page in Chromium")
            asyncio.run(page_client.main(f"http://127.0.0.1:{server.port}/", wav, folder, 10))
        else:
            print("no chromium: the page is not tested")
        metrics = server.metrics()
        assert metrics["duet_sessions_failed_total"] == 0 and metrics["duet_bad_messages_total"] == 0, metrics
    if packages:
        print("--- OpenAI's npm clients")
        node(binary, folder, packages)
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
