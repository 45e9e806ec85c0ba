"""What wrote a SavedModel, in the words of people: "Keras 3 export". Pure.

`saved_model` hands in the root of the object graph and what it saw of the graph. The name is for
reading (an input called `keras_tensor_6` makes sense once one knows who chose it) and for the
remedies that `gate` prints; no verdict hangs on it. Nothing in the file says it outright: the
marks below are attributes that each exporter leaves on the root object, seen in models made with
TensorFlow 2.21, Keras 3.15 and tf_keras 2.21, and a test makes one model with each of them.

Field numbers: SavedObjectGraph {1 nodes}, SavedObject {1 children {2 local_name}, 4 user_object
{1 identifier}}; the first node is the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from savedmodel_operator.savedmodel.facts import Signature
from savedmodel_operator.savedmodel.wire import LEN, Field, Window

KERAS3_EXPORT = "Keras 3 export"
KERAS3_SAVE = "tf.saved_model.save of a Keras 3 model"
KERAS2_EXPORT = "Keras 2 export"
KERAS2_SAVE = "Keras 2 save"
KERAS2_TF_SAVE = "tf.saved_model.save of a Keras 2 model"
MODULE = "tf.Module save"
CHECKPOINT = "tf.train.Checkpoint save"
TENSORFLOW_2 = "tf.saved_model.save"
TF1_BUILDER = "TF1 builder"
ESTIMATOR = "Estimator export"

GLOBAL_STEP = b"global_step"
"""The node that every Estimator puts into the graph it exports."""

_ARCHIVE = frozenset({"_misc_assets", "trainable_variables", "non_trainable_variables"})
"""`ExportArchive` of Keras 2 and 3, which `model.export` uses, puts these on the saved object."""

_ARCHIVE_2 = "_endpoint_names"
"""In Keras 2 the archive is itself what gets saved, with all its attributes."""

_LAYER_3 = frozenset({"_inbound_nodes", "_outbound_nodes"})
"""Every Keras 3 layer and model has them; Keras 2 hides its own from saving."""

_COUNTER = "save_counter"

_MARKS = _ARCHIVE | _LAYER_3 | {_ARCHIVE_2, _COUNTER}

_ESTIMATOR_KEYS = frozenset({"predict", "classification", "regression"})
"""Signature keys of `tf.estimator.export`'s heads beside serving_default."""

_ESTIMATOR_INPUT = "input_example_tensor:0"
"""The placeholder of `build_parsing_serving_input_receiver_fn`."""


@dataclass
class Root:
    """The root of the object graph: `marks` are the attributes that tell exporters apart."""

    identifier: str = ""
    marks: set[str] = field(default_factory=set)


def read_root(window: Window, objects: Field) -> Root:
    """The first node of a SavedObjectGraph; the others are not looked at."""
    root = Root()
    first = next((f for f in window.fields(objects.start, objects.end) if f.number == 1), None)
    if first is None:
        return root
    window.expect(first, LEN, "an object")
    for part in window.fields(first.start, first.end):
        if part.number == 1:
            child = _text(window, window.expect(part, LEN, "children"), 2)
            root.marks |= _MARKS & {child}
        elif part.number == 4:
            root.identifier = _text(window, window.expect(part, LEN, "user_object"), 1)
    return root


def _text(window: Window, message: Field, number: int) -> str:
    text = ""
    for part in window.fields(message.start, message.end):
        if part.number == number:
            text = window.text(window.expect(part, LEN, "a name"), "a name")
    return text


def name_origin(
    root: Root | None, signatures: Mapping[str, Signature], found: Iterable[bytes], tensorflow: str
) -> str:
    """The name of what wrote a MetaGraph, "" for what TensorFlow did not write.

    root: None where the MetaGraph has no object graph, as before TensorFlow 2.
    found: those of the wanted nodes that the graph has, `GLOBAL_STEP` among them or not.
    """
    if root is not None:
        return _of_root(root)
    if GLOBAL_STEP in found and (_ESTIMATOR_KEYS & signatures.keys() or _parses(signatures)):
        return ESTIMATOR
    return TF1_BUILDER if tensorflow else ""


def in_folder(origin: str, listing: Iterable[str]) -> str:
    """The name with what the folder adds: only Keras 2's own `save` writes keras_metadata.pb.

    >>> in_folder("Keras 2 save", ["saved_model.pb"])
    'tf.saved_model.save of a Keras 2 model'
    """
    if origin == KERAS2_SAVE and "keras_metadata.pb" not in listing:
        return KERAS2_TF_SAVE
    return origin


def _of_root(root: Root) -> str:
    if root.marks >= _ARCHIVE:
        return KERAS2_EXPORT if _ARCHIVE_2 in root.marks else KERAS3_EXPORT
    if root.identifier.startswith("_tf_keras_"):
        return KERAS2_SAVE
    if root.marks >= _LAYER_3:
        return KERAS3_SAVE
    if _COUNTER in root.marks:
        return CHECKPOINT
    return MODULE if root.identifier == "_generic_user_object" else TENSORFLOW_2


def _parses(signatures: Mapping[str, Signature]) -> bool:
    return any(
        tensor.name == _ESTIMATOR_INPUT for s in signatures.values() for tensor in s.inputs.values()
    )
