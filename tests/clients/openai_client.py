#!/usr/bin/env python3
"""OpenAI's own SDK against `duet serve`: a spoken question, the answer, one barge-in.

Run by hand:  pip install 'openai[realtime]' numpy
              duet serve --port 8998 &  python3 tests/clients/openai_client.py ws://127.0.0.1:8998/v1 QUESTION.wav
Sends the question (mono 16-bit WAV) in real time, waits for the response, asks again and cancels the second
response in the middle. Exit code 1 and a line when something is missing.
"""
import asyncio
import base64
import sys
import time
import wave

import numpy as np
from openai import AsyncOpenAI

RATE = 24000
PIECE = RATE // 25


def load(path):
    with wave.open(path) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        data = data.reshape(-1, file.getnchannels())[:, 0].astype(np.float32)
        at = np.arange(int(len(data) * RATE / file.getframerate())) * file.getframerate() / RATE
    return np.interp(at, np.arange(len(data)), data).astype("<i2")


async def talk(connection, question, stop):
    """The question, then silence in real time, as a microphone gives it."""
    begin, sent = time.monotonic(), 0
    while not stop.is_set():
        piece = question[sent:sent + PIECE]
        piece = np.pad(piece, (0, PIECE - len(piece)))
        await connection.input_audio_buffer.append(audio=base64.b64encode(piece.tobytes()).decode())
        sent += PIECE
        await asyncio.sleep(max(0.0, begin + sent / RATE - time.monotonic()))


async def ask(connection, question, cancel_after_deltas=None):
    stop, result = asyncio.Event(), {"types": [], "audio": 0, "said": "", "heard": ""}
    talking = asyncio.create_task(talk(connection, question, stop))
    end = time.monotonic() + len(question) / RATE
    try:
        async with asyncio.timeout(60):
            async for event in connection:
                if not result["types"] or result["types"][-1] != event.type:
                    result["types"].append(event.type)
                if event.type == "error":
                    raise SystemExit(f"error: {event.error}")
                if event.type == "response.output_audio.delta":
                    if not result["audio"]:
                        result["reply_s"] = time.monotonic() - end
                    result["audio"] += len(base64.b64decode(event.delta)) // 2
                    if cancel_after_deltas and result["audio"] > cancel_after_deltas * 1920:
                        await connection.response.cancel()
                        cancel_after_deltas = None
                if event.type == "conversation.item.input_audio_transcription.completed":
                    result["heard"] += event.transcript
                if event.type == "response.output_audio_transcript.done":
                    result["said"] = event.transcript
                if event.type == "response.done":
                    result["status"] = event.response.status
                    return result
    except TimeoutError:
        raise SystemExit(f"no response within 60 s; events: {result['types']}")
    finally:
        stop.set()
        await talking


async def main(base_url, path, key):
    question = load(path)
    client = AsyncOpenAI(api_key=key, websocket_base_url=base_url)
    async with client.realtime.connect(model="duet") as connection:
        created = await connection.recv()
        assert created.type == "session.created", created
        await connection.session.update(session={
            "type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}})
        whole = await ask(connection, question)
        print("answer:", whole["status"], f"{whole['audio'] / RATE:.2f} s", repr(whole["said"]),
              "heard", repr(whole["heard"]), f"reply after {whole['reply_s'] * 1000:.0f} ms")
        print("events:", " ".join(whole["types"]))
        assert whole["status"] == "completed" and whole["said"] and whole["audio"] > RATE // 2
        cut = await ask(connection, question, cancel_after_deltas=3)
        print("cancelled:", cut["status"], f"{cut['audio'] / RATE:.2f} s", repr(cut["said"]))
        assert cut["status"] == "cancelled", cut
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "none"))
