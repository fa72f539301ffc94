"""Units that a listener mishears are spoken again, and the take that is heard best is kept.

An independent recogniser (faster-whisper) writes down replies strung together from the units. Its wrong words name the
units to blame; those are spoken in TAKES, put into the same replies, and the take with the fewest errors stays.
"""
import difflib
import io
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "judge"))
import judge  # noqa: E402

TAKES = ((1.0, 0.0), (1.0, 0.07), (0.88, 0.0), (0.88, 0.07), (0.78, 0.05))   # speed, seconds more before the first sound
REPLIES_A_UNIT = 4   # in which a unit is heard


def blame(texts, heard):
    """Wrong words of each unit: `texts` are the units of one reply in order, `heard` is what was written down."""
    words, owner = [], []
    whole = judge.normalise(" ".join(texts))
    for k, text in enumerate(texts):
        part = judge.normalise(text)
        words += part
        owner += [k] * len(part)
    errors = [0] * len(texts)
    if words != whole:            # a number written across units: not to be told apart
        owner = owner[:len(whole)] + owner[-1:] * (len(whole) - len(owner))
        words = whole
    found = judge.normalise(heard)
    for kind, a, b, c, d in difflib.SequenceMatcher(None, words, found, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for i in range(a, b):
            errors[owner[i]] += 1
        if kind == "insert":      # a word too many is that of the unit that begins there, or ends
            errors[owner[min(a, len(owner) - 1)]] += d - c
    return errors


def replies_of(composed, units, seed):
    """For each unit some replies that it is in, few replies for all: {unit: [reply, ...]}."""
    order = sorted(composed)
    random.Random(seed).shuffle(order)
    chosen = {u: [] for u in units}
    for text in order:
        ids = set(composed[text]) & chosen.keys()
        if any(len(chosen[u]) < REPLIES_A_UNIT for u in ids):
            for u in ids:
                chosen[u].append(text)
    return {u: texts[:REPLIES_A_UNIT] for u, texts in chosen.items()}


class Listener:
    def __init__(self, folder, rate):
        from faster_whisper import WhisperModel
        self.model, self.rate = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1), rate

    def heard(self, samples):
        import numpy as np
        import soundfile
        memory, quiet = io.BytesIO(), np.zeros(self.rate // 2, np.float32)
        soundfile.write(memory, np.concatenate([quiet, *samples, quiet]), self.rate, format="WAV", subtype="PCM_16")
        memory.seek(0)
        return judge.transcribe(self.model, memory)


def choose(chosen, composed, texts, sound, listener, speak, keep, progress, stopped):
    """chosen: ids of units to settle; composed: {reply: [unit id, ...]}; texts, sound: by unit id; speak(id, speed, lead_s) ->
    samples; keep(id, take, samples or None) is called for each unit once it is settled."""
    places = replies_of(composed, chosen, 1)
    errors = {u: 0 for u in chosen}
    replies = sorted({r for several in places.values() for r in several})
    for k, reply in enumerate(replies):
        if stopped():
            return
        for u, e in errors_of(reply, composed, texts, sound, listener):
            if u in errors:
                errors[u] += e
        progress(f"heard {k + 1} of {len(replies)} replies")
    for u in sorted(chosen, key=lambda u: -errors[u]):
        if stopped():
            return
        if not errors[u]:
            keep(u, 0, None)
            continue
        best = (errors_in(places[u], u, composed, texts, sound, listener), 0, sound[u])
        for take in range(1, len(TAKES)):
            if best[0] == 0 or stopped():
                break
            x = speak(u, *TAKES[take])
            found = errors_in(places[u], u, composed, texts, {**sound, u: x}, listener)
            if found < best[0]:
                best = (found, take, x)
        sound[u] = best[2]
        keep(u, best[1], best[2] if best[1] else None)
        progress(f"{texts[u]!r}: {errors[u]} errors, {best[0]} with take {best[1]}")


def errors_of(reply, composed, texts, sound, listener):
    ids = composed[reply]
    return zip(ids, blame([texts[u] for u in ids], listener.heard([sound[u] for u in ids])))


def errors_in(replies, unit, composed, texts, sound, listener):
    """Words of `unit` that were misheard in these replies."""
    return sum(e for reply in replies for u, e in errors_of(reply, composed, texts, sound, listener) if u == unit)


def self_test():
    order = ["A large", "latte", "with", "soy milk,", "coming up."]
    assert blame(order, "A large latte with soy milk coming up.") == [0, 0, 0, 0, 0]
    assert blame(order, "A large latte with si milk coming up.") == [0, 0, 0, 1, 0]
    assert blame(order, "A large latte with soy milk and coming up.") == [0, 0, 0, 0, 1]
    assert blame(["Twenty", "plus", "two", "is", "twenty", "two."], "20 plus 2 is 22.") == [0, 0, 0, 0, 0, 0]
    assert blame(["D,", "O,", "G."], "D-O-L-G.") == [0, 0, 1]
    places = replies_of({f"r{k}": ["a", "b"] if k % 2 else ["a"] for k in range(40)}, ["a", "b"], 1)
    assert len(places["a"]) == len(places["b"]) == REPLIES_A_UNIT and all(int(r[1:]) % 2 for r in places["b"])
    sound, kept = {"a": "good", "b": "bad"}, {}
    choose(["a", "b"], {"r": ["a", "b"]}, {"a": "yes", "b": "no"}, sound,
           type("Ears", (), {"heard": staticmethod(lambda samples: "yes no" if samples[1] == 0.88 else "yes now")}),
           lambda unit, speed, lead_s: speed, lambda unit, take, x: kept.__setitem__(unit, (take, x)), lambda line: None, lambda: False)
    assert kept == {"a": (0, None), "b": (2, 0.88)}, kept
