"""The kept corpus of `dev/fuzz`, replayed: no reader raises, hangs or takes memory on any of it."""

from __future__ import annotations

import pytest

from lab.fuzz import CORPUS, MAX_KEPT
from lab.fuzz_targets import TARGETS, Cost, FindingError, measured
from savedmodel_operator.savedmodel import MalformedModel, ModelFacts

FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_every_kept_input_is_read_or_refused(target):
    cost = Cost()
    files = [path for path in FILES if path.parent.name == target]
    for path in files:
        measured(target, path.read_bytes(), cost)
    assert cost.runs == len(files) > 0
    assert cost.accepted > 0, "a corpus of refusals alone reaches little"


def test_the_corpus_is_small_and_has_only_known_targets():
    assert {path.parent.name for path in FILES} == set(TARGETS)
    assert max(path.stat().st_size for path in FILES) <= MAX_KEPT
    assert len(FILES) < 600


def test_a_finding_is_one():
    """The checks behind the targets do find what they look for."""

    def deceived(form: str, data: bytes, facts: ModelFacts) -> None:
        raise FindingError(f"{form} {facts.schema}")

    with pytest.raises(FindingError, match="binary 1"):
        measured("wire", (CORPUS / "wire" / "small").read_bytes(), Cost(), deceived)
    with pytest.raises(FindingError, match="binary 0"):
        measured("graph", b"", Cost(), deceived)


def test_findings_of_the_past():
    """What fuzzing found, as inputs that once broke a reader."""
    from savedmodel_operator.savedmodel import BytesSource, read_saved_model_text

    value_of = b'value { defaults { key: "x" value { float_val: %s } } }'
    info = b'meta_graphs { signature_def { key: "s" ' + value_of + b" } }"
    for value in (b"\xff", b"1__0", b"0x1", b"infx", b".", b"--1"):
        with pytest.raises(MalformedModel):
            read_saved_model_text(BytesSource(info % value))
    for value in (b"1", b"-1.5e3f", b".5", b"5.", b"INF", b"-nan", b"infinity"):
        read_saved_model_text(BytesSource(info % value))
