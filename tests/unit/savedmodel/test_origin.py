"""Every exporter is recognised, in models that it really made."""

from __future__ import annotations

import pytest

from savedmodel_operator.savedmodel import BytesSource, GraphFacts, read_saved_model
from savedmodel_operator.savedmodel.origin import in_folder
from unit.savedmodel.wire_builder import message, node, servable, text

ORIGINS = {
    "keras3_export": "Keras 3 export",
    "keras3_export_subclassed": "Keras 3 export",
    "keras3_export_no_weights": "Keras 3 export",
    "keras3_archive": "Keras 3 export",
    "keras3_tf_save": "tf.saved_model.save of a Keras 3 model",
    "keras3_tf_save_subclassed": "tf.saved_model.save of a Keras 3 model",
    "keras2_save": "Keras 2 save",
    "keras2_save_subclassed": "Keras 2 save",
    "keras2_tf_save": "tf.saved_model.save of a Keras 2 model",
    "keras2_export": "Keras 2 export",
    "module": "tf.Module save",
    "module_around_keras3": "tf.Module save",
    "module_around_keras2": "tf.Module save",
    "checkpoint": "tf.train.Checkpoint save",
    "tf1_builder": "TF1 builder",
    "estimator": "Estimator export",
}


def read(data: bytes) -> GraphFacts:
    return read_saved_model(BytesSource(data)).graphs[0]


@pytest.mark.parametrize("name", ORIGINS)
def test_exporters_are_named(readings, name):
    folder = readings / "origin" / name
    graph = read((folder / "saved_model.pb").read_bytes())
    assert in_folder(graph.origin, [path.name for path in folder.iterdir()]) == ORIGINS[name]


def test_all_that_were_made_are_named(readings):
    assert {path.name for path in (readings / "origin").iterdir()} == ORIGINS.keys()


def test_what_tensorflow_did_not_write_has_no_origin():
    assert read(servable()).origin == ""


def test_ops_that_the_producers_list_leaves_out():
    listed = message(2, message(1, text(1, "Cast"), message(4, text(1, "SrcT"))))
    graph = read(message(2, message(1, listed), message(2, node("a", "Cast"), node("b", "Gone"))))
    assert graph.declared == {"Cast": ("SrcT",)}
    assert graph.undeclared == ("Gone",)
