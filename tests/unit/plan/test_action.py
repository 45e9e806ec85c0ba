"""The action annotation: what is understood, what is refused and with which words."""

from __future__ import annotations

import pytest

from savedmodel_operator.api import action
from savedmodel_operator.api.action import Action, Verb

REVISION = "shop-v42-1a2b3c4d"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("abort", Action(Verb.Abort)),
        ("  abort  ", Action(Verb.Abort)),
        ("promote v42", Action(Verb.Promote, "v42")),
        ("promote v42-1a2b3c4d 1 #x9", Action(Verb.Promote, "v42-1a2b3c4d", 1)),
        (f"promote-full {REVISION}", Action(Verb.PromoteFull, "v42-1a2b3c4d")),
        ("retry #again", Action(Verb.Retry)),
        ("promote 2", Action(Verb.Promote, None, 2)),
    ],
)
def test_understood(text: str, parsed: Action) -> None:
    assert action.parse(text) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promot", "'promot' is no action; use one of promote, promote-full, abort, retry"),
        ("Abort", "is no action"),
        ("abort now", "'now' is neither an identity (v42 or v42-1a2b3c4d), a step nor a #nonce"),
        ("promote 1 2", "'2' is neither"),
        ("promote v1 v2", "'v2' is neither"),
        ("abort " + "#" * 300, "at most 256 characters"),
        ("   ", "must be one of"),
        ("promote ٣", "is neither"),
        ("\x1b[2Jabort", r"'\x1b[2Jabort' is no action"),
        ("abort \x07", r"'\x07' is neither"),
    ],
)
def test_refused(text: str, words: str) -> None:
    answer = action.parse(text)
    assert isinstance(answer, str)
    assert words in answer


@pytest.mark.parametrize(
    ("identity", "same"),
    [("v42", True), ("v42-1a2b3c4d", True), ("v4", False), ("v2", False), ("v42-00000000", False)],
)
def test_identity_means_revision(identity: str, same: bool) -> None:
    assert action.names(identity, REVISION) is same


def test_a_name_that_looks_like_a_version_is_not_one() -> None:
    assert not action.names("v7", "m-v7-v42-1a2b3c4d")
