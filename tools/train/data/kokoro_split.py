"""Cuts the int8 Kokoro graph in three so that its convolutions run twice as fast on CPUs with bfloat16 units.

The package's graph quantises activations on the fly (ConvInteger, MatMulInteger), which onnxruntime runs slower than plain
convolutions. `split` puts the dequantised weights back and cuts the graph at two places where bfloat16 must not reach: before,
text to harmonic source (phases are summed over the whole sentence); after, magnitudes and phases to samples (exp, sin, cos).
The core between them runs in OpenVINO with bfloat16; it differs from float32 by -28 dB. Measured on one core, seconds of
speech per second: onnxruntime int8 1.5, float32 1.4, this 3.0.
"""
import collections
import json

STYLE, FEATURES = "/decoder/Slice_output_0", "/encoder/MatMul_1_output_0"
DURATIONS = "/encoder/Clip_output_0"   # frames of 600 samples a token
PITCH, ENERGY = "/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"


def float_graph(model):
    """Replaces every quantised product by a Conv or MatMul with float weights, in place."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
    graph = model.graph
    initial = {i.name: i for i in graph.initializer}
    array = lambda name: numpy_helper.to_array(initial[name])
    producer = {o: n for n in graph.node for o in n.output}
    consumers = collections.defaultdict(list)
    for n in graph.node:
        for i in n.input:
            consumers[i].append(n)
    replaced = {}

    def add(name, value):
        if name not in initial:
            initial[name] = numpy_helper.from_array(value.astype(np.float32), name)
            graph.initializer.append(initial[name])
        return name

    def bias_of(name):   # bias -> Div(scale) -> Floor -> Cast -> Reshape
        while producer[name].op_type != "Div":
            name = producer[name].input[0]
        return next(i for i in producer[name].input if i in initial)

    for n in graph.node:
        if n.op_type not in ("ConvInteger", "MatMulInteger"):
            continue
        (after,) = consumers[n.output[0]]
        bias = None
        if after.op_type == "Add":
            bias = bias_of(next(i for i in after.input if i != n.output[0]))
            (after,) = consumers[after.output[0]]
        assert after.op_type == "Cast", n.name
        (product,) = consumers[after.output[0]]
        assert product.op_type == "Mul", n.name
        scales = producer[next(i for i in product.input if i != after.output[0])]
        scale = array(next(i for i in scales.input if i in initial)).astype(np.float32).reshape(-1)
        weight, zero = array(n.input[1]).astype(np.float32), array(n.input[3]).astype(np.float32).reshape(-1)
        if n.op_type == "ConvInteger":
            column = lambda v: v[0] if v.size == 1 else v.reshape(-1, 1, 1)
            weight = (weight - column(zero)) * column(scale)
        else:
            weight = (weight - zero) * scale
        inputs = [producer[n.input[0]].input[0], add(n.input[1] + "_float", weight)]
        if bias:
            inputs.append(bias if array(bias).ndim == 1 else add(bias + "_flat", array(bias).reshape(-1)))
        new = helper.make_node("Conv" if n.op_type == "ConvInteger" else "MatMul", inputs, [product.output[0]], name=n.name)
        new.attribute.extend(n.attribute)
        replaced[product.output[0]] = new
    nodes = [onnx.NodeProto.FromString(replaced.get(n.output[0], n).SerializeToString()) for n in graph.node]
    have, todo, ordered = set(initial) | {i.name for i in graph.input} | {""}, nodes, []
    while todo:
        rest = []
        for n in todo:
            if all(i in have for i in n.input):
                ordered.append(n)
                have |= set(n.output)
            else:
                rest.append(n)
        assert len(rest) < len(todo), rest[0].name
        todo = rest
    del graph.node[:]
    graph.node.extend(ordered)


def extract(model, inputs, outputs, path, shapes=None):
    """Writes the part of the graph between tensors to a file of its own."""
    import onnx
    from onnx import TensorProto, helper
    graph = model.graph
    producer = {o: n for n in graph.node for o in n.output}
    initial = {i.name for i in graph.initializer}
    need, stack, seen = set(), list(outputs), set(inputs) | initial | {""}
    while stack:
        x = stack.pop()
        if x not in seen:
            seen.add(x)
            need.add(producer[x].output[0])
            stack += producer[x].input
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node if n.output[0] in need]
    used = {i for n in nodes for i in n.input}
    old = {i.name: i for i in graph.input}
    info = lambda name: onnx.ValueInfoProto.FromString(old[name].SerializeToString()) if name in old else \
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name] if shapes else None)
    weights = [onnx.TensorProto.FromString(i.SerializeToString()) for i in graph.initializer if i.name in used]
    part = helper.make_graph(nodes, "part", [info(x) for x in inputs],
                             [helper.make_tensor_value_info(x, TensorProto.FLOAT, None) for x in outputs], weights)
    onnx.save(helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version), str(path))


def split(source, folder):
    """Writes front.onnx, core.onnx, tail.onnx and cut.json into `folder`."""
    import onnx
    model = onnx.load(str(source))
    float_graph(model)
    source_wave = next(n.input[0] for n in model.graph.node if "generator/noise_convs.0" in n.name and n.op_type == "Conv")
    spectrum = next(n.output[0] for n in model.graph.node if "generator/conv_post" in n.name and n.op_type == "Conv")
    cut = [STYLE, FEATURES, PITCH, ENERGY, source_wave]
    shapes = {STYLE: [1, 128], FEATURES: [1, 512, "t"], PITCH: [1, "t2"], ENERGY: [1, "t3"], source_wave: [1, 22, "t4"]}
    folder.mkdir(parents=True, exist_ok=True)
    extract(model, ["tokens", "style", "speed"], [*cut, DURATIONS], folder / "front.onnx")
    extract(model, cut, [spectrum], folder / "core.onnx", shapes)
    extract(model, [spectrum], ["audio"], folder / "tail.onnx")
    (folder / "cut.json").write_text(json.dumps({"cut": cut, "spectrum": spectrum, "durations": DURATIONS}))


def require_parts(source, folder):
    """Splits unless that is done."""
    if not (folder / "cut.json").exists() or "durations" not in (folder / "cut.json").read_text():
        split(source, folder)


class SplitKokoro:
    """Runs the three parts: inputs as the whole model's, returns samples at 24 kHz."""

    def __init__(self, model, folder, options):
        import onnxruntime
        import openvino
        require_parts(model, folder)
        names = json.loads((folder / "cut.json").read_text())
        self.cut, self.spectrum = names["cut"], names["spectrum"]
        load = lambda part: onnxruntime.InferenceSession(str(folder / part), options, providers=["CPUExecutionProvider"])
        self.front, self.tail = load("front.onnx"), load("tail.onnx")
        core = openvino.Core()
        core.set_property({"CACHE_DIR": str(folder / "compiled")})
        self.core = core.compile_model(core.read_model(str(folder / "core.onnx")), "CPU", {
            "INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False})

    def run(self, _outputs, inputs):
        return self.run_timed(inputs)[0]

    def run_timed(self, inputs):
        """([samples], frames of 600 samples that each token lasts)."""
        *between, durations = self.front.run([*self.cut, DURATIONS], inputs)
        spectrum = self.core(dict(zip(self.cut, between)))[0]
        return self.tail.run(["audio"], {self.spectrum: spectrum}), durations.reshape(-1)
