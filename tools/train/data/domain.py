"""Expands a domain file (configs/domain/*.yaml, docs/domains.md) into texts.

`expand(path)` gives the same result for the same file: items (what a user says, what the agent answers, what a right
answer must contain), agent-only texts, and dialogs (turns whose replies depend on earlier ones). Items and dialogs carry
a split: `heldout` ones have a phrasing, a pair of operands or an order that no `train` one has.
"""
import hashlib
import random
import re
from dataclasses import dataclass, field

import yaml

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
SLOT_ORDER = ("size", "shot", "roast", "drink", "milk", "sugar")


class DomainError(Exception):
    """A domain file is wrong: says which entry, what was expected and what was found."""


@dataclass
class Item:
    """One thing a user says. `reply` is exact; empty for backchannels and for what has no answer of its own."""
    topic: str
    text: str
    reply: str = ""
    key: object = field(default_factory=list)   # words a right answer contains; {"any": [[...]]}; or {"slots": {...}}
    split: str = "train"
    weight: float = 1.0
    alone: bool = False                         # only for the speech encoder: no place in a dialogue


def number(n):
    """A whole number up to 999 in words."""
    if n < 0:
        return "minus " + number(-n)
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("" if n % 10 == 0 else " " + ONES[n % 10])
    return ONES[n // 100] + " hundred" + ("" if n % 100 == 0 else " and " + number(n % 100))


def cap(text):
    return text[:1].upper() + text[1:]


def with_article(text):
    """`a latte`, `an eight ounce latte`; words that stand without an article (plurals, `light roast`) are the caller's."""
    vowel = text[0].lower() in "aeio" or text.startswith("eight")
    return ("an " if vowel else "a ") + text


def unit_hash(text):
    """A stable number in [0, 1) for a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16 ** 12


def render_order(order, read_back):
    """`A large latte with a bit of oat milk and sugar` from {slot: value}; amounts are in `<slot>_amount`."""
    head = with_article(" ".join(order[s] for s in read_back if order.get(s)))
    tail = [part(order, s) for s in ("milk", "sugar") if order.get(s)]
    return cap(head + (" with " + " and ".join(tail) if tail else ""))


def part(order, slot):
    amount = order.get(slot + "_amount")
    return (amount + " " if amount else "") + order[slot]


def order_id(order):
    """Canonical text of a combination: what is held out is decided on it."""
    return "|".join(order.get(s, "") for s in SLOT_ORDER)


def parse_order(text, spec):
    """The slots of a reply made by render_order without amounts; None when it is none."""
    m = re.match(r"^An? (.*?)( with (.*))?, coming up\.$", text)
    if not m:
        return None
    order, rest = {}, m.group(1)
    for slot in ("size", "shot", "roast"):
        for v in spec["slots"][slot]["values"]:
            if rest.startswith(v + " "):
                order[slot], rest = v, rest[len(v) + 1:]
    if rest not in spec["slots"]["drink"]["values"]:
        return None
    order["drink"] = rest
    for e in (m.group(3) or "").split(" and "):
        for slot in ("milk", "sugar"):
            if e in spec["slots"][slot]["values"]:
                order[slot] = e
    return order if render_order(order, spec["read_back"]) + ", coming up." == text else None


@dataclass(frozen=True)
class Unit:
    """A few words of the agent's, cut from a sentence that is spoken whole: their prosody is that of their place. A comma
    before them makes the pause that keeps their first sound whole."""
    text: str
    before: str = ""
    after: str = ""


class Domain:
    """One expanded domain: `items`, `agent_texts` (most useful first), `dialogs`."""

    def __init__(self, path, seed_replies=()):
        with open(path, encoding="utf-8") as f:
            self.spec = yaml.safe_load(f)
        self.path = str(path)
        if self.spec.get("format") != 1:
            raise DomainError(f"{path}: format: expected 1, found {self.spec.get('format')!r}")
        self.items, self.agent_texts, self.dialogs = [], [], []
        self.composed = {}    # reply: the units it is strung together from
        self.random = random.Random(self.spec["seed"])
        self._tables()
        for i, intent in enumerate(self.spec["intents"]):
            self._intent(intent, f"intents[{i}]")
        if "sums" in self.spec:
            self._sums(self.spec["sums"])
        if "counts" in self.spec:
            self._counts(self.spec["counts"])
        self._alone(self.spec.get("alone", {}))
        for s in self.spec.get("monologue", []):
            self.items.append(Item("monologue", s))
        for s in self.spec.get("leads", []):
            self.items.append(Item("lead", s))
        self.orders, self.order_replies = [], []
        if "orders" in self.spec:
            self._orders(self.spec["orders"], seed_replies)
        self._agent()
        self._check_split()

    def _tables(self):
        self.tables = {}
        for name, t in self.spec.get("tables", {}).items():
            pairs = list(t.items()) if isinstance(t, dict) else [(v, v) for v in t]
            for k, v in pairs:
                if not isinstance(k, str) or not isinstance(v, str):
                    raise DomainError(f"{self.path}: tables.{name}: expected text, found {k!r}: {v!r} (quote it)")
            self.tables[name] = pairs

    def _key(self, answer, reply, fields):
        if isinstance(answer, str) and answer.startswith("@first_words"):
            n = int(answer.split()[1])
            first = lambda r: " ".join(re.findall(r"[a-z0-9']+", r.lower())[:n])
            return {"any": [[first(r)] for r in reply]} if isinstance(reply, list) else [first(reply)]
        return [a.format(**fields) for a in answer]

    def _intent(self, intent, where):
        known = {"topic", "say", "heldout", "reply", "answer", "each", "weight", "sets", "needs", "without"}
        unknown = set(intent) - known
        if unknown:
            raise DomainError(f"{self.path}: {where}: unknown key {sorted(unknown)}; known are {sorted(known)}")
        for k in ("topic", "say"):
            if k not in intent:
                raise DomainError(f"{self.path}: {where}: expected a key `{k}`, found {sorted(intent)}")
        if "each" in intent and intent["each"] not in self.tables:
            raise DomainError(f"{self.path}: {where}.each: expected one of {sorted(self.tables)}, found {intent['each']!r}")
        rows = self.tables[intent["each"]] if "each" in intent else [("", "")]
        for key, value in rows:
            fields = dict(key=key, value=value, letters=", ".join(key.replace(" ", "").upper()), name="{name}")
            if intent.get("reply") == "{letters}.":
                self._compose_letters(key.replace(" ", "").upper())
            for split in ("train", "heldout"):
                for k, phrase in enumerate(intent["say" if split == "train" else "heldout"] if split == "train"
                                           else intent.get("heldout", [])):
                    replies = intent.get("reply", "")
                    if "needs" in intent:
                        replies = intent["without"]
                    chosen = replies[(k + len(self.items)) % len(replies)] if isinstance(replies, list) else replies
                    reply = chosen.format(**fields) if "needs" not in intent else chosen
                    answer = intent.get("answer", [])
                    formatted = [r.format(**fields) for r in replies] if isinstance(replies, list) else reply
                    key_ = ["told me"] if "needs" in intent else self._key(answer, formatted, fields)
                    self.items.append(Item(intent["topic"], cap(phrase.format(**fields)), reply, key_, split,
                                           float(intent.get("weight", 1))))
        if "needs" in intent:
            self._recall(intent)

    def _recall(self, intent):
        """Dialogs in which an earlier turn set what this one needs (the name)."""
        r = self.random
        setter = next(i for i in self.spec["intents"] if i.get("sets") == intent["needs"])
        other = [i for i in self.items if i.topic not in ("stop", "backchannel", setter["topic"], intent["topic"])]
        for split, which in (("train", "say"), ("heldout", "heldout")):
            for key, value in self.tables[setter["each"]]:
                for k in range(6 if split == "train" else 1):
                    fields = {"key": key, "value": value, intent["needs"]: key}
                    turns = [dict(topic=setter["topic"], text=cap(r.choice(setter[which]).format(**fields)),
                                  reply=setter["reply"].format(**fields), key=[key])]
                    for o in r.sample([o for o in other if o.split == split and o.reply], k % 3):
                        turns.append(dict(topic=o.topic, text=o.text, reply=o.reply, key=o.key))
                    turns.append(dict(topic=intent["topic"], text=r.choice(intent[which]),
                                      reply=intent["reply"].format(**fields), key=[key]))
                    self.dialogs.append(dict(topic=intent["topic"], split=split, turns=turns))

    def _sums(self, s):
        for op in s["operations"]:
            for a in range(op["a"][0], op["a"][1] + 1):
                for b in range(op["b"][0], op["b"][1] + 1):
                    c = {"plus": a + b, "minus": a - b, "times": a * b}[op["word"]]
                    if c < op.get("smallest", -10 ** 9):
                        continue
                    self._compose_sum(a, op["word"], b, c)
                    pair = (a, b) if op["word"] == "minus" else (min(a, b), max(a, b))
                    held = unit_hash(f"{op['word']} {pair}") < 1 / s["heldout_one_in"]
                    f = dict(a=number(a), A=cap(number(a)), b=number(b), op=op["word"], c=number(c))
                    for phrase in s["say"] + (s["heldout"] if held else []):
                        self.items.append(Item("sum", phrase.format(**f), s["reply"].format(**f), [number(c)],
                                               "heldout" if held else "train"))

    def _compose_sum(self, a, word, b, c):
        """Sums whose reply has the usual form are strung together from their numbers."""
        if self.spec["sums"]["reply"] != "{A} {op} {b} is {c}.":
            return
        text = self.spec["sums"]["reply"].format(A=cap(number(a)), op=word, b=number(b), c=number(c))
        self.composed[text] = [Unit(cap(number(a)), "", "plus four is nine."), Unit(word, "Seven,", "four is eleven."),
                               Unit(number(b), "Seven plus,", "is nine."), Unit("is", "Seven plus four,", "eleven."),
                               *self._compose_number(c)]

    @staticmethod
    def _compose_number(n):
        """The end of a sentence: few units, each in many sums."""
        before, units = "Seven plus four is,", []
        if n > 100:
            units.append(Unit(f"{number(n // 100 * 100)} and", before, "twenty."))
            n %= 100
        if 20 < n < 100 and n % 10:
            units.append(Unit(number(n // 10 * 10), before, "two."))
            n %= 10
        return [*units, Unit(number(n) + ".", before, "")]

    def _compose_order(self, o):
        s = self.spec["orders"]
        if s["reply"] != "{order}, coming up." or tuple(s["read_back"])[-1] != "drink":
            return
        head = [(x, o[x]) for x in s["read_back"] if o.get(x)]
        tail = [x for x in ("milk", "sugar") if o.get(x)]
        units = []
        for k, (slot, value) in enumerate(head):
            text = cap(with_article(value)) if k == 0 else value
            before = "" if k == 0 else "A large,"
            if slot != "drink":
                units.append(Unit(text, before, "latte, coming up."))
            else:
                units.append(Unit(text, before, "with milk, coming up.") if tail else Unit(text + ",", before, "coming up."))
        for k, slot in enumerate(tail):
            lead = ("with " if k == 0 else "and ") + o.get(slot + "_amount", "")
            units.append(Unit(lead.strip(), "A latte," if k == 0 else "A latte with milk,", "cream, coming up."))
            units.append(Unit(o[slot] + ",", "A latte with,", "coming up.") if k + 1 == len(tail)
                         else Unit(o[slot], "A latte with,", "and sugar, coming up."))
        units.append(Unit("coming up.", "A large latte,", ""))
        self.composed[s["reply"].format(order=render_order(o, s["read_back"]))] = units

    def _compose_letters(self, letters):
        self.composed[", ".join(letters) + "."] = [Unit(x + ",") for x in letters[:-1]] + [Unit(letters[-1] + ".")]

    def _counts(self, s):
        for a, b in s["ranges"]:
            words = [number(n) for n in (range(a, b + 1) if a < b else range(a, b - 1, -1))]
            f = dict(a=number(a), b=number(b))
            say = s["say"] + (s["from_one"] if a == 1 else []) + (s["to_one"] if b == 1 else [])
            for split, phrases in (("train", say), ("heldout", s["heldout"])):
                for p in phrases:
                    self.items.append(Item("count", p.format(**f), cap(", ".join(words)) + ".", [", ".join(words)], split, 2))

    def _alone(self, s):
        texts = [number(n) for n in range(s.get("numbers_to", -1) + 1)]
        texts += list("ABCDEFGHIJKLMNOPQRSTUVWXYZ") if s.get("letters") else []
        for t in texts + s.get("words", []):
            self.items.append(Item("alone", cap(t) + ".", alone=True))

    # --- orders
    def _random_order(self, r, s):
        o = {}
        for slot in SLOT_ORDER:
            d = s["slots"][slot]
            if r.random() < d["chance"]:
                o[slot] = r.choice(d["values"])
                if r.random() < d.get("amount", 0):
                    o[slot + "_amount"] = r.choice(s["amounts"])
        return o

    def _is_heldout(self, order, s):
        return unit_hash(order_id(order)) < 1 / s["heldout_one_in"]

    def _say_order(self, r, s, o, asks):
        """One way to say an order: the parts change places, extras join or trail, now and then a please."""
        mods = [x for x in ("size", "shot", "roast") if o.get(x)]
        r.shuffle(mods)
        late = [m for m in mods if r.random() < 0.15]
        front = [o[m] for m in mods if m not in late]
        noun = " ".join(front + [o["drink"]])
        extras = [(x, part(o, x)) for x in ("milk", "sugar") if o.get(x)]
        r.shuffle(extras)
        asked = r.random() < 0.88
        ask = r.choice(asks)
        text = f"{ask} {with_article(noun)}" if asked else cap(with_article(noun) if r.random() < 0.6 else noun)
        with_words = [t for _, t in extras]
        after = []
        for m in late:
            if m == "shot" or (m == "roast" and r.random() < 0.4):
                with_words.append(with_article(o[m]) if m == "shot" else o[m])
            else:
                after.append(o[m])
        r.shuffle(with_words)
        if after:
            text += ", " + ", ".join(after) + ("," if with_words else "")
        if with_words:
            style = r.random()
            if style < 0.75 or len(with_words) == 1 and style < 0.85:
                text += " with " + " and ".join(with_words)
            elif len(with_words) > 1 and style < 0.9:
                text += " with " + with_words[0] + ", and " + r.choice(["add ", "put in ", ""]) + " and ".join(with_words[1:])
            else:
                text += r.choice([" and add ", " and put in "]) + " and ".join(with_words)
        if r.random() < 0.18 and "lease" not in ask:
            text += ", please"
        question = asked and re.search(r"\b(Can|Could|May|can|could|may)\b", ask)
        return text + ("?" if question else ".")

    def _slots_key(self, o):
        return {"slots": dict(o)}

    def _correct(self, r, s, o, which):
        """A correction of `o`: (text, new order)."""
        for _ in range(100):
            slot = r.choices(SLOT_ORDER, [4, 2, 2, 1.5, 3, 3])[0]
            spec, n = s["corrections"][slot], dict(o)
            gone = spec.get("remove" if which == "say" else "heldout_remove")
            if gone and o.get(slot) and r.random() < 0.3:
                text = r.choice(gone).format(v=o[slot])
                n.pop(slot)
                n.pop(slot + "_amount", None)
                return cap(text), n
            n[slot] = r.choice(s["slots"][slot]["values"])
            n.pop(slot + "_amount", None)
            if r.random() < s["slots"][slot].get("amount", 0):
                n[slot + "_amount"] = r.choice(s["amounts"])
            if n == o:
                continue
            x = part(n, slot)
            return cap(r.choice(spec[which]).format(x=x, a_x=with_article(x))), n
        raise DomainError(f"{self.path}: orders.corrections: no correction of {o} found")

    def _orders(self, s, seed_replies):
        r = self.random
        reply = self._order_reply
        seen = {}

        def add(o, split="train", dialog_only=False):
            if reply(o) not in seen:
                seen[reply(o)] = o
                if split == "train":
                    self.order_replies.append(reply(o))
            if not dialog_only:
                asks = s["ask"] if split == "train" else s["ask"] + s["heldout_ask"] * 4
                for _ in range(2):
                    self.items.append(Item("order", self._say_order(r, s, o, asks), reply(o), self._slots_key(o), split))

        for text in sorted(seed_replies):
            o = parse_order(text, s)
            if o and not self._is_heldout(o, s):
                add(o)
        steps = {"train": s["distinct"], "heldout": 120}
        for split in ("train", "heldout"):
            held = split == "heldout"
            which = "heldout" if held else "say"
            goal = steps[split]
            made = 0
            while made < goal:
                base = self._random_order(r, s)
                if self._is_heldout(base, s) != held:
                    continue
                add(base, split)
                made += 1
                asks = s["ask"] if not held else s["ask"] + s["heldout_ask"] * 4
                turns = [dict(topic="order", text=self._say_order(r, s, base, asks), reply=reply(base), key=self._slots_key(base))]
                self.items.append(Item("order", turns[0]["text"], reply(base), self._slots_key(base), split))
                o = base
                for _ in range(r.choice([0, 1, 1, 2])):
                    for _ in range(200):
                        text, n = self._correct(r, s, o, which)
                        if self._is_heldout(n, s) == held:
                            break
                    else:
                        break
                    o = n
                    add(o, split)
                    made += 1
                    turns.append(dict(topic="correction", text=text, reply=reply(o), key=self._slots_key(o)))
                end = r.random()
                if end < 0.15:
                    turns.append(dict(topic="repeat order", text=r.choice(s["repeat"][which]), reply=reply(o), key=self._slots_key(o)))
                elif end < 0.25:
                    turns.append(dict(topic="cancel", text=r.choice(s["cancel"][which]), reply=s["cancel"]["reply"], key=["canceled"]))
                    if r.random() < 0.5:
                        turns.append(dict(topic="repeat order", text=r.choice(s["repeat"][which]), reply=s["empty"], key=["anything"]))
                if len(turns) > 1:
                    self.dialogs.append(dict(topic="correction", split=split, turns=turns))
            # corrections as texts of their own: they have no reply without an order before them
            for _ in range(1200 if not held else 150):
                text, _n = self._correct(r, s, self._random_order(r, s), which)
                self.items.append(Item("correction", text, s["empty"], ["anything"], split))
            for d in self.dialogs:
                if d["split"] == split:
                    self.items += [Item("correction", t["text"], s["empty"], ["anything"], split) for t in d["turns"]
                                   if t["topic"] == "correction"]
            self.items += [Item("cancel", t, s["empty"], ["anything"], split, 3) for t in s["cancel"][which]]
            self.items += [Item("repeat order", t, s["empty"], ["anything"], split, 3) for t in s["repeat"][which]]
        unique = {}
        for i in self.items:
            unique.setdefault((i.text, i.reply), i)
        self.items = list(unique.values())

    def _agent(self):
        s = self.spec
        fixed = {i.reply for i in self.items if i.split == "train" and i.reply and i.topic not in ("order", "sum")}
        fixed |= set(s.get("agent_backchannels", [])) | set(s.get("agent_extra", []))
        fixed |= {t["reply"] for d in self.dialogs if d["split"] == "train" for t in d["turns"] if t["topic"] != "order"
                  and not t["reply"].endswith("coming up.")}
        for i in s["intents"]:
            if isinstance(i.get("reply"), list):
                fixed |= set(i["reply"])
        sums = sorted({i.reply for i in self.items if i.topic == "sum" and i.split == "train"})
        self.agent_fixed = sorted(fixed - set(sums))
        self.agent_sums = sums
        self.agent_texts = self.agent_fixed + self.order_replies + self.agent_sums

    def _check_split(self):
        train = {i.text for i in self.items if i.split == "train"}
        # Backchannels and corrections may coincide by chance (short texts): the test loses them, not the training.
        self.items = [i for i in self.items if i.split == "train" or i.text not in train]
        held_replies = {i.reply for i in self.items if i.split == "heldout" and i.topic == "order"}
        self.items = [i for i in self.items if not (i.split == "train" and i.topic == "order" and i.reply in held_replies)]
        self.order_replies = [t for t in self.order_replies if t not in held_replies]

    def heldout_texts(self):
        return {i.text for i in self.items if i.split == "heldout"}

    # --- written conversations
    def conversations(self, count, seed=1, turns=(5, 9)):
        """Conversations in writing, as many as one likes: lists of turns (topic, text, reply), replies true to what was said before.

        They are where content is learned that must be composed (operands, slots): speech shows a few thousand questions, these
        show all of them. No text of the test set occurs, nor an order whose combination is held out; sums of held-out pairs do,
        in the words of `sums.written` only.
        """
        r = random.Random(f"written {seed}")
        held = self.heldout_texts()
        pools = {}
        for i in self.items:
            if i.split == "train" and i.reply and not i.alone and i.topic not in ("order", "correction", "cancel", "repeat order", "sum"):
                pools.setdefault(i.topic, []).append(i)
        written = self.spec.get("sums", {}).get("written", [])
        leads = [t for t in self.spec.get("leads", [])]
        setters = {i["sets"]: i for i in self.spec["intents"] if "sets" in i}
        needs = {i["topic"]: i for i in self.spec["intents"] if "needs" in i}
        shares = self.spec.get("written", {}).get("shares", {})
        topics = [t for t in [*pools, "sum", "order", "correction", "cancel", "repeat order"] if shares.get(t, 1) > 0]
        if "sums" not in self.spec:
            topics.remove("sum")
        if "orders" not in self.spec:
            topics = [t for t in topics if t not in ("order", "correction", "cancel", "repeat order")]
        weights = [shares.get(t, 1) for t in topics]
        operations = self.spec.get("sums", {}).get("operations", [])
        made = 0
        while made < count:
            facts, order, out = {}, None, []
            for _ in range(r.randint(*turns)):
                turn, order = self._written_turn(r, r.choices(topics, weights)[0], pools, written, operations, setters, needs, facts, order)
                if turn is None or turn["text"] in held:
                    continue
                if leads and r.random() < 0.06:
                    turn["text"] = r.choice(leads) + " " + turn["text"]
                out.append(turn)
            if out:
                made += 1
                yield dict(split="train", turns=out)

    def _written_turn(self, r, topic, pools, written, operations, setters, needs, facts, order):
        """One turn and the order as it stands afterwards; (None, order) when the draw has to be dropped."""
        s = self.spec.get("orders")
        if topic == "sum":
            op = r.choice(operations)
            a, b = r.randint(*op["a"]), r.randint(*op["b"])
            c = {"plus": a + b, "minus": a - b, "times": a * b}[op["word"]]
            if c < op.get("smallest", -10 ** 9):
                return None, order
            f = dict(a=number(a), A=cap(number(a)), b=number(b), op=op["word"], c=number(c))
            text = r.choice(self.spec["sums"]["say"] + written).format(**f)
            turn = dict(topic=topic, text=text, reply=self.spec["sums"]["reply"].format(**f))
            if r.random() < self.spec.get("written", {}).get("misheard", 0):   # then only its own words tell the result
                wrong = {k: number(r.randint(*op[k])) if r.random() < 0.7 else f[k] for k in ("a", "b")}
                wrong["A"] = cap(wrong["a"])
                heard = next(p for p in self.spec["sums"]["say"] + written if p.format(**f) == text).format(**{**f, **wrong})
                if heard != text:
                    turn.update(heard=heard, scored=f"is {f['c']}.")
            return turn, order
        if topic == "order":
            o = self._random_order(r, s)
            if self._is_heldout(o, s):
                return None, order
            return dict(topic=topic, text=self._say_order(r, s, o, s["ask"]), reply=self._order_reply(o)), o
        if topic == "correction":
            text, n = self._correct(r, s, order or self._random_order(r, s), "say")
            if order is None:
                return dict(topic=topic, text=text, reply=s["empty"]), None
            return (None, order) if self._is_heldout(n, s) else (dict(topic=topic, text=text, reply=self._order_reply(n)), n)
        if topic in ("cancel", "repeat order"):
            text = r.choice(s["cancel" if topic == "cancel" else "repeat"]["say"])
            if order is None:
                return dict(topic=topic, text=text, reply=s["empty"]), None
            if topic == "cancel":
                return dict(topic=topic, text=text, reply=s["cancel"]["reply"]), None
            return dict(topic=topic, text=text, reply=self._order_reply(order)), order
        item = r.choice(pools[topic])
        reply = item.reply
        for fact, setter in setters.items():
            if setter["topic"] == topic:
                facts[fact] = next(k for k, v in self.tables[setter["each"]]
                                   if setter["reply"].format(key=k, value=v, **{fact: k}) == reply)
        if topic in needs and needs[topic]["needs"] in facts:
            reply = needs[topic]["reply"].format(**{needs[topic]["needs"]: facts[needs[topic]["needs"]]})
        return dict(topic=topic, text=item.text, reply=reply), order

    def _order_reply(self, order):
        s = self.spec["orders"]
        reply = s["reply"].format(order=render_order(order, s["read_back"]))
        if reply not in self.composed:
            self._compose_order(order)
        return reply


def self_test(path):
    """Raises AssertionError when the expander breaks one of its promises."""
    a, b = Domain(path), Domain(path)
    assert [vars(i) for i in a.items] == [vars(i) for i in b.items] and a.dialogs == b.dialogs, "not deterministic"
    assert [number(n) for n in (0, 13, 40, 72, 144, 300)] == ["zero", "thirteen", "forty", "seventy two",
                                                              "one hundred and forty four", "three hundred"]
    assert with_article("eight ounce latte") == "an eight ounce latte" and with_article("latte") == "a latte"
    train = [i for i in a.items if i.split == "train"]
    held = [i for i in a.items if i.split == "heldout"]
    assert train and held and not {i.text for i in train} & {i.text for i in held}, "a test text is trained"
    pairs = lambda items: {i.reply for i in items if i.topic == "sum"}
    assert pairs(held) and not pairs(train) & pairs(held), "a test sum is trained"
    slots = lambda items: {order_id(i.key["slots"]) for i in items if i.topic == "order"}
    assert slots(held) and not slots(train) & slots(held), "a test order is trained"
    for i in a.items:
        assert "{" not in i.text + i.reply, f"unfilled template: {i.text!r} -> {i.reply!r}"
        if i.topic == "order":
            for v in i.key["slots"].values():
                assert v in i.text.lower() and v in i.reply.lower(), f"{v!r} missing: {i.text!r} -> {i.reply!r}"
    replies = set(a.agent_texts) | {i.reply for i in held}
    for d in a.dialogs:
        if d["split"] == "train":
            for t in d["turns"]:
                assert t["reply"] in replies or t["topic"] == "sum", f"no agent text for {t}"
    for reply, units in a.composed.items():
        assert " ".join(u.text for u in units) == reply, f"{reply!r} is not {units}"
    spec = a.spec["orders"]
    o = dict(size="large", drink="latte", milk="oat milk", milk_amount="a bit of", sugar="sugar")
    assert render_order(o, spec["read_back"]) == "A large latte with a bit of oat milk and sugar"
    plain = dict(size="eight ounce", drink="mocha", sugar="sugar")
    assert parse_order(render_order(plain, spec["read_back"]) + ", coming up.", spec) == plain
    assert parse_order("A large tea, coming up.", spec) is None
    return len(train), len(held), len(a.dialogs)
