"""The sample models: what each version computes, so that an answer proves which version gave it.

Neighbours: `models` builds them with TensorFlow from this table, `questions` asks and judges by it,
`uploads` brings them to the store. Pure data and arithmetic; must not import TensorFlow.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A computation. In each of them VERSION is a constant of the graph's weights."""

    #: Keras 3. measurements[n,4] → scores[n,3], best[n]
    FLOWERS = "flowers"
    #: FLOWERS without its output `best`: breaks clients that read it.
    FLOWERS_WITHOUT_BEST = "flowers-without-best"
    #: tf.Module. x[n] → y[n]
    CALC = "calc"
    #: CALC that takes integers: breaks clients that send floats.
    CALC_OF_INTEGERS = "calc-of-integers"
    #: CALC with a spoilt file for its table: passes every look from outside, and never loads.
    CALC_THAT_CRASHES = "calc-that-crashes"
    #: CALC that asserts x[0] mod 4 ≠ 0: answers most requests and refuses the others with 400.
    CALC_THAT_REFUSES = "calc-that-refuses"
    #: CALC whose table is damaged where x[0] mod 4 = 0: answers those requests with 500.
    CALC_THAT_FAILS = "calc-that-fails"
    #: CALC that is quick at first and takes longer with each answer, up to `TIRED` seconds.
    CALC_THAT_TIRES = "calc-that-tires"
    #: FLOWERS that refuses rows whose first measurement mod 4 = 0 with 400.
    FLOWERS_THAT_REFUSES = "flowers-that-refuses"
    #: FLOWERS that takes longer with each answer, up to `TIRED` seconds.
    FLOWERS_THAT_TIRES = "flowers-that-tires"
    #: tf.Module. data[n] (strings of any length) → size[n]: cheap at any size of the request.
    BLOB = "blob"


@dataclass(frozen=True)
class Sample:
    """One version of a model, as a directory."""

    kind: Kind
    number: int
    directory: str

    @property
    def key(self) -> str:
        """Its folder among all samples."""
        return f"{self.kind.value}/{self.directory}"


def sample(kind: Kind, number: int, *, padded: bool = False) -> Sample:
    """`padded`: the directory's name has eight digits, as TF Serving's own models have."""
    return Sample(kind, number, f"{number:08d}" if padded else str(number))


FLOWERS = (
    sample(Kind.FLOWERS, 1, padded=True),
    sample(Kind.FLOWERS, 2),
    sample(Kind.FLOWERS_WITHOUT_BEST, 3),
    sample(Kind.FLOWERS_THAT_REFUSES, 4),
    sample(Kind.FLOWERS_THAT_TIRES, 5),
)

CALC = (
    sample(Kind.CALC, 1),
    sample(Kind.CALC, 2),
    sample(Kind.CALC, 3),
    sample(Kind.CALC_OF_INTEGERS, 4),
    sample(Kind.CALC_THAT_CRASHES, 5),
)

REFUSING = sample(Kind.CALC_THAT_REFUSES, 6)
FAILING = sample(Kind.CALC_THAT_FAILS, 7)
#: Three of one kind: what was taken back once is not tried again under its number.
TIRING = tuple(sample(Kind.CALC_THAT_TIRES, number) for number in (8, 9, 10))
#: Well in itself, and above all others.
SOUND = sample(Kind.CALC, 11)

#: Seconds: what the answers of a version that tires take in the end, and how much longer than the
#: one before each of them takes until then.
TIRED, TIRES_BY = 0.5, 0.05

BLOB = (sample(Kind.BLOB, 1), sample(Kind.BLOB, 2))

ALL = (*FLOWERS, *CALC, REFUSING, FAILING, *TIRING, SOUND, *BLOB)


def flowers(measurements: list[float], version: int) -> tuple[list[float], int]:
    """(scores, best) of one row of four: score j is (j + 1) · mean + 10 · version + j.

    >>> flowers([4.0, 0.0, 4.0, 0.0], 2)
    ([22.0, 25.0, 28.0], 2)
    """
    mean = sum(measurements) / 4
    scores = [(j + 1) * mean + 10 * version + j for j in range(3)]
    return scores, scores.index(max(scores))


def calc(x: float, version: int) -> float:
    """y = 2 · x + version; an array of numbers will do, too."""
    return 2 * x + version


def blob(length: int, version: int) -> int:
    """size = 1000 · length in bytes + version."""
    return 1000 * length + version
