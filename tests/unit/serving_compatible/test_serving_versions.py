"""Which folders are versions, which are wanted, and what happens to them next.

Vectors: sources/storage_path/file_system_storage_path_source_test.cc,
core/availability_preserving_policy_test.cc and absl's SimpleAtoi, on which the source relies.
"""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving_compatible import protos
from tensorflow_serving_compatible.errors import StatusError
from tensorflow_serving_compatible.versions import (
    Snapshot,
    aspire,
    index,
    next_action,
    poll,
    simple_atoi,
)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0", 0), ("42", 42), ("00017", 17), ("+5", 5), ("-5", -5), (" 5 ", 5), ("5\n", 5),
        ("9223372036854775807", 2**63 - 1), ("9223372036854775808", None), ("", None), (" ", None),
        ("v1", None), ("0.1", None), (".tmp-5", None), ("5.tmp", None), ("1_0", None),
        ("0x1", None), ("+", None), ("\u0663", None),
    ],
)  # fmt: skip
def test_simple_atoi(name, number):
    assert simple_atoi(name) == number


def policy(text):
    config = protos.model_server_config_pb2.ModelConfig()
    return text_format.Parse(text, config).model_version_policy


NAMES = ["non_numerical_child", "42", "33", "30", "21", "17"]


@pytest.mark.parametrize(
    ("rule", "names", "wanted"),
    [
        pytest.param("", ["non_numerical_child"], [], id="NoVersionsAtStartup"),
        pytest.param("", ["non_numerical_child", "42", "17"], [(42, "42")],
                     id="MultipleVersions"),
        pytest.param("all {}", ["non_numerical_child", "42", "17"], [(17, "17"), (42, "42")],
                     id="MultipleVersionsAtTheSameTime"),
        pytest.param("latest { num_versions: 3 }", NAMES, [(42, "42"), (33, "33"), (30, "30")],
                     id="NLatestVersions"),
        pytest.param("specific { versions: 17 versions: 30 }", NAMES, [(17, "17"), (30, "30")],
                     id="SpecificVersions"),
        pytest.param("specific { versions: 17 versions: 30 }",
                     [name.replace("17", "00017") for name in NAMES],
                     [(17, "00017"), (30, "30")], id="SpecificVersionsLeadingZeros"),
        pytest.param("specific {}", NAMES, [], id="SpecificVersionsEmpty"),
        pytest.param("specific { versions: 17 versions: 99 }", NAMES, [(17, "17")],
                     id="SpecificVersionsNotPresent"),
        # From the code: the lexically last of two names wins, `all` wants both, the fast path of
        # `specific` takes the canonical one.
        pytest.param("", ["1", "0001"], [(1, "1")], id="TwoNamesLatest"),
        pytest.param("all {}", ["1", "0001"], [(1, "0001"), (1, "1")], id="TwoNamesAll"),
        pytest.param("specific { versions: 1 }", ["1", "0001"], [(1, "1")], id="TwoNamesSpecific"),
    ],
)  # fmt: skip
def test_aspire(rule, names, wanted):
    assert aspire(policy(f"model_version_policy {{ {rule} }}"), names) == wanted


def test_index_takes_the_last_of_two_names():
    assert index(["1", "01", "2"]) == {1: "1", 2: "2"}


def test_poll_fails_for_all_when_one_base_path_is_missing(tmp_path):
    (tmp_path / "a" / "3").mkdir(parents=True)
    config = protos.model_server_config_pb2.ModelServerConfig().model_config_list.config
    config.add(name="a", base_path=str(tmp_path / "a"))
    assert poll(config) == {"a": [(3, f"{tmp_path}/a/3")]}
    config.add(name="b", base_path=str(tmp_path / "b"))
    with pytest.raises(StatusError) as caught:
        poll(config)
    assert caught.value.message == (
        f"Could not find base path {tmp_path}/b for servable b with error "
        f"NOT_FOUND: {tmp_path}/b not found"
    )


# availability_preserving_policy_test.cc, under its names. (version, state, aspired)
@pytest.mark.parametrize(
    ("versions", "action"),
    [
        pytest.param([(1, "ready", True), (2, "error", False), (3, "new", True),
                      (4, "unloading", False), (5, "ready", False)], ("unload", 5),
                     id="UnloadsFirstNonAspiredVersion"),
        pytest.param([(1, "ready", False), (2, "new", False), (3, "ready", False)],
                     ("unload", 1), id="UnloadsLowestWithoutAspired"),
        pytest.param([(1, "ready", False), (2, "new", True), (3, "new", True)], ("load", 3),
                     id="LoadsTheHighestNewAspired"),
        pytest.param([(1, "ready", False), (2, "loading", True)], None,
                     id="DoesNotUnloadWhenOtherNotReady"),
        pytest.param([(1, "ready", False), (2, "error", True)], None,
                     id="DoesNotUnloadWhenOtherInError"),
        pytest.param([(1, "ready", False), (2, "ready", True)], ("unload", 1),
                     id="UnloadsOnceTheAspiredIsReady"),
        pytest.param([(1, "ready", False), (2, "ready", False), (3, "new", True)],
                     ("unload", 1), id="UnloadsExcessNonAspired"),
        pytest.param([(1, "ready", True), (2, "ready", True)], None, id="NothingToDo"),
        pytest.param([], None, id="NoVersions"),
    ],
)  # fmt: skip
def test_next_action(versions, action):
    assert next_action([Snapshot(*entry) for entry in versions]) == action
