"""What an ONNX file holds, read from its bytes before ONNX Runtime sees them.

ONNX Runtime opens files that a tensor names: also of a model that was given as bytes, then in the working directory.
And it loads what is not ONNX at all: its own format, which it knows by four bytes. Here both are refused, and operators
beyond those that come with it. Only the protobuf wire format is walked; weights are stepped over, never copied.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from glioscope.core import BundleError

MIN_OPSET: Final = 10
MAX_OPSET: Final = 21
"""Of the default domain. `models` writes 17; others were never tried with the oldest ONNX Runtime that we accept, 1.20,
which knows opset 21."""
MAX_BYTES: Final = 1 << 29
"""512 MiB: EfficientNet-B7 twice (FL and WL in one graph) is 506 MiB."""
MAX_NODES: Final = 10_000
"""The largest graph of ours, two B7, has about 2,000."""
MAX_FIELDS: Final = 500_000
"""Walked in under a second; a network of 15 to 25 MB has about 10,000. Bounds also lists that hold no node."""
MAX_DEPTH: Final = 32
"""Messages inside one another: ten graphs deep (`If` in `If`). The networks that `models` writes have 4."""

_DOMAINS: Final = frozenset({b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"})
"""Operators that come with ONNX Runtime. Others are custom ones, for which it loads a library."""
_DEFAULT_DOMAINS: Final = frozenset({b"", b"ai.onnx"})
_REFUSED_OPERATORS: Final = frozenset({b"EPContext"})
"""Of com.microsoft: hands a compiled network to TensorRT or OpenVINO, also from a file that it names."""
_ORT_FORMAT: Final = b"ORTM"

CHILDREN: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 8: "OperatorSetIdProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 9: "OperatorSetIdProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
    "OperatorSetIdProto": {},
}
"""Message -> field number -> message: every way to a tensor, a node or an operator set (onnx.proto of ONNX 1.23)."""
_DOMAIN: Final = {"NodeProto": 7, "FunctionProto": 10, "OperatorSetIdProto": 1}
_OPERATOR, _OPSET_VERSION, _EXTERNAL_DATA, _DATA_LOCATION = 4, 2, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LOOKED_AT: Final = {
    "NodeProto": {_OPERATOR: _BYTES, _DOMAIN["NodeProto"]: _BYTES},
    "FunctionProto": {_DOMAIN["FunctionProto"]: _BYTES},
    "OperatorSetIdProto": {_DOMAIN["OperatorSetIdProto"]: _BYTES, _OPSET_VERSION: _VARINT},
    "TensorProto": {_EXTERNAL_DATA: _BYTES, _DATA_LOCATION: _VARINT},
}
"""Message -> number of a field that decides, with its wire type."""


def check_onnx(content: bytes, path: Path) -> int:
    """Refuse a network that is not plain ONNX, or that would reach outside its bytes.

    Parameters
    ----------
    content : an ONNX ModelProto.
    path : where it comes from, for the sentence.

    Returns
    -------
    The opset of the default operator domain, 10 to 21.

    Raises
    ------
    BundleError : not a protobuf or without a graph; ONNX Runtime's own format; external data in any tensor
        (initializers, sparse ones, attributes, subgraphs, functions, training); an operator domain other than "",
        "ai.onnx", "ai.onnx.ml" and "com.microsoft"; an EPContext operator; an opset out of range; over the limits of
        this module in size, nodes, fields or depth.

    References
    ----------
    onnx/onnx.proto of ONNX; protobuf.dev, "Encoding".
    """
    if len(content) > MAX_BYTES:
        raise BundleError(f"{path}: {len(content)} bytes are over the limit of {MAX_BYTES} for a network")
    if content[4:8] == _ORT_FORMAT:
        raise BundleError(f"{path}: is in ONNX Runtime's own format, ONNX is needed")
    try:
        return _Walk(content).opset()
    except _RefusedError as refusal:
        raise BundleError(f"{path}: {refusal}") from None


class _RefusedError(Exception):
    """What is wrong with the bytes, without the name of their file."""


class _Walk:
    """One pass over the messages of `CHILDREN`, with what was counted on the way."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._opsets: list[int] = []
        self._n = {"GraphProto": 0, "NodeProto": 0}

    def opset(self) -> int:
        waiting = [("ModelProto", 0, len(self._content), 1)]
        fields = 0
        while waiting:
            message, start, end, depth = waiting.pop()
            children, looked_at = CHILDREN[message], _LOOKED_AT.get(message, {})
            if depth > MAX_DEPTH:
                raise _RefusedError(f"has messages more than {MAX_DEPTH} deep, over the limit")
            for number, wire, value, stop in _fields(self._content, start, end):
                fields += 1
                child = children.get(number)
                if fields > MAX_FIELDS:
                    raise _RefusedError(f"has more than {MAX_FIELDS} fields, over the limit")
                if wire != (looked_at.get(number, wire) if child is None else _BYTES):
                    raise _RefusedError(f"not a usable network: field {number} of {message} is of another type")
                if child is not None:
                    waiting.append((child, value, stop, depth + 1))
                    self._count(child)
                elif number in looked_at:
                    self._look(message, number, value, stop)
            if message == "OperatorSetIdProto":
                self._keep_opset(start, end)
        return self._checked()

    def _look(self, message: str, number: int, value: int, stop: int) -> None:
        if message == "TensorProto":
            # Anything but 0 (DEFAULT): parsers cut larger numbers to 32 bits, and 2^32 + 1 would be EXTERNAL again.
            if number == _EXTERNAL_DATA or value != 0:
                raise _RefusedError("has a tensor with external data, which would be read from outside the bundle")
        elif number == _DOMAIN[message]:
            _refuse_domain(self._content[value:stop])
        elif number == _OPERATOR and self._content[value:stop] in _REFUSED_OPERATORS:
            name = self._content[value:stop].decode()
            raise _RefusedError(f"has the operator {name}, which runs code from outside the graph")

    def _count(self, child: str) -> None:
        if child in self._n:
            self._n[child] += 1
        if self._n["NodeProto"] > MAX_NODES:
            raise _RefusedError(f"has more than {MAX_NODES} nodes, over the limit")

    def _keep_opset(self, start: int, end: int) -> None:
        domain, version = b"", 0
        for number, _, value, stop in _fields(self._content, start, end):
            if number == _DOMAIN["OperatorSetIdProto"]:
                domain = self._content[value:stop]
            elif number == _OPSET_VERSION:
                version = value
        if domain in _DEFAULT_DOMAINS:
            if not MIN_OPSET <= version <= MAX_OPSET:
                raise _RefusedError(f"has opset {version}, {MIN_OPSET} to {MAX_OPSET} are accepted")
            self._opsets.append(version)

    def _checked(self) -> int:
        if not self._n["GraphProto"] or not self._n["NodeProto"]:
            raise _RefusedError("not a usable network: it holds no graph")
        if not self._opsets:
            raise _RefusedError("not a usable network: it names no opset")
        return max(self._opsets)


