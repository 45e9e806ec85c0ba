"""The verdict matrix: what the gate says of two versions, beside what a client of the one meets
when it calls the other.

`variants` has the models as data, `families` the lists of them, `make` writes them as SavedModels
(in a process of its own, with TensorFlow), `ask` is a client built from a signature, `read` reads
answers as that client would, `serve` runs the TensorFlow Serving-compatible server over all of
them, `judge` sets verdicts beside outcomes, `explain` knows why some refusals were not needed, and
`page` writes docs/compatibility.md: `dev/python -m lab.matrix`.
"""
