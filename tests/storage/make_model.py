"""Writes one real SavedModel with variables and an asset: `make_model.py FOLDER`; its graph as text
beside it, FOLDER.pbtxt."""

import sys
from pathlib import Path

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


class Model(tf.Module):
    """y = x W, and a vocabulary file that the graph names."""

    def __init__(self, vocabulary: str) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.ones([4, 3]))
        self.vocabulary = tf.saved_model.Asset(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x @ self.weight}


words = Path(sys.argv[1]).with_suffix(".txt")
words.write_text("a\nb\n")
made = Model(str(words))
tf.saved_model.save(made, sys.argv[1], signatures={"serving_default": made.serve})

folder = Path(sys.argv[1])
proto = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
folder.with_suffix(".pbtxt").write_text(text_format.MessageToString(proto))
