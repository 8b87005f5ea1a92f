"""What an ONNX file must not hold, against the `onnx` library and against ONNX Runtime."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.core import BundleError
from glioscope.runtime import _onnx_file
from glioscope.runtime._onnx_file import CHILDREN, MAX_DEPTH, MAX_NODES, MAX_OPSET, MIN_OPSET, check_onnx

onnx = pytest.importorskip("onnx", reason="needs glioscope[train]")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.external_data_helper import set_external_data  # noqa: E402

PATH = Path("bundle/model.onnx")
VALUES = np.arange(4, dtype=np.float32)


def inside(name="w"):
    return numpy_helper.from_array(VALUES, name)


def outside(name="w", location="secret.bin"):
    tensor = inside(name)
    set_external_data(tensor, location, offset=0, length=16)
    tensor.ClearField("raw_data")
    return tensor


def sparse(values, indices):
    return helper.make_sparse_tensor(values, indices, [4])


def graph(*nodes, weights=(), sparse_weights=(), inputs=("x",), outputs=("y",)):
    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])

    return helper.make_graph(
        list(nodes),
        "g",
        [value(n) for n in inputs],
        [value(n) for n in outputs],
        list(weights),
        sparse_initializer=list(sparse_weights),
    )


def add():
    return helper.make_node("Add", ["x", "w"], ["y"])


def constant(**attribute):
    return helper.make_node("Constant", [], ["w"], **attribute)


def model(main, *, opset=17, domains=(), functions=()):
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(main, opset_imports=imports, functions=list(functions), ir_version=8)


def branch(tensor):
    return graph(constant(value=tensor), inputs=(), outputs=("w",))


def if_node(body):
    return helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)


def function(*nodes, domain="", **attributes):
    defaults = [helper.make_attribute(name, value) for name, value in attributes.items()]
    opset = [helper.make_opsetid("", 17)]
    return helper.make_function(domain, "F", ["x"], ["y"], list(nodes), opset, attribute_protos=defaults)


def training(which, tensor):
    made = model(graph(add(), weights=[inside()]))
    getattr(made.training_info.add(), which).CopyFrom(graph(add(), weights=[tensor]))
    return made


def listed(**attribute):
    """A node with a list of tensors, sparse tensors or graphs, which no operator of ours has but the format allows."""
    return model(graph(helper.make_node("Add", ["x", "x"], ["y"], **attribute)))


def with_tensor(place, tensor):
    """A model that holds `tensor` at this place."""
    indices = numpy_helper.from_array(np.arange(4), "i")
    makers = {
        "initializer": lambda: model(graph(add(), weights=[tensor])),
        "sparse initializer": lambda: model(graph(add(), sparse_weights=[sparse(tensor, indices)])),
        "sparse indices": lambda: model(graph(add(), sparse_weights=[sparse(inside(), tensor)])),
        "constant": lambda: model(graph(constant(value=tensor), add())),
        "sparse constant": lambda: model(graph(constant(sparse_value=sparse(tensor, indices)), add())),
        "list of tensors": lambda: listed(several=[inside(), tensor]),
        "list of sparse tensors": lambda: listed(several=[sparse(tensor, indices)]),
        "list of graphs": lambda: listed(several=[branch(inside()), branch(tensor)]),
        "if": lambda: model(graph(if_node(branch(tensor)))),
        "if in if": lambda: model(graph(if_node(graph(if_node(branch(tensor)), inputs=())))),
        "if with a weight": lambda: model(graph(if_node(graph(add(), weights=[tensor])))),
        "function": lambda: model(graph(add(), weights=[inside()]), functions=[function(constant(value=tensor))]),
        "default of a function": lambda: model(
            graph(add(), weights=[inside()]), functions=[function(constant(value=inside()), a=tensor)]
        ),
        "training": lambda: training("initialization", tensor),
        "training algorithm": lambda: training("algorithm", tensor),
    }
    return makers[place]()


PLACES = (
    *("initializer", "sparse initializer", "sparse indices", "constant", "sparse constant", "list of tensors"),
    *("list of sparse tensors", "list of graphs", "if", "if in if", "if with a weight", "function"),
    *("default of a function", "training", "training algorithm"),
)


def refused(content, *words):
    with pytest.raises(BundleError) as caught:
        check_onnx(content, PATH)
    message = str(caught.value)
    assert message.startswith(f"{PATH}: ")
    assert "\n" not in message
    for word in words:
        assert word in message, (word, message)


def plain():
    return model(graph(add(), weights=[inside()])).SerializeToString()


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_wherever_a_tensor_can_stand(place):
    made = with_tensor(place, outside())
    refused(made.SerializeToString(), "external data")


@pytest.mark.parametrize("place", PLACES)
def test_the_same_model_with_its_tensor_inside_is_accepted(place):
    assert check_onnx(with_tensor(place, inside()).SerializeToString(), PATH) == 17


def test_a_model_that_onnx_saved_with_external_data(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(model(graph(add(), weights=[inside()])), path, save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.iterdir())) == 2
    refused(path.read_bytes(), "external data")


@pytest.mark.parametrize("mark", ["location", "entry"])
def test_one_of_the_two_marks_of_external_data_is_enough(mark):
    tensor = inside()
    if mark == "location":
        tensor.data_location = TensorProto.EXTERNAL
    else:
        tensor.external_data.add(key="location", value="secret.bin")
    refused(model(graph(add(), weights=[tensor])).SerializeToString(), "external data")


def test_a_tensor_that_points_into_memory_is_refused():
    refused(model(graph(add(), weights=[outside(location="*/_ORT_MEM_ADDR_/*")])).SerializeToString(), "external data")


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_onnx_runtime_would_open_the_file(tmp_path, monkeypatch, place):
    content = with_tensor(place, outside()).SerializeToString()
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    monkeypatch.chdir(tmp_path)
    options = onnxruntime.SessionOptions()
    # The optimiser cannot read the file of a model given as bytes, and fails; without it the file is read.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(got, VALUES)
    refused(content, "external data")


def test_onnx_runtime_would_load_its_own_format(tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(plain(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "model.ort").read_bytes()
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    refused(content, "ONNX Runtime's own format")


def test_a_file_that_is_onnx_and_looks_like_the_other_format():
    content = b"\x12\x06abORTM" + plain()
    assert onnx.ModelProto.FromString(content).producer_name != ""
    refused(content, "ONNX Runtime's own format")


def message_types(kind, found):
    """Every message that can stand in `kind`, by name."""
    if kind.name not in found:
        found[kind.name] = kind
        for field in kind.fields:
            if field.message_type is not None:
                message_types(field.message_type, found)
    return found


def test_every_way_to_a_tensor_a_node_or_an_opset_is_walked():
    kinds = message_types(onnx.ModelProto.DESCRIPTOR, {})
    wanted = {"TensorProto", "NodeProto", "OperatorSetIdProto"}
    leading = {name for name, kind in kinds.items() if wanted & set(message_types(kind, {}))}
    expected = {
        name: {
            f.number: f.message_type.name
            for f in kinds[name].fields
            if f.message_type and f.message_type.name in leading
        }
        for name in leading
    }
    assert expected == CHILDREN


def test_the_numbers_of_the_fields_that_decide():
    numbers = {name: {f.name: f.number for f in getattr(onnx, name).DESCRIPTOR.fields} for name in CHILDREN}
    assert (numbers["NodeProto"]["domain"], numbers["NodeProto"]["op_type"]) == (7, 4)
    assert numbers["FunctionProto"]["domain"] == 10
    assert (numbers["OperatorSetIdProto"]["domain"], numbers["OperatorSetIdProto"]["version"]) == (1, 2)
    assert (numbers["TensorProto"]["external_data"], numbers["TensorProto"]["data_location"]) == (13, 14)


@pytest.mark.parametrize("domain", ["custom", "com.microsoft.nchwc", "ai.onnx.training", "AI.ONNX", " ", "ai.onnx\0"])
def test_operators_of_other_domains(domain):
    words = ("domain", "'ai.onnx.ml', 'com.microsoft' are accepted")
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    weights = [inside()]
    refused(model(graph(node, weights=weights)).SerializeToString(), *words)
    refused(model(graph(add(), weights=weights), domains=[domain]).SerializeToString(), *words)
    refused(model(graph(add(), weights=weights), functions=[function(node)]).SerializeToString(), *words)
    refused(model(graph(add(), weights=weights), functions=[function(domain=domain)]).SerializeToString(), *words)
    refused(model(graph(if_node(graph(node)))).SerializeToString(), *words)


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"])
def test_operators_that_come_with_onnx_runtime(domain):
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    domains = [domain] if "." in domain.removeprefix("ai.onnx") else []
    assert check_onnx(model(graph(node), domains=domains).SerializeToString(), PATH) == 17


def test_a_network_compiled_elsewhere():
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../engine.bin")
    refused(model(graph(node), domains=["com.microsoft"]).SerializeToString(), "the operator EPContext")


@pytest.mark.parametrize("opset", [MIN_OPSET, 17, MAX_OPSET])
def test_opsets_in_the_range(opset):
    assert check_onnx(model(graph(add()), opset=opset).SerializeToString(), PATH) == opset


@pytest.mark.parametrize("opset", [MIN_OPSET - 1, MAX_OPSET + 1, 0, -1, 2**40])
def test_opsets_out_of_the_range(opset):
    refused(model(graph(add()), opset=opset).SerializeToString(), "has opset", "10 to 21 are accepted")


def test_an_opset_out_of_range_that_stands_second():
    made = model(graph(add()), domains=["ai.onnx"])
    refused(made.SerializeToString(), "has opset 1")


def test_no_graph_no_node_no_opset():
    whole = model(graph(add()))
    for field, words in (("graph", "no graph"), ("opset_import", "no opset")):
        made = onnx.ModelProto.FromString(whole.SerializeToString())
        made.ClearField(field)
        refused(made.SerializeToString(), words)
    refused(model(graph()).SerializeToString(), "no graph")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\0" * 100, b"\xff" * 100, b"{}", b"\x3a\x7f", b"\x0b\x0c", b"\x3a\x80\x80\x80\x80\x10"],
)
def test_what_is_no_protobuf(content):
    refused(content, "not a usable network")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_network(share):
    content = plain()
    refused(content[: int(len(content) * share)], "not a usable network")


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (b"\x70\x01", "external data"),
        (b"\xf0\x80\x00\x01", "external data"),
        (b"\x70" + varint(1), "external data"),
        (b"\x70" + varint((1 << 32) + 1), "external data"),
        (b"\x70\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00", "external data"),
        (b"\x70\x00\x70\x01", "external data"),
        (b"\x6a\x00", "external data"),
        (b"\x72\x01\x01", "another type"),
        (b"\x68\x01", "another type"),
        (varint((1 << 32) + 0x70) + b"\x01", "no protobuf message"),
        (b"\x73\x74", "no protobuf message"),
        (b"\x70" + b"\xff" * 10 + b"\x01", "truncated or damaged"),
    ],
)
def test_bytes_that_another_parser_may_read_otherwise(mark, words):
    tensor = inside().SerializeToString() + mark
    refused(field(7, field(5, tensor)) + plain(), words)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.data())
def test_what_passes_holds_nothing_external_as_onnx_reads_it(data):
    """Differential: bytes changed at random, and what is accepted is read by the library."""
    place = data.draw(st.sampled_from(PLACES))
    content = bytearray(with_tensor(place, data.draw(st.sampled_from([inside, outside]))()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from([0x70, 0x6A, 0x00, 0x01, 0x80])))
    try:
        opset = check_onnx(bytes(content), PATH)
    except BundleError:
        return
    try:
        made = onnx.ModelProto.FromString(bytes(content))
    except Exception:  # a field that we do not walk is damaged; ONNX Runtime refuses it as well
        return
    assert not any(t.external_data or t.data_location != TensorProto.DEFAULT for t in tensors(made))
    assert opset in {entry.version for entry in made.opset_import} | {
        entry.version for function in made.functions for entry in function.opset_import
    }


def tensors(message):
    """Every TensorProto in a message, by the library's own description of the format."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for part in value if kind.is_repeated else [value]:
                yield from tensors(part)


def test_limits(monkeypatch):
    nodes = [helper.make_node("Identity", ["x"], ["y"])] * MAX_NODES
    assert check_onnx(model(graph(*nodes)).SerializeToString(), PATH) == 17
    refused(model(graph(*nodes, add())).SerializeToString(), f"more than {MAX_NODES} nodes")
    refused(b"\x08\x08" * 500_001 + plain(), "more than 500000 fields")
    monkeypatch.setattr(_onnx_file, "MAX_BYTES", 100)
    refused(b"\0" * 101, "101 bytes are over the limit of 100")


def test_depth():
    def nested(depth):
        body = branch(inside())
        for _ in range(depth):
            body = graph(if_node(body), inputs=())
        return model(body).SerializeToString()

    fits = (MAX_DEPTH - 5) // 3
    assert check_onnx(nested(fits), PATH) == 17
    refused(nested(fits + 1), f"more than {MAX_DEPTH} deep")


def test_weights_are_not_copied():
    weights = [numpy_helper.from_array(np.zeros(1_000_000, np.float32), f"w{i}") for i in range(6)]
    content = model(graph(add(), weights=weights)).SerializeToString()
    tracemalloc.start()
    check_onnx(content, PATH)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000 < len(content)
