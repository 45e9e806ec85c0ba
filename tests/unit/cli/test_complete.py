"""What kubectl's plugin completion and the shells are told, without a cluster."""

from __future__ import annotations

import subprocess
import sys

import pytest

from savedmodel_operator.cli.__main__ import COMMANDS
from savedmodel_operator.cli.__main__ import main as savedmodel
from savedmodel_operator.cli.complete import Line


def answer(*words):
    *lines, directive = Line(savedmodel, list(words)).answer().splitlines()
    return [tuple(line.split("\t")) for line in lines], directive


def test_all_commands_with_their_help():
    found, directive = answer("")
    assert [name for name, _ in found] == sorted(COMMANDS)
    assert dict(found)["abort"] == "Take the candidate back."
    assert directive == ":4"


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("pr",), ["promote"]),
        (("promote", "--f"), ["--full"]),
        (("status", "-o", "js"), ["json"]),
    ],
)
def test_what_fits(words, values):
    found, directive = answer(*words)
    assert [value for value, *_ in found] == values
    assert directive == ":4"


def test_files_are_left_to_the_shell():
    assert answer("lint", "")[1] == ":0"


def test_without_a_cluster_nothing_is_offered_and_nothing_said(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert answer("status", "") == ([], ":4")


def test_the_plugin_as_kubectl_starts_it():
    words = [sys.executable, "-m", "savedmodel_operator.cli.complete", "sta"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "status\tShow what serves, is tried, and was refused.\n:4\n"
    assert done.stderr == ""