def _fields(content: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, value and end of each field: the value itself of a varint, else where its bytes begin.

    Stricter than protobuf: groups, which ONNX has none of, and numbers that other parsers cut to 32 bits are refused.
    """
    while position < end:
        tag = content[position]
        # Nearly all tags and lengths are one byte; a call for each would double the time.
        position += 1
        if tag >= 0x80:
            tag, position = _varint(content, position - 1, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise _RefusedError("not a usable network: its bytes are no protobuf message")
        value = position
        if wire == _VARINT:
            value, position = _varint(content, position, end)
        elif wire == _BYTES:
            length, value = _varint(content, position, end)
            position = value + length
        else:
            position += 8 if wire == _FIXED64 else 4
        if position > end:
            raise _RefusedError("not a usable network: it is truncated or damaged")
        yield number, wire, value, position


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Value of a variable-length integer of at most ten bytes, and where the next field begins."""
    value = 0
    for place in range(position, min(position + 10, end)):
        byte = content[place]
        value |= (byte & 0x7F) << (7 * (place - position))
        if byte < 0x80:
            return value, place + 1
    raise _RefusedError("not a usable network: it is truncated or damaged")


def _refuse_domain(name: bytes) -> None:
    if name not in _DOMAINS:
        shown = name[:60].decode("utf-8", "replace")
        allowed = ", ".join(repr(known.decode()) for known in sorted(_DOMAINS))
        raise _RefusedError(f"has operators of the domain {shown!r}, only {allowed} are accepted")
