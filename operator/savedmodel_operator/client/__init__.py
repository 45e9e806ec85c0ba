"""A client of TensorFlow Serving: what a signature wants, and asking a served or a local model.

For the commands `run` and `openapi`. `surface`, `schemas`, `bodies` and `openapi` are pure rules of
the REST API; `arrays`, `tensor_proto` and `messages` turn values into tensors and protocol messages;
`rest`, `rpc` and `local` ask. numpy, protobuf, grpcio and TensorFlow belong to extras and are
imported only where they are needed. Nothing of the operator imports this room.
"""
