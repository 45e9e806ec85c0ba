"""docs/rollout.md names phases, reasons and verbs as the operator does, and leaves out none."""

from __future__ import annotations

import re
from pathlib import Path

from savedmodel_operator.api.action import Verb
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan import rollout

PAGE = (Path(__file__).resolve().parents[3] / "docs/rollout.md").read_text()


def section(title: str) -> list[list[str]]:
    """The cells of the rows of its table."""
    text = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]


def test_every_reason_is_one():
    names = set(Reason.__members__)
    for _, _, cell in section("What happens if …"):
        words = re.findall(r"\b[A-Z][a-z]+[A-Za-z]*\b", cell)
        unknown = [w for w in words if w not in names and w != "SourceReady" and w != "False"]
        assert not unknown, cell


def test_all_phases():
    crd = (Path(__file__).resolve().parents[3] / "crds/savedmodeldeployments.yaml").read_text()
    for phase, _ in section("Phases"):
        assert re.search(rf"\b{phase}\b", crd), phase
    assert len(section("Phases")) == 7


def test_all_verbs():
    named = set(re.findall(r"`([a-z-]+)`", " ".join(row[0] for row in section("Verbs"))))
    assert named == {verb.value for verb in Verb}


def test_what_the_rules_say_of_themselves_is_on_the_page():
    """Both lists answer "what happens if …": the file's and the page's."""
    asked = re.findall(r"^- … (.*?)(?:,|:)", rollout.__doc__ or "", re.MULTILINE)
    assert len(section("What happens if …")) >= len(asked) >= 8
