"""Reading SavedModels without TensorFlow: wire reader, variables index, facts, layout. Pure.

`read_graph_file` (binary or text) and `read_bundle_index` turn bytes into frozen facts, `extras`
reads what may lie beside, `check_layout` says whether a version is complete; `gate` judges the
facts. Nothing here opens a file or a connection: bytes come through `Source`.
"""

from savedmodel_operator.savedmodel.bundle import BundleEntry, BundleIndex, read_bundle_index
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.saved_model import (
    graph_file,
    read_graph_file,
    read_saved_model,
    read_saved_model_text,
)
from savedmodel_operator.savedmodel.wire import BytesSource, MalformedModel, Source

__all__ = [
    "BundleEntry",
    "BundleIndex",
    "BytesSource",
    "GraphFacts",
    "MalformedModel",
    "ModelFacts",
    "Signature",
    "Source",
    "TensorSpec",
    "graph_file",
    "read_bundle_index",
    "read_graph_file",
    "read_saved_model",
    "read_saved_model_text",
]
