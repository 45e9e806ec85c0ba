"""Names from a bucket: what is a version, what may become a path, what identifies bytes."""

from __future__ import annotations

import pytest

from savedmodel_operator.storage.versions import (
    IGNORED_NAMES_KEPT,
    fingerprint,
    key_fault,
    parse_number,
    printable,
    sort_directories,
    tree_fault,
)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0", 0),
        ("1", 1),
        ("42", 42),
        ("00000123", 123),
        ("0" * 200 + "7", 7),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1 ", None),
        ("1\n", None),
        ("", None),
        ("1.0", None),
        ("1e3", None),
        ("0x1", None),
        ("1_000", None),
        ("v1", None),
        (".tmp-5", None),
        ("5.tmp", None),
        ("٣", None),
        ("１", None),  # a full-width digit
        ("²", None),
        ("9" * 300, None),
    ],
)
def test_numbers(name: str, number: int | None):
    assert parse_number(name) == number


def test_newest_first_and_doubles_apart():
    found = sort_directories(["1", "10", "007", "9", "09", "x", "10"])
    assert [(d.number, d.name) for d in found.versions] == [(10, "10"), (7, "007"), (1, "1")]
    assert found.ambiguous == ((9, ("09", "9")),)
    assert found.ignored == ("x",)


def test_ignored_names_are_bounded_and_printable():
    found = sort_directories([f"bad\n{n}" * 50 for n in range(100)])
    assert (len(found.ignored), found.ignored_count) == (IGNORED_NAMES_KEPT, 100)
    assert all(len(name) <= 65 and name.isprintable() for name in found.ignored)


def test_printable_replaces_control_characters():
    assert printable("a\x00b\x1b[31m") == "a?b?[31m"


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("saved_model.pb", None),
        ("variables/variables.data-00000-of-00001", None),
        ("assets/sp ace %2e%2e ü+&=#?~.txt", None),
        ("assets/..hidden", None),
        ("assets/...", None),
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("../evil", "“..”"),
        ("a/../b", "“..”"),
        ("a/..", "“..”"),
        ("./a", "“.”"),
        ("a//b", "empty path segment"),
        ("a/", "empty path segment"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\\..\\b", "backslash"),
        ("x" * 2048, "2048 bytes"),
        ("ü" * 600, "1200 bytes"),
        ("a/" + "x" * 256, "255 bytes"),
        ("/".join("a" * 33), "33 deep"),
        ("a\ud800", "UTF-8"),
    ],
)
def test_keys(key: str, word: str | None):
    fault = key_fault(key)
    assert fault is None if word is None else fault is not None and word in fault


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        (["a", "b/c"], None),
        (["a", "a/b"], "file and a folder"),
        (["a/b/c/d", "a/b"], "file and a folder"),
        (["a", "a"], "twice"),
        (["ok", "../x"], "“..”"),
    ],
)
def test_trees(keys: list[str], word: str | None):
    fault = tree_fault(keys)
    assert fault is None if word is None else fault is not None and word in fault


ONE = [("a", 1, "e1"), ("b", 2, "e2")]


def test_a_fingerprint_ignores_the_order():
    assert fingerprint(ONE) == fingerprint(reversed(ONE))
    assert fingerprint(ONE).startswith("sha256:")
    assert len(fingerprint(ONE)) == 71


@pytest.mark.parametrize(
    "other",
    [
        [],
        [("a", 1, "e1")],
        [("a", 1, "e1"), ("b", 3, "e2")],
        [("a", 1, "e1"), ("b", 2, "e3")],
        [("a", 1, "e1"), ("c", 2, "e2")],
        [('a",1,"e1"]\n["b', 2, "e2")],
    ],
)
def test_a_fingerprint_knows_every_part(other: list[tuple[str, int, str]]):
    assert fingerprint(other) != fingerprint(ONE)
