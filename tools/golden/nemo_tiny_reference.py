#!/usr/bin/env python3
"""A second implementation of NeMo's DuplexS2SModel, in numpy and double precision, for the golden tiny model.

Written from the formulas, whole sequences at once, nothing shared with the C++ code. It makes the tiny model's weights
from their names, runs perception, the duplex loop and the codec decoder on the golden signal, and writes every stage as
a reference dump for `duet parity` (docs/parity.md), and on request the weights too.

    python3 tools/golden/nemo_tiny_reference.py tests/data/nemo_tiny_reference.safetensors [--model-weights FILE]

Needs numpy only. No randomness: the same bytes every time (made with Python 3.11, numpy 2.4).
"""
import argparse
import json
import math
import os
import struct

import numpy as np

WEIGHTS = {}  # every tensor asked for, in fp32, under its state-dict name


def fnv1a(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def weight(name, *shape):
    count = math.prod(shape)
    s = np.sin(0.7 * np.arange(1, count + 1) + 0.01 * (fnv1a(name) % 1000))
    if name.endswith("original0"):
        value = 0.6 + 0.2 * s
    elif name.endswith("alpha"):
        value = 1 + 0.3 * s
    elif len(shape) == 1:
        value = (1 if name.endswith("weight") else 0) + 0.1 * s
    elif "pos_bias" in name:
        value = 0.2 * s
    else:
        value = 1.5 * s / math.sqrt(count / shape[0])
    WEIGHTS[name] = value.astype(np.float32).reshape(shape)
    return WEIGHTS[name].astype(np.float64)


def linear(x, name, n_out, bias=True):
    y = x @ weight(name + ".weight", n_out, x.shape[-1]).T
    return y + weight(name + ".bias", n_out) if bias else y


def layer_norm(x, name):
    d = x.shape[-1]
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * weight(name + ".weight", d) + weight(name + ".bias", d)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- log-mel ---------------------------------------------------------------------------------------------------------


def hz_to_mel(f):
    return f / (200 / 3) if f < 1000 else 15 + math.log(f / 1000) * 27 / math.log(6.4)


def mel_to_hz(m):
    return m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)


