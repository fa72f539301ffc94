#!/usr/bin/env python3
"""Makes the demo recordings of tests/data/demo: short conversations with room for the answers, spoken by voices that no model
of this project is trained on.

  make_demo.py [--cache DIR] [--out DIR]

Needs what make_speech.py needs (requirements.txt) and soundfile with Ogg-Opus.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

import make_speech

RATE_HZ = 24000
# name, voice, [words or seconds of silence], what a right answer holds
DEMOS = [
    ("sum", "am_puck", [0.4, "What is seven plus five?", 0.3], "twelve"),
    ("capital", "bf_lily", [0.4, "What's the capital of France?", 0.3], "Paris"),
    ("order-correction", "af_nova", [0.4, "Can I have a large latte with soy milk, please?", 5.0, "Actually, make it a small.", 0.3],
     "a large latte with soy milk; then a small latte with soy milk"),
    ("order-pause", "am_eric", [0.4, "I'd like a medium cappuccino", 0.9, "with brown sugar, please.", 0.3],
     "a medium cappuccino with brown sugar, and no word in the pause"),
    ("barge-in", "bm_lewis", [0.4, "Tell me about whales.", 2.6, "Stop.", 2.2, "What is nine minus four?", 0.3],
     "a fact that stops at the word; then five"),
]
# The recordings one after the other, with room for the answers [s]: what `duet` plays without a sound card.
CONVERSATION = ["sum", 3.0, "capital", 3.0, "order-correction", 4.0, "barge-in"]


def write(out, name, x):
    soundfile.write(out / f"{name}.ogg", x, RATE_HZ, format="OGG", subtype="OPUS")


def make_conversation(out, lines):
    """conversation.ogg from the others, as decoded."""
    pieces, turns, at = [], [], 0
    for part in CONVERSATION:
        if isinstance(part, str):
            x, rate = soundfile.read(out / f"{part}.ogg", dtype="float32")
            assert rate == RATE_HZ
            for turn in next(line for line in lines if line["file"] == f"{part}.ogg")["turns"]:
                turns.append(turn | {k: round(turn[k] + at / RATE_HZ, 3) for k in ("start_s", "end_s")})
        else:
            x = np.zeros(int(part * RATE_HZ), np.float32)
        pieces.append(x)
        at += len(x)
    write(out, "conversation", np.concatenate(pieces))
    return {"file": "conversation.ogg", "voice": "those of its parts", "turns": turns, "answer": "those of its parts"}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cache", type=Path, default=Path.home() / ".cache/duet/kokoro")
    p.add_argument("--out", type=Path, default=make_speech.REPOSITORY / "tests/data/demo")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kokoro = make_speech.Kokoro(args.cache)
    lines = []
    for name, voice, parts, answer in DEMOS:
        pieces, turns, at = [], [], 0
        for part in parts:
            if isinstance(part, str):
                x = kokoro.speak(part, voice, 1.0)
                begin, end = make_speech.trim_points(x, RATE_HZ)
                x = x[begin:end] * (0.5 / np.abs(x).max())
                turns.append({"start_s": round(at / RATE_HZ, 3), "end_s": round((at + len(x)) / RATE_HZ, 3), "text": part})
            else:
                x = np.zeros(int(part * RATE_HZ), np.float32)
            pieces.append(x)
            at += len(x)
        write(args.out, name, np.concatenate(pieces))
        lines.append({"file": f"{name}.ogg", "voice": voice, "turns": turns, "answer": answer})
    lines.append(make_conversation(args.out, lines))
    (args.out / "demo.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
