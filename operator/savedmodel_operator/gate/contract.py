"""`spec.gate.signatures`: what the user says that every version must offer. Pure.

A contract is read from the callers' side. Inputs: whatever it allows must be accepted, so -1
(callers send any size) needs a model that takes any size, and an input that it does not name must
have a default. Outputs: the model may promise more than it asks for, never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import SignatureContract, TensorContract
from savedmodel_operator.gate.finding import Finding, Severity
from savedmodel_operator.gate.verdict import listed, short
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

METHODS = {
    "Predict": "tensorflow/serving/predict",
    "Classify": "tensorflow/serving/classify",
    "Regress": "tensorflow/serving/regress",
}


def find_breaches(contract: SignatureContract, signature: Signature) -> Iterator[Finding]:
    """One finding for each thing in which the signature falls short of the contract."""
    name = short(contract.name)
    if signature.method != METHODS[contract.method]:
        yield _breach(
            f"{name}.method",
            f"is {short(signature.method) or 'empty'}, gate.signatures asks for "
            f"{contract.method} ({METHODS[contract.method]})",
            "export it so or change the method",
        )
    yield from _inputs(f"{name}.inputs", contract.inputs, signature.inputs)
    for key, wanted in contract.outputs.items():
        tensor = signature.outputs.get(key)
        path = f"{name}.outputs.{short(key)}"
        if tensor is None:
            yield _missing(path, wanted, signature.outputs)
        else:
            yield from _tensor(path, wanted, tensor, is_input=False)


def _inputs(
    path: str, contract: Mapping[str, TensorContract], inputs: Mapping[str, TensorSpec]
) -> Iterator[Finding]:
    for key, wanted in contract.items():
        tensor = inputs.get(key)
        if tensor is None:
            yield _missing(f"{path}.{short(key)}", wanted, inputs)
        else:
            yield from _tensor(f"{path}.{short(key)}", wanted, tensor, is_input=True)
    for key, tensor in inputs.items():
        if contract and key not in contract and not tensor.has_default:
            yield _breach(
                f"{path}.{short(key)}",
                f"({tensor}) is required by the model and not named in gate.signatures: callers "
                f"that keep to it would be refused",
                "give the input a default or add it there",
            )


def _breach(path: str, fact: str, advice: str = "") -> Finding:
    return Finding(
        "contract",
        Severity.Break,
        path,
        fact,
        advice=advice,
        source="gate.signatures",
        reason=Reason.SignatureContract,
    )


def _missing(path: str, wanted: TensorContract, there: Mapping[str, TensorSpec]) -> Finding:
    return _breach(
        path,
        f"({_shown(wanted)}) is asked for by gate.signatures and is not there; "
        f"the signature has {listed(sorted(there))}",
    )


def _tensor(
    path: str, wanted: TensorContract, tensor: TensorSpec, *, is_input: bool
) -> Iterator[Finding]:
    if tensor.kind != "Dense":
        asked = f"gate.signatures asks for a dense {_shown(wanted)} tensor"
        yield _breach(path, f"is {tensor.kind}, {asked}")
        return
    if python_name(tensor.dtype) != wanted.dtype:
        have = python_name(tensor.dtype)
        yield _breach(f"{path}.dtype", f"is {have}, gate.signatures asks for {wanted.dtype}")
    if wanted.shape is not None and not _fits(wanted.shape, tensor.shape, is_input=is_input):
        have = "unknown rank" if tensor.shape is None else _list(tensor.shape)
        yield _breach(
            f"{path}.shape",
            f"is {have}, gate.signatures asks for {_list(wanted.shape)}",
            "export it so, or change the contract (-1: any size; no shape: any)",
        )


def _fits(wanted: tuple[int, ...], have: tuple[int, ...] | None, *, is_input: bool) -> bool:
    """An input must accept all that is asked for, an output must promise it."""
    if have is None:
        return is_input
    if len(have) != len(wanted):
        return False
    free = have if is_input else wanted
    return all(f < 0 or h == w for f, h, w in zip(free, have, wanted, strict=True))


def _shown(wanted: TensorContract) -> str:
    return wanted.dtype if wanted.shape is None else f"{wanted.dtype} {_list(wanted.shape)}"


def _list(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