def filterbank(num_mels=80, n_fft=512, rate=16000):
    top = hz_to_mel(rate / 2)
    g = [mel_to_hz(top * i / (num_mels + 1)) for i in range(num_mels + 2)]
    bank = np.zeros((num_mels, n_fft // 2 + 1))
    for i in range(num_mels):
        for b in range(n_fft // 2 + 1):
            f = b * rate / n_fft
            up, down = (f - g[i]) / (g[i + 1] - g[i]), (g[i + 2] - f) / (g[i + 2] - g[i + 1])
            bank[i, b] = max(0.0, min(up, down)) * 2 / (g[i + 2] - g[i])
    return bank.astype(np.float32).astype(np.float64)


def log_mel(x):
    e = x.copy()
    e[1:] -= 0.97 * x[:-1]
    padded = np.concatenate([np.zeros(200), e, np.zeros(200)])
    rows = []
    for m in range(len(x) // 160):
        spectrum = np.fft.rfft(padded[160 * m : 160 * m + 400] * window_, 512)
        rows.append(np.log(filterbank_ @ np.abs(spectrum) ** 2 + 2.0**-24))
    return np.array(rows)


def hann(size=400):
    """In single precision, as checkpoints store it: its small ends are far from the exact ones."""
    phase = np.arange(size, dtype=np.float32) * np.float32(2 * np.pi / (size - 1))
    window = np.cos(phase) * np.float32(-0.5) + np.float32(0.5)
    window[0] = window[-1] = 0
    return window.astype(np.float64)


filterbank_, window_ = filterbank(), hann()

# --- FastConformer ---------------------------------------------------------------------------------------------------


def conv_stride2(x, w, bias, depthwise):
    """x [C, T, F] -> [C', T//2+1, F//2+1]; 2 zeros before and 1 after on both axes."""
    padded = np.pad(x, ((0, 0), (2, 1), (2, 1)))
    t, f = x.shape[1] // 2 + 1, x.shape[2] // 2 + 1
    out = np.zeros((w.shape[0], t, f))
    for j in range(t):
        for i in range(f):
            patch = padded[:, 2 * j : 2 * j + 3, 2 * i : 2 * i + 3]
            out[:, j, i] = (w[:, 0] * patch).sum((1, 2)) if depthwise else (w * patch[None]).sum((1, 2, 3))
    return out + bias[:, None, None]


def subsample(mel, name, channels, width):
    x = np.maximum(conv_stride2(mel[None], weight(name + ".conv.0.weight", channels, 1, 3, 3),
                                weight(name + ".conv.0.bias", channels), False), 0)
    for stage in (2, 5):
        x = conv_stride2(x, weight(f"{name}.conv.{stage}.weight", channels, 1, 3, 3),
                         weight(f"{name}.conv.{stage}.bias", channels), True)
        w = weight(f"{name}.conv.{stage + 1}.weight", channels, channels, 1, 1)[:, :, 0, 0]
        x = np.maximum(np.einsum("oi,itf->otf", w, x) + weight(f"{name}.conv.{stage + 1}.bias", channels)[:, None, None], 0)
    return linear(x.transpose(1, 0, 2).reshape(x.shape[1], -1), name + ".out", width)


def rel_attention(x, name, heads, left, chunk):
    t, d = x.shape
    dk = d // heads
    q, k, v = (linear(x, f"{name}.linear_{p}", d).reshape(t, heads, dk) for p in "qkv")
    w_pos = weight(name + ".linear_pos.weight", d, d)
    u, vb = weight(name + ".pos_bias_u", heads, dk), weight(name + ".pos_bias_v", heads, dk)
    omega = np.exp(-np.arange(0, d, 2) * math.log(10000) / d)
    context = np.zeros((t, heads, dk))
    for i in range(t):
        allowed = [j for j in range(t) if 0 <= i // chunk - j // chunk <= left // chunk]
        for h in range(heads):
            scores = []
            for j in allowed:
                pe = np.empty(d)
                pe[0::2], pe[1::2] = np.sin((i - j) * omega), np.cos((i - j) * omega)
                p = (w_pos @ pe).reshape(heads, dk)[h]
                scores.append(((q[i, h] + u[h]) @ k[j, h] + (q[i, h] + vb[h]) @ p) / math.sqrt(dk))
            context[i, h] = softmax(np.array(scores)) @ v[allowed, h]
    return linear(context.reshape(t, d), name + ".linear_out", d)


def conv_module(x, name, kernel):
    t, d = x.shape
    y = x @ weight(name + ".pointwise_conv1.weight", 2 * d, d, 1)[:, :, 0].T + weight(name + ".pointwise_conv1.bias", 2 * d)
    z = y[:, :d] * sigmoid(y[:, d:])
    w = weight(name + ".depthwise_conv.weight", d, 1, kernel)[:, 0]
    padded = np.concatenate([np.zeros((kernel - 1, d)), z])
    y = sum(w[:, k] * padded[k : k + t] for k in range(kernel)) + weight(name + ".depthwise_conv.bias", d)
    y = silu(layer_norm(y, name + ".batch_norm"))
    return y @ weight(name + ".pointwise_conv2.weight", d, d, 1)[:, :, 0].T + weight(name + ".pointwise_conv2.bias", d)


def feed_forward(x, name, factor):
    d = x.shape[1]
    return linear(silu(linear(x, name + ".linear1", factor * d)), name + ".linear2", d)


def conformer(x, name, layers, heads, left, chunk):
    x = x * math.sqrt(x.shape[1])
    for i in range(layers):
        layer = f"{name}.layers.{i}"
        x = x + 0.5 * feed_forward(layer_norm(x, layer + ".norm_feed_forward1"), layer + ".feed_forward1", 2)
        x = x + rel_attention(layer_norm(x, layer + ".norm_self_att"), layer + ".self_attn", heads, left, chunk)
        x = x + conv_module(layer_norm(x, layer + ".norm_conv"), layer + ".conv", 9)
        x = x + 0.5 * feed_forward(layer_norm(x, layer + ".norm_feed_forward2"), layer + ".feed_forward2", 2)
        x = layer_norm(x, layer + ".norm_out")
    return x


# --- language model --------------------------------------------------------------------------------------------------


def rms(x, name):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight(name, x.shape[-1])


def rope(x, start):
    """x [T, heads, d]."""
    t, _, d = x.shape
    angle = (np.arange(start, start + t)[:, None] * 10000.0 ** (-2 * np.arange(d // 2) / d))[:, None]
    cos, sin = np.concatenate([np.cos(angle)] * 2, -1), np.concatenate([np.sin(angle)] * 2, -1)
    return x * cos + np.concatenate([-x[..., d // 2 :], x[..., : d // 2]], -1) * sin


def llama(x, layers=2, heads=4, kv_heads=2, dk=12, inner=64):
    """Whole sequence x [T, H]; causal."""
    t, width = x.shape
    for i in range(layers):
        name = f"llm.layers.{i}"
        h = rms(x, name + ".input_layernorm.weight")
        q = rope(linear(h, name + ".self_attn.q_proj", heads * dk, False).reshape(t, heads, dk), 0)
        k = rope(linear(h, name + ".self_attn.k_proj", kv_heads * dk, False).reshape(t, kv_heads, dk), 0)
        v = linear(h, name + ".self_attn.v_proj", kv_heads * dk, False).reshape(t, kv_heads, dk)
        out = np.zeros((t, heads, dk))
        for p in range(t):
            for head in range(heads):
                g = head // (heads // kv_heads)
                out[p, head] = softmax(k[: p + 1, g] @ q[p, head] / math.sqrt(dk)) @ v[: p + 1, g]
        x = x + linear(out.reshape(t, -1), name + ".self_attn.o_proj", width, False)
        h = rms(x, name + ".post_attention_layernorm.weight")
        gate, up = linear(h, name + ".mlp.gate_proj", inner, False), linear(h, name + ".mlp.up_proj", inner, False)
        x = x + linear(silu(gate) * up, name + ".mlp.down_proj", width, False)
    return rms(x, "llm.norm.weight")


def duplex(user, w_user, vocab=40, books=2, codes=60, text_pad=0):
    """The greedy loop. Every step runs the whole sequence again: slow and plain."""
    width, speech = user.shape[1], codes + 3
    table = weight("embed_tokens.weight", vocab, width)
    audio = [weight(f"embed_audio_tokens.{k}.weight", speech, width) for k in range(books)]
    text, said, inputs, text_logits, audio_logits = [], [], [], [], []
    for t in range(len(user)):
        last_text, last_codes = (text[-1], said[-1]) if t else (text_pad, [codes + 2] * books)
        inputs.append(w_user * user[t] + table[last_text] + sum(audio[k][last_codes[k]] for k in range(books)))
        h = llama(np.array(inputs))[-1]
        text_logits.append(linear(h[None], "lm_head", vocab, False)[0])
        audio_logits.append(linear(h[None], "audio_head", books * speech)[0].reshape(books, speech))
        text.append(int(text_logits[-1].argmax()))
        said.append([int(a) for a in audio_logits[-1].argmax(-1)])
    return np.array(text), np.array(said), np.array(text_logits), np.array(audio_logits)


# --- codec -----------------------------------------------------------------------------------------------------------


def weight_norm(name, *shape):
    g = weight(name + ".parametrizations.weight.original0", shape[0], 1, 1)
    v = weight(name + ".parametrizations.weight.original1", *shape)
    return g * v / np.sqrt((v**2).sum((1, 2), keepdims=True))


def half_snake(x, name):
    half = x.shape[0] // 2
    alpha = weight(name + ".activation.snake_act.alpha", 1, half, 1)[0]
    return np.concatenate([x[:half] + np.sin(alpha * x[:half]) ** 2 / (alpha + 1e-9),
                           np.where(x[half:] > 0, x[half:], 0.01 * x[half:])])


def causal_conv(x, name, n_out, kernel, dilation=1):
    w = weight_norm(name + ".conv", n_out, x.shape[0], kernel)
    t = x.shape[1]
    padded = np.pad(x, ((0, 0), ((kernel - 1) * dilation, 0)))
    out = sum(w[:, :, k] @ padded[:, k * dilation : k * dilation + t] for k in range(kernel))
    return out + weight(name + ".conv.bias", n_out)[:, None]


def upsample(x, name, rate):
    """Grouped causal transposed convolution: two input channels for each output channel."""
    c, t = x.shape
    w = weight_norm(name + ".conv", c, 1, 2 * rate)[:, 0]
    before = np.pad(x, ((0, 0), (1, 0)))[:, :t]
    out = np.zeros((c // 2, t * rate))
    for o in range(c // 2):
        for i in (2 * o, 2 * o + 1):
            for q in range(rate):
                out[o, q::rate] += w[i, q] * x[i] + w[i, rate + q] * before[i]
    return out + weight(name + ".conv.bias", c // 2)[:, None]


def decode(codes, levels=(5, 4, 3), base=24, rates=(5, 3), kernels=(3, 7), dilations=(1, 3)):
    """codes [T, K] -> samples."""
    name = "audio_codec.audio_decoder"
    latent = []
    for k in range(codes.shape[1]):
        step = 1
        for level in levels:
            latent.append(((codes[:, k] // step) % level - level // 2) / (level // 2))
            step *= level
        bases = np.cumprod((1,) + levels[:-1]).astype(np.int32).reshape(1, -1, 1)
        WEIGHTS[f"audio_codec.vector_quantizer.fsqs.{k}.dim_base_index"] = bases
        WEIGHTS[f"audio_codec.vector_quantizer.fsqs.{k}.num_levels"] = np.array(levels, np.int32).reshape(1, -1, 1)
    x = causal_conv(np.array(latent), name + ".pre_conv", base, 7)
    for i, rate in enumerate(rates):
        x = upsample(half_snake(x, f"{name}.activations.{i}"), f"{name}.up_sample_conv_layers.{i}", rate)
        branches = []
        for j, kernel in enumerate(kernels):
            y = x
            for m, dilation in enumerate(dilations):
                block = f"{name}.res_layers.{i}.res_blocks.{j}.res_blocks.{m}"
                z = causal_conv(half_snake(y, block + ".input_activation"), block + ".input_conv", len(y), kernel, dilation)
                y = y + causal_conv(half_snake(z, block + ".skip_activation"), block + ".skip_conv", len(y), kernel)
            branches.append(y)
        x = sum(branches) / len(branches)
    x = causal_conv(half_snake(x, name + ".post_activation"), name + ".post_conv", 1, 3)
    return np.clip(x[0], -1, 1)


# --- the run and its files -------------------------------------------------------------------------------------------


def save_safetensors(path, tensors, metadata=None):
    names = {"float32": "F32", "int64": "I64", "int32": "I32"}
    header, blobs, offset = ({"__metadata__": metadata} if metadata else {}), [], 0
    for name in sorted(tensors):
        blob = np.ascontiguousarray(tensors[name]).tobytes()
        header[name] = {"dtype": names[str(tensors[name].dtype)], "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def run(left=4, chunk=2):
    n = np.arange(12800)
    pcm = (0.5 * np.sin(2 * np.pi * 440 * n / 16000)
           + 0.25 * np.sin(2 * np.pi * 1000 * n / 16000) * np.cos(2 * np.pi * 3 * n / 16000)).astype(np.float32)
    mel = log_mel(pcm.astype(np.float64))
    pre_encode = subsample(mel, "perception.encoder.pre_encode", 8, 32)
    encoder = conformer(pre_encode, "perception.encoder", 2, 4, left, chunk)
    adapter = conformer(linear(encoder, "perception.modality_adapter.pre_encode", 32), "perception.modality_adapter", 1, 4,
                        left, chunk)
    user = linear(adapter, "perception.proj", 48)
    text, codes, text_logits, audio_logits = duplex(user, 2.0)
    heard = np.where(codes >= 60, codes[:1], codes)
    audio = decode(heard)
    real = {"mel": mel, "pre_encode": pre_encode, "encoder": encoder, "adapter": adapter, "user": user,
            "text_logits": text_logits, "audio_logits": audio_logits, "audio": audio}
    dump = {"pcm": pcm} | {name: value.astype(np.float32) for name, value in real.items()}
    dump |= {name: value.astype(np.int64) for name, value in (("text", text), ("codes", codes), ("decoded_codes", heard))}
    return dump


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", help="the reference dump to write (.safetensors)")
    parser.add_argument("--model-weights", help="also write the weights, as a bundle's model.safetensors")
    args = parser.parse_args()
    dump = run()
    save_safetensors(args.dump, dump, {"source": os.path.basename(__file__), "model": "golden tiny model"})
    if args.model_weights:
        WEIGHTS["_control_codes"] = np.array([60, 61, 62])
        save_safetensors(args.model_weights, WEIGHTS)
    for name, value in dump.items():
        print(f"{name:13} {str(value.shape):14} sum of absolute values {np.abs(value.astype(np.float64)).sum():.5f}")
    print("text ", *dump["text"])
    print("codes", *("(" + ",".join(map(str, frame)) + ")" for frame in dump["codes"].tolist()))


if __name__ == "__main__":
    main()
