"""A development stand-in for TensorFlow Serving: the real TensorFlow runtime behind its surface.

For development and tests only; `--version` says so. The README beside the package names what
deviates from TensorFlow Serving. Nothing here is used by the operator itself.
"""
