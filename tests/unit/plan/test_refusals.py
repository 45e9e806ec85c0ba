"""What a refusal rests on decides what lifts it: gate, files, revision or a person."""

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.memory import Memory, Rejection, bound_by
from savedmodel_operator.plan.target import Target, find_refusal

FINGERPRINT = "sha256:2"


def held(gate, revision="m-v2-aaaa"):
    entry = Rejection(
        2, FINGERPRINT, revision, Reason.Rejected, Reason.GoldenMismatch, "", 0.0, gate
    )
    return Memory(rejected=(entry,))


def target(revision="m-v2-aaaa", fingerprint=FINGERPRINT):
    return Target(2, fingerprint, revision, None, None)


STATIC, FILES, BUDGET, ROLLBACK = "g", bound_by("g", "f"), bound_by("g", ""), bound_by("g", None)

CASES = {
    "static": (STATIC, target(), "g", None, True),
    "static, another image": (STATIC, target("m-v2-bbbb"), "g", None, True),
    "static, other bytes": (STATIC, target(fingerprint="sha256:3"), "g", None, False),
    "static, changed gate": (STATIC, target(), "h", None, False),
    "static, changed files": (STATIC, target(), "g", "other", True),
    "golden": (FILES, target(), "g", "f", True),
    "golden, files not read yet": (FILES, target(), "g", None, True),
    "golden, changed files": (FILES, target(), "g", "other", False),
    "golden, changed gate": (FILES, target(), "h", "f", False),
    "golden, another image": (FILES, target("m-v2-bbbb"), "g", "f", False),
    "time budget": (BUDGET, target(), "g", None, True),
    "time budget, whatever the files": (BUDGET, target(), "g", "other", True),
    "time budget, changed gate": (BUDGET, target(), "h", None, False),
    "rollback": (ROLLBACK, target(), "h", "other", True),
    "rollback, another image": (ROLLBACK, target("m-v2-bbbb"), "g", None, False),
}


@pytest.mark.parametrize("name", CASES)
def test_what_lifts_a_refusal(name):
    gate, wanted, present, files, stays = CASES[name]
    assert (find_refusal(held(gate), wanted, present, files) is not None) == stays


def test_trying_again_forgets_this_revision_alone():
    other = held("g", "m-v3-cccc").rejected
    memory = Memory(rejected=(*held("g").rejected, *other))
    assert memory.try_again("m-v2-aaaa").rejected == other
    assert memory.try_again("m-v4-dddd") is memory
