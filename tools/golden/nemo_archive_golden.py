"""Writes tests/data/weights/: small files as torch.save and NeMo write them.

  python3 tools/golden/nemo_archive_golden.py tests/data/weights

Made with Python 3.11.2, torch 2.15.0 (CPU). Values are closed formulas that the test repeats; no randomness.
"""
import collections
import io
import os
import pathlib
import sys
import tarfile

import torch

out = pathlib.Path(sys.argv[1])
base = torch.arange(12, dtype=torch.float32)
state = collections.OrderedDict(
    [("encoder.a", base.reshape(3, 4)), ("encoder.transposed", base.reshape(3, 4).t()), ("encoder.part", base[4:8]),
     ("decoder.skip", torch.zeros(2)), ("preprocessor.bf16", (base / 8).to(torch.bfloat16)),
     ("encoder.half", base[:3].half()), ("encoder.ids", torch.tensor([[1, -2], [3, 1 << 40]])),
     ("encoder.scalar", torch.tensor(2.5)), ("encoder.flags", torch.tensor([True, False])),
     ("encoder.empty", torch.zeros(0, 3)), ("encoder.bytes", torch.tensor([1, 255], dtype=torch.uint8))])
module = torch.nn.Linear(2, 2)
for value in module.parameters():
    value.data.fill_(0.5)
state._metadata = module.state_dict()._metadata


def save(what, **options):
    buffer = io.BytesIO()
    torch.save(what, buffer, **options)
    return buffer.getvalue()


def nemo(path, mode, prefix):
    with tarfile.open(path, mode) as tar:
        for name, data in (("model_config.yaml", b"sample_rate: 16000\n"), ("model_weights.ckpt", save(state)),
                           ("0123_tokenizer.model", b"x")):
            info = tarfile.TarInfo(prefix + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


nemo(out / "plain.nemo", "w", "./")
nemo(out / "gzip.nemo", "w:gz", "")
(out / "lightning.ckpt").write_bytes(save({"epoch": 3, "lr": 1e-3, "name": "x", "none": None, "list": [1, (2, True)],
                                           "state_dict": module.state_dict(keep_vars=True)}))
(out / "protocol4.ckpt").write_bytes(save({"x": base}, pickle_protocol=4))
(out / "global.ckpt").write_bytes(save({"x": os.system}))
(out / "old.ckpt").write_bytes(save({"x": base}, _use_new_zipfile_serialization=False))
