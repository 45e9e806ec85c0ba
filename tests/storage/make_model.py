"""Writes one real SavedModel with variables and an asset: `make_model.py FOLDER`."""

import sys
from pathlib import Path

import tensorflow as tf


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
