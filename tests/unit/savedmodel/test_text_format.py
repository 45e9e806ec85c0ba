"""A text file gives the facts of its binary form; damaged, odd and hostile ones are refused."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace

import pytest

from savedmodel_operator.savedmodel import (
    BytesSource,
    MalformedModel,
    ModelFacts,
    graph_file,
    read_saved_model,
    read_saved_model_text,
)
from savedmodel_operator.savedmodel.extras import WarmupRequests, read_fingerprint, read_warmup


def read(text: str | bytes) -> ModelFacts:
    data = text.encode() if isinstance(text, str) else text
    return read_saved_model_text(BytesSource(data))


def test_text_and_binary_give_the_same_facts(readings):
    folders = sorted((readings / "text").iterdir())
    assert len(folders) > 25
    for folder in folders:
        facts = read((folder / "saved_model.pbtxt").read_bytes())
        binary = read_saved_model(BytesSource((folder / "saved_model.pb").read_bytes()))
        assert facts == replace(binary, file="saved_model.pbtxt"), folder.name


def test_default_values_have_the_same_digests(readings):
    text = (readings / "text" / "default_values" / "saved_model.pbtxt").read_text()
    inputs = read(text).graphs[0].signatures["serving_default"].inputs
    assert len(inputs) == 26
    assert len({t.default for t in inputs.values()}) == 26
    changed = read(text.replace("3.4e+38", "3.3e+38"))
    assert changed.graphs[0].signatures["serving_default"].inputs["odd"] != inputs["odd"]


def test_what_the_graph_says_otherwise_is_seen_in_text_too():
    attr = 'attr { key: "dtype" value { type: DT_INT64 } }'
    placeholder = '"Placeholder"'
    (graph,) = read(model(nodes=NODES.replace(placeholder, f"{placeholder} {attr}"))).graphs
    assert "int64" in str(graph.contradicted)
    assert PLAIN.graphs[0].contradicted == ()


def test_binary_wins():
    assert graph_file({"saved_model.pbtxt": 1, "saved_model.pb": 1}) == "saved_model.pb"
    assert graph_file({"saved_model.pbtxt": 1}) == "saved_model.pbtxt"
    assert graph_file({"saved_model.cpb": 1}) is None


INFO = 'inputs { key: "x" value { name: "x:0" dtype: DT_FLOAT tensor_shape { dim { size: -1 } } } }'
NODES = 'node { name: "x" op: "Placeholder" } node { name: "y" op: "Cast" }'
MODEL = """saved_model_schema_version: 1
meta_graphs {{
  meta_info_def {{ tags: "serve" }}
  graph_def {{ {nodes} }}
  signature_def {{ key: "s" value {{ {info} }} }}
}}
"""


def model(info: str = INFO, nodes: str = NODES) -> str:
    return MODEL.format(info=info, nodes=nodes)


PLAIN = read(model())

SPELLINGS = {
    "comments": model().replace("{", "{ # a brace { in here\n"),
    "colons before braces": model().replace(" {", ": {"),
    "separators": model().replace('"serve"', '"serve";').replace("size: -1", "size: -1,"),
    "single quotes": model().replace('"', "'"),
    "strings side by side": model().replace('"serve"', '"se" \'r\' "ve"'),
    "escapes": model().replace('"serve"', r'"\163\x65\u0072ve"'),
    "a number for a type": model().replace("DT_FLOAT", "1"),
    "hexadecimal and octal": model().replace("version: 1", "version: 0x1").replace("T_F", "T_F"),
    "a list of texts": model().replace('tags: "serve"', 'tags: ["serve"]'),
    "a list of messages": model().replace("dim { size: -1 }", "dim: [{ size: -1 }]"),
    "unknown fields": model().replace(
        "graph_def {",
        "other { a: \"}\" b: '{' # }\n c: [1, { d: 2 }] [x.y/z] { e: 3 } } graph_def {",
    ),
    "op before name": model(nodes=NODES.replace('name: "y" op: "Cast"', 'op: "Cast" name: "y"')),
    "no line breaks": model().replace("\n", " "),
    "attributes": model(
        nodes=NODES.replace('"Cast"', '"Cast" attr { key: "T" value { s: "}\\"\\\\" } }')
    ),
    "an odd attribute": model(nodes=NODES.replace('"Cast"', "\"Cast\" attr { key: '}' # }\n }")),
    "a large constant": model(
        nodes=NODES.replace(
            '"Cast"', '"Cast" attr { value { s: "' + r"\000\"\\" * 300_000 + '" } }'
        )
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_every_spelling_means_the_same(case):
    assert read(SPELLINGS[case]) == PLAIN


def test_many_nodes_across_many_buffers():
    nodes = "".join(
        f'node {{ name: "n{i}" op: "Op{i % 7}" attr {{ key: "{"k" * (i % 4000)}" }} }}\n'
        for i in range(3000)
    )
    (graph,) = read(model(nodes=NODES + nodes)).graphs
    assert graph.nodes == 3002
    assert sum(graph.ops.values()) == 3002
    assert graph.ops["Op3"] == 429


REFUSED = {
    "empty": ("", "no MetaGraph"),
    "binary": (b"\x08\x01\x12\x34", "name expected"),
    "truncated": (model()[:-20], "truncated"),
    "truncated in a string": (model()[: model().index("serve") + 2], "truncated"),
    "truncated in an escape": (model()[: model().index("serve")] + "\\", "truncated"),
    "a brace too many": (model() + "}", "name expected"),
    "a field twice": (model().replace("dtype:", "dtype: 3 dtype:"), "dtype is there twice"),
    "a graph twice": (model().replace("graph_def {", "graph_def {} graph_def {"), "twice"),
    "an input twice": (model(info=INFO + INFO), "'x' is there twice"),
    "two encodings": (model(INFO.replace('name: "x:0"', 'name: "x:0" coo_sparse {}')), "twice"),
    "angle brackets": (model().replace("meta_info_def {", "other { c < a: 1 > } meta_info_def {"), "angle"),
    "angle brackets for a message": (model().replace("{", "<").replace("}", ">"), "expected"),
    "a string over two lines": (model().replace("serve", "ser\nve"), "end of a line"),
    "a skipped string over two lines": (model() + 'other: "a\nb"', "end of a line"),
    "an unknown escape": (model().replace("serve", r"s\qrve"), "unknown escape"),
    "half a surrogate": (model().replace("serve", r"\ud800"), "no character"),
    "text that is not UTF-8": (model().replace("serve", r"\377"), "UTF-8"),
    "an unknown type": (model().replace("DT_FLOAT", "DT_NOPE"), "no enum"),
    "a type that is none": (model().replace("DT_FLOAT", "float"), "no enum"),
    "a number too large": (model().replace("size: -1", f"size: {1 << 63}"), "no int64"),
    "a size below -1": (model().replace("size: -1", "size: -2"), "size -2"),
    "no colon": (model().replace('tags: "', 'tags "'), "':' expected"),
    "no string": (model().replace('"serve"', "serve"), "a string expected"),
    "a list for one": (model().replace("version: 1", "version: [1]"), "no list"),
    "an endless name": (model().replace("serve", "s" * 20_000), "longer than"),
    "an endless word": ("a" * 100_000, "longer than"),
    "a variant as default": (
        model(INFO + ' defaults { key: "x" value { variant_val {} } }'), "no plain value",
    ),
    "messages 1,000 deep": (
        model(INFO.replace('name: "x:0"', "composite_tensor { components {" * 1000)), "nested deeper",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_model_is_refused_with_its_place(case):
    text, problem = REFUSED[case]
    with pytest.raises(MalformedModel, match=problem) as caught:
        read(text)
    assert caught.value.file == "saved_model.pbtxt"


HOSTILE = {
    "a million fields": "a:1 " * 1_000_000,
    "a million braces": model() + "a {" + "{}" * 5_000_000 + "}",
    "a million open braces": "a {" * 5_000_000,
    "a million strings": 'a: "' + '" "' * 3_000_000 + '"',
    "a million escaped quotes": 'a: "' + r"\"" * 5_000_000 + '"',
    "backslashes": "a: '" + "\\" * 10_000_000 + "'",
    "a million comments": "#\n" * 5_000_000,
    "blanks": " " * 30_000_000,
    "a million nodes": model(nodes='node { name: "a" op: "B" }' * 1_000_000),
    "a million odd nodes": model(nodes='node { op: "B" name: "a" }' * 300_000),
    "a million braces in nodes": model(
        nodes=('node { name: "a" op: "B" attr {} ' + "a{}" * 20_000 + "}\n") * 100
    ),
    "escapes in names": model().replace(
        'tags: "serve"', ('tags: "' + r"\x41" * 16_000 + '" ') * 100
    ),
    "escapes in default values": model(
        INFO + ' defaults { key: "x" value { tensor_content: "' + r"\000" * 600_000 + '" } }'
    ),
    "long default values": model(
        INFO
        + ' defaults { key: "x" value { string_val: "'
        + '" string_val: "'.join(["a" * 1_000_000] * 40)
        + '" } }'
    ),
    "lists of lists": "a: " + "[" * 3_000_000,
    "a long line of numbers": model(
        INFO + ' defaults { key: "x" value { int64_val: [' + "1," * 1_000_000 + "1] } }"
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_costs_no_more_than_a_second(case):
    """Some 0.6 s where nothing else runs; what is asserted leaves room for a busy machine."""
    data = HOSTILE[case].encode()
    start = time.process_time()
    with contextlib.suppress(MalformedModel):
        read(data)
    assert time.process_time() - start < 2.5


def test_a_warm_up_file_by_tensorflows_writer(readings):
    data = (readings / "tf_serving_warmup_requests").read_bytes()
    assert len(data) > 3_000_000
    found = read_warmup(BytesSource(data))
    assert (found.count, found.problem) == (5, "")
    assert found.requests == (
        WarmupRequests("Classify", "flowers", "serving_default", 1),
        WarmupRequests("MultiInference", "flowers", "a", 1),
        WarmupRequests("MultiInference", "flowers", "b", 1),
        WarmupRequests("Predict", "flowers", "wide", 3),
    )


def test_a_fingerprint_by_tensorflow(readings):
    truth = json.loads((readings / "truth.json").read_text())["fingerprint"]
    found = read_fingerprint((readings / "origin" / "module" / "fingerprint.pb").read_bytes())
    assert {name: getattr(found, name) for name in truth} == truth
    assert found.checkpoint_hash
