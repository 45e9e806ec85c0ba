"""Reading SavedModels without TensorFlow: wire reader, variables index, facts, layout. Pure.

`read_saved_model` and `read_bundle_index` turn bytes into frozen facts, `check_layout` says whether
a version is complete; `gate` judges the facts. Nothing here opens a file or a connection: bytes
come through `Source`.
"""

from savedmodel_operator.savedmodel.bundle import BundleEntry, BundleIndex, read_bundle_index
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.saved_model import read_saved_model
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
    "read_bundle_index",
    "read_saved_model",
]
