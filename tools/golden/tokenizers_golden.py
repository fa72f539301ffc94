"""Writes tests/data/tokenizer/: tiny tokenizers trained on the made-up text below, and what the reference libraries
make of some sentences.

  python3 tools/golden/tokenizers_golden.py tests/data/tokenizer

Made with Python 3.11.2, tokenizers 0.23.3, sentencepiece 0.2.3 (PyPI). No randomness.
"""
import json
import pathlib
import sys

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = ["the quick brown fox jumps over the lazy dog and the cat", "what is seven plus five? seven plus five is twelve.",
        "I'd like a large oat latte, please; no sugar.", "we'll see whether they've got 12 or 345 cups left",
        "wait, stop! that's not what I said.", "one two three four five six seven eight nine ten",
        "Ein großes Stück Käsekuchen für die Füchse", "  two  spaces   and\ttabs\nand lines"] * 4
SAMPLES = ["", " ", "hello", "the quick brown fox", " leading space", "trailing space ", "two  spaces   three",
           "tabs\tand\nlines\n\n end", "what's that? we'll see, they've 12 or 345!", "Käse für die Füchse", "日本語 and 😀!",
           "a</s>b <s> c", "x <sep>  y", "...---...", "I'D LIKE '70s 'tis", "e\u0301 \u00a0nbsp \u3000wide", "\u2581mark",
           "seven plus five is twelve", "½ ² Ⅷ 7th", "don't'll've '", "supercalifragilistic" * 4]


def llama(pre_tokenizer, normalizer):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"] + bytes_,
                                                            show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["id"] < 3]  # byte pieces are no added tokens
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.normalizer = normalizer
    tokenizer.add_tokens([AddedToken("<sep>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    return tokenizer


def byte_level(pre_tokenizer):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=380, special_tokens=["<|endoftext|>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens([AddedToken("<sep>", lstrip=True, rstrip=True, normalized=False)])
    return tokenizer


out = pathlib.Path(sys.argv[1])
made = {
    "llama": llama(None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])),
    "metaspace": llama(pre_tokenizers.Metaspace(prepend_scheme="first", split=True), None),
    "gpt2": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "digits": byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False)])),
}
golden = {}
for name, tokenizer in made.items():
    (out / f"{name}.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")))
    golden[name] = []
    for text in SAMPLES:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        golden[name].append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})

(out / "corpus.txt").write_text("\n".join(t.strip().replace("\n", " ") for t in TEXT))
sentencepiece.SentencePieceTrainer.train(
    input=str(out / "corpus.txt"), model_prefix=str(out / "sentencepiece"), model_type="bpe", vocab_size=400,
    byte_fallback=True, normalization_rule_name="identity", character_coverage=1.0, remove_extra_whitespaces=False,
    control_symbols=["<sil>"], minloglevel=2, num_threads=1, hard_vocab_limit=False)
(out / "corpus.txt").unlink()
(out / "sentencepiece.vocab").unlink()
processor = sentencepiece.SentencePieceProcessor(model_file=str(out / "sentencepiece.model"))
golden["sentencepiece"] = [{"text": t, "ids": processor.encode(t), "decoded": processor.decode(processor.encode(t))}
                           for t in SAMPLES]
(out / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace("]},", "]},\n"))
