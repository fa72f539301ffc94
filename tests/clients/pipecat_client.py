#!/usr/bin/env python3
"""Pipecat's Realtime service against `duet serve`: a spoken question, the answer, one interruption by speaking.

Run by hand:  pip install 'pipecat-ai[openai]==1.14.0' numpy
              duet serve --port 8998 &
              python3 tests/clients/pipecat_client.py ws://127.0.0.1:8998/v1/realtime QUESTION.wav
Sends the question (mono 16-bit WAV) in real time through OpenAIRealtimeLLMService, waits for the answer, asks again and
speaks over the second answer. Exit code 1 and a line when something is missing. Not in `.ci/run`: it brings 200 MB.
"""
import asyncio
import sys
import time

import numpy as np
from pipecat.frames.frames import (EndFrame, ErrorFrame, InputAudioRawFrame, ProposedUserStartedSpeakingFrame, TTSAudioRawFrame,
                                   TTSStartedFrame, TTSTextFrame)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from openai_client import PIECE, RATE, load


class Ears(FrameProcessor):
    """Behind the service: what a loudspeaker would get."""

    def __init__(self):
        super().__init__()
        self.samples, self.words, self.answers, self.user_starts, self.errors, self.last_audio = 0, [], 0, 0, [], 0.0

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.samples += len(frame.audio) // 2
            self.last_audio = time.monotonic()
        elif isinstance(frame, TTSStartedFrame):
            self.answers += 1
        elif isinstance(frame, TTSTextFrame):
            self.words.append(frame.text)
        elif isinstance(frame, ProposedUserStartedSpeakingFrame):
            self.user_starts += 1
        elif isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        await self.push_frame(frame, direction)


async def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.02)


async def main(url, path):
    question = load(path)
    ears = Ears()
    service = OpenAIRealtimeLLMService(
        api_key="none", base_url=url,
        settings=OpenAIRealtimeLLMService.Settings(model="duet", session_properties=events.SessionProperties()))
    errors = []

    @service.event_handler("on_error")
    async def on_error(_service, error):
        errors.append(str(getattr(error, "error", error)))

    task = PipelineWorker(Pipeline([service, ears]),
                          params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE))
    speaking, stop = [], asyncio.Event()

    async def microphone():
        begin, sent = time.monotonic(), 0
        while not stop.is_set():
            piece, speaking[:] = np.array(speaking[:PIECE], "<i2"), speaking[PIECE:]
            piece = np.pad(piece, (0, PIECE - len(piece)))
            await task.queue_frame(InputAudioRawFrame(audio=piece.tobytes(), sample_rate=RATE, num_channels=1))
            sent += PIECE
            await asyncio.sleep(max(0.0, begin + sent / RATE - time.monotonic()))

    async def conversation():
        await asyncio.sleep(1.0)
        speaking.extend(question)
        await wait_for(lambda: ears.samples > RATE // 2 or errors, 30, "an answer")
        await wait_for(lambda: time.monotonic() - ears.last_audio > 1.0 or errors, 30, "the end of the answer")
        whole = ears.samples
        print(f"answer: {whole / RATE:.2f} s, said {''.join(ears.words)!r}")
        starts = ears.user_starts
        speaking.extend(question)
        await wait_for(lambda: ears.samples > whole + 4 * 1920 or errors, 30, "a second answer")
        speaking.extend(question)    # over the answer
        await wait_for(lambda: ears.user_starts >= starts + 2 or errors, 10, "the server's notice of the interruption")
        noticed = ears.samples - whole
        print(f"interrupted after {noticed / RATE:.2f} s of the second answer; user's turns {ears.user_starts}, answers {ears.answers}")
        await wait_for(lambda: ears.samples > whole + noticed + RATE // 2 or errors, 30, "an answer to the interruption")
        stop.set()
        await task.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(task)
    talks = asyncio.create_task(conversation())
    sends = asyncio.create_task(microphone())
    runs = asyncio.create_task(runner.run())
    try:
        await talks
        await asyncio.wait_for(runs, 20)
    finally:
        stop.set()
        await sends
    if errors or ears.errors:
        raise SystemExit(f"errors: {errors + ears.errors}")
    assert ears.words, "no words of the answer"
    print("ok")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
