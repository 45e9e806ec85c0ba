"""docs/cli.md shows what the commands print: each example is run on real models and compared.

Sizes and hashes differ between two saves of one model; they and the spaces around them are not
compared.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from savedmodel_operator.cli.__main__ import main

DOCS = Path(__file__).resolve().parents[3] / "docs"
EXAMPLE = re.compile(r"```console\n\$ savedmodel (.*?); echo \$\?\n(.*?)\n(\d+)\n```", re.DOTALL)
EXAMPLES = EXAMPLE.findall((DOCS / "cli.md").read_text())


@pytest.fixture(scope="module")
def folder(zoo, tmp_path_factory) -> Path:
    """What the examples are about."""
    folder = tmp_path_factory.mktemp("page")
    for number, name in (("6", "two_signatures"), ("7", "module")):
        shutil.copytree(zoo.folder / name, folder / "models/flowers" / number)
    manifest = (DOCS / "examples/canary.yaml").read_text()
    (folder / "smd.yaml").write_text(manifest)
    (folder / "wrong.yaml").write_text(manifest.replace("pollInterval", "pollinterval"))
    return folder


def same_in_every_save(text: str) -> str:
    """Without sizes and hashes."""
    text = re.sub(r"\d+(\.\d+)? (B|KiB|bytes)\b|\d{18,}", "N", text)
    return "\n".join(re.sub(" +", " ", line).rstrip() for line in text.splitlines())


def test_there_are_examples_of_every_command():
    assert {example[0].split()[0] for example in EXAMPLES} == {"inspect", "diff", "check", "lint"}
    assert {example[2] for example in EXAMPLES} == {"0", "1", "4"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0])
def test_the_example_is_what_is_printed(folder, example, monkeypatch):
    command, shown, code = example
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, command.split())
    assert same_in_every_save(result.output.rstrip()) == same_in_every_save(shown)
    assert result.exit_code == int(code)
