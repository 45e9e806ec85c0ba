"""Families of versions drawn at random: one to three changes at once, so that rows meet each other.

Neighbours: `variants` has the words, `families` lists them. The seed is in the family's name.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TypeAlias

from lab.matrix.variants import Family, In, Out, Shape, Variant, one

SEEDS = (1, 2, 3, 4)
MEMBERS = 12
"""Versions of a family: 12 × 12 pairs, of which some are the same version twice."""

_DTYPES = ("float32", "float64", "int32", "int64", "string", "bool")
_IN_SHAPES: tuple[Shape, ...] = ((-1,), (-1, 4), (-1, -1), None)
_OUT_SHAPES: tuple[Shape, ...] = ((-1,), (-1, 3), (5,))
_KEYS = ("a", "b", "c", "b_bytes")

Inputs: TypeAlias = dict[str, In]
Outputs: TypeAlias = dict[str, Out]


def _draw_input(rng: random.Random) -> In:
    default = rng.choice((None, None, 1.0, 2.0))
    shape = rng.choice(_IN_SHAPES)
    return In(rng.choice(_DTYPES), shape, default if shape == (-1,) else None)


def _draw_output(rng: random.Random) -> Out:
    return Out(rng.choice(_DTYPES), rng.choice(_OUT_SHAPES))


def _mutate(rng: random.Random, inputs: Inputs, outputs: Outputs) -> None:
    """One change in place: something added, removed, renamed, or another dtype or shape."""
    change = rng.choice(("add", "remove", "rename", "dtype", "shape"))
    into_inputs = rng.random() < 0.5
    side: Inputs | Outputs = inputs if into_inputs else outputs
    key = rng.choice(sorted(side))
    free = [k for k in _KEYS if k not in side]
    if change == "add" and free:
        if into_inputs:
            inputs[rng.choice(free)] = _draw_input(rng)
        else:
            outputs[rng.choice(free)] = _draw_output(rng)
    elif change == "remove" and len(side) > 1:
        del side[key]
    elif change == "rename" and free:
        new = rng.choice(free)
        if into_inputs:
            inputs[new] = inputs.pop(key)
        else:
            outputs[new] = outputs.pop(key)
    elif into_inputs:
        inputs[key] = _draw_input(rng)
    elif change == "shape":
        outputs[key] = replace(outputs[key], shape=rng.choice(_OUT_SHAPES))
    else:
        outputs[key] = replace(outputs[key], dtype=rng.choice(_DTYPES))


def _family(seed: int) -> Family:
    rng = random.Random(seed)
    inputs: Inputs = {"a": _draw_input(rng), "b": In()}
    outputs: Outputs = {"a": _draw_output(rng), "b": Out()}
    found: dict[str, Variant] = {}
    while len(found) < MEMBERS:
        chosen_in, chosen_out = dict(inputs), dict(outputs)
        for _ in range(rng.randint(0, 3)):
            _mutate(rng, chosen_in, chosen_out)
        name = f"m{len(found)}"
        variant = one(name, dict(sorted(chosen_in.items())), dict(sorted(chosen_out.items())))
        if variant.signatures not in [v.signatures for v in found.values()]:
            found[name] = variant
    return Family(f"mutants {seed}", f"one to three changes at once, seed {seed}",
                  tuple(found.values()))  # fmt: skip


FAMILIES = tuple(_family(seed) for seed in SEEDS)
