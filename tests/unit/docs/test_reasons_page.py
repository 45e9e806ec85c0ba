"""The troubleshooting page has one paragraph for each reason, and for nothing else."""

import re
from pathlib import Path

import pytest

from savedmodel_operator.api.action import Verb
from savedmodel_operator.api.reasons import Reason

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "reasons.md").read_text()
SECTIONS = {
    title: text.strip()
    for title, text in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


def test_every_reason_stands_there_in_the_order_of_the_enum():
    assert list(SECTIONS) == [reason.value for reason in Reason]


@pytest.mark.parametrize("title", SECTIONS)
def test_a_paragraph_says_something(title):
    text = SECTIONS[title]
    assert "\n\n" not in text, "one paragraph"
    assert len(text) >= 45
    assert text.endswith((".", "`.")), "whole sentences"


def test_links_within_the_page_lead_somewhere():
    anchors = {title.lower() for title in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links
    assert set(links) <= anchors


FIELDS = set(re.findall(r"^\| \**`([^`]+)`", (DOCS / "reference.md").read_text(), re.M))


@pytest.mark.parametrize("field", sorted(set(re.findall(r"`((?:spec|status)\.[\w.]+)`", PAGE))))
def test_fields_that_it_names_exist(field):
    assert field in FIELDS


@pytest.mark.parametrize("text", sorted(set(re.findall(r"savedmodel\.dev/action=(\w+)", PAGE))))
def test_actions_that_it_names_exist(text):
    assert text in {verb.value for verb in Verb}
