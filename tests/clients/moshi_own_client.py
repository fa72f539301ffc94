#!/usr/bin/env python3
"""Moshi's own command-line client (PyPI moshi), unchanged, against `duet serve`, with PulseAudio's null sinks as its sound card.

Run by hand:  apt-get install pulseaudio pulseaudio-utils libasound2-plugins;  pip install moshi numpy
              duet serve --port 8998 &
              python3 tests/clients/moshi_own_client.py ws://127.0.0.1:8998 QUESTION.wav
Plays the question (mono 16-bit WAV) into the client's microphone, hears what it plays, and plays the question again over the
answer. Exit code 1 and a line when something is missing. Not in `.ci/run`: the package brings PyTorch.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

RATE = 24000
FRAME = RATE // 50
LOUD = 0.01


class SoundCard:
    """A daemon of its own: what is played into `microphone` the client hears, `loudspeaker` is what it plays."""

    def __init__(self, folder):
        pathlib.Path(folder, ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        self.env = {**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder, "PULSE_RUNTIME_PATH": folder,
                    "PULSE_STATE_PATH": folder, "PULSE_SERVER": f"unix:{folder}/native"}
        modules = ["module-null-sink sink_name=microphone rate=24000", "module-null-sink sink_name=loudspeaker rate=24000",
                   "module-native-protocol-unix auth-anonymous=1"]
        self.daemon = subprocess.Popen(["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes",
                                        "--use-pid-file=no", "--log-level=0", *(x for m in modules for x in ("-L", m))], env=self.env)
        for _ in range(100):
            if os.path.exists(f"{folder}/native") and self.run("pactl", "info").returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit("no PulseAudio daemon could be started")
        self.run("pactl", "set-default-source", "microphone.monitor")
        self.run("pactl", "set-default-sink", "loudspeaker")

    def run(self, *command):
        return subprocess.run(command, env=self.env, capture_output=True, text=True)

    def play(self, wav):
        return subprocess.Popen(["paplay", "--device=microphone", wav], env=self.env)


class Loudspeaker:
    """Levels of what the client plays, 20 ms each, with their times."""

    def __init__(self, card):
        self.process = subprocess.Popen(["parec", "--device=loudspeaker.monitor", f"--rate={RATE}", "--channels=1", "--format=s16le",
                                         "--latency-msec=20", "--raw"], env=card.env, stdout=subprocess.PIPE)
        self.levels = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while len(data := self.process.stdout.read(2 * FRAME)) == 2 * FRAME:
            level = float(np.sqrt(np.mean((np.frombuffer(data, np.int16) / 32768.0) ** 2)))
            self.levels.append((time.monotonic(), level))

    def loud_since(self, begin):
        return [t for t, level in list(self.levels) if t > begin and level > LOUD]

    def wait(self, begin, seconds, what, condition):
        end = time.monotonic() + seconds
        while not condition(self.loud_since(begin)):
            if time.monotonic() > end:
                raise SystemExit(f"{what}: not within {seconds} s")
            time.sleep(0.02)
        return self.loud_since(begin)


def main(url, wav):
    with tempfile.TemporaryDirectory() as folder:
        card = SoundCard(folder)
        client = subprocess.Popen([sys.executable, "-u", "-m", "moshi.client", "--url", url], env=card.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        text = []
        threading.Thread(target=lambda: text.extend(iter(lambda: client.stdout.read(1), "")), daemon=True).start()
        speaker = Loudspeaker(card)
        try:
            for _ in range(600):    # the package takes its time to load
                if "connected" in "".join(text) or client.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                raise SystemExit(f"the client is not connected within 60 s: {''.join(text)}")
            time.sleep(1.5)
            begin = time.monotonic()
            card.play(wav).wait()
            asked = time.monotonic()
            loud = speaker.wait(begin, 15, "an answer", lambda loud: len(loud) > 20)
            speaker.wait(begin, 30, "the end of the answer", lambda loud: time.monotonic() - loud[-1] > 1.5)
            loud = speaker.loud_since(begin)
            print(f"answer: sound from {loud[0] - asked:+.2f} s to {loud[-1] - asked:+.2f} s after the question")
            card.play(wav).wait()
            again = time.monotonic()
            speaker.wait(again - 0.3, 15, "a second answer", lambda loud: len(loud) > 10)
            over = time.monotonic()
            card.play(wav).wait()
            last = speaker.loud_since(over)
            stopped = next((a for a, b in zip(last, last[1:] + [over + 60]) if b - a > 0.4), over)
            print(f"spoken over: silent {stopped - over:.2f} s after the second player was started (its own delay included)")
            speaker.wait(time.monotonic() - 0.2, 15, "an answer to the interruption", lambda loud: len(loud) > 20)
            if client.poll() is not None:
                raise SystemExit(f"the client ended: {''.join(text)}")
            print("the client's terminal:", repr("".join(text)[-300:]))
        finally:
            client.terminate()
            speaker.process.terminate()
            card.daemon.terminate()
            for process in (client, speaker.process, card.daemon):
                process.wait(20)
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
