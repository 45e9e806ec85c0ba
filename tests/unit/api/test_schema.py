"""The CRD's schema is structural, complete in words, bounded, and says the same as the types."""

import copy

import msgspec
import pytest

from lab import generate
from savedmodel_operator.api import schema, types, words
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan import memory

ROOT = schema.build_root()

MINIMAL = {
    "source": {"uri": "s3://models/flowers", "secretRef": {"name": "savedmodel-storage"}},
    "serving": {"image": "tensorflow/serving:2.20.0"},
}


def walk(node, path):
    """Every sub-schema below `node` with its path."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}" if path else name)
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from walk(node["additionalProperties"], f"{path}.*")


NODES = dict(walk(ROOT, ""))


@pytest.mark.parametrize("path", NODES)
def test_every_node_is_structural_and_bounded(path):
    node = NODES[path]
    assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string"))
    assert not {"$ref", "$defs", "title", "oneOf", "pattern", "propertyNames"} & set(node)
    if node.get("type") == "string" and "enum" not in node and path not in {"apiVersion", "kind"}:
        assert "maxLength" in node
    if node.get("type") == "array":
        assert "maxItems" in node
        assert "x-kubernetes-list-type" in node
    if "additionalProperties" in node:
        assert "maxProperties" in node


@pytest.mark.parametrize("path", [p for p in NODES if p and not p.endswith(("[]", "*"))])
def test_every_field_has_a_meaning(path):
    assert path == "metadata" or len(NODES[path]["description"]) > 8


def test_words_and_list_types_speak_of_fields_that_exist():
    assert set(words.FIELD_WORDS) <= set(NODES)
    assert set(schema.LIST_TYPES) <= set(NODES)


def test_every_pattern_with_words_is_used():
    rules = " ".join(
        rule["rule"] for node in NODES.values() for rule in node.get("x-kubernetes-validations", ())
    )
    assert [p for p in words.PATTERN_WORDS if p not in rules] == []


def test_a_rule_on_a_text_with_a_pattern_is_not_evaluated_when_the_pattern_fails():
    shape, bounds = NODES["spec.source.pollInterval"]["x-kubernetes-validations"]
    assert bounds["rule"].startswith(f"!{shape['rule']} || (")


def fill(node, value):
    """`value` with the defaults of the schema, as the API server fills them in."""
    if isinstance(value, dict):
        value = dict(value)
        for name, inner in node.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                value[name] = fill(inner, value[name])
    if isinstance(value, list):
        value = [fill(node["items"], entry) for entry in value]
    return value


def test_defaults_of_the_schema_and_of_the_types_are_the_same():
    filled = fill(NODES["spec"], MINIMAL)
    assert filled["rollout"] == {
        "capacity": "Surge",
        "deadline": "30m",
        "scaleDownDelay": "30s",
    }
    assert filled["traffic"] == {"provider": "Router", "router": {"replicas": 2}}
    assert filled["serving"]["options"]["tags"] == ["serve"]
    assert "pod" not in filled["serving"]
    assert "replicas" not in filled["serving"]
    assert msgspec.convert(filled, types.Spec) == msgspec.convert(MINIMAL, types.Spec)


def test_the_status_is_there_from_create_on_for_kstatus():
    assert NODES["status"]["default"] == {"observedGeneration": -1}


WRITTEN = {
    "status.stable": memory.write_stable(memory.Stable(1, "sha256:a", "r", 1.0)),
    "status.candidate": memory.write_candidate(memory.Candidate(1, "sha256:a", "r", 1.0, 0, 2.0)),
    "status.rejected[]": memory.write_rejection(
        memory.Rejection(1, "sha256:a", "r", Reason.Rejected, Reason.PythonOps, "m", 1.0, "g")
    ),
    "status.history[]": memory.write_past(
        memory.Past(1, "sha256:a", "r", Reason.Promoted, "m", 1.0)
    ),
}


@pytest.mark.parametrize("path", WRITTEN)
def test_the_api_server_prunes_nothing_that_the_planner_remembers(path):
    assert set(WRITTEN[path]) <= set(NODES[path]["properties"])
    assert set(NODES[path]["required"]) <= set(WRITTEN[path])


def test_the_remembered_lists_fit_the_schema():
    assert NODES["status.rejected"]["maxItems"] == memory.KEPT
    assert NODES["status.history"]["maxItems"] == memory.KEPT


def test_an_unbounded_string_is_refused_by_the_generator():
    class Loose(types.Base, frozen=True):
        """Too open."""

        name: str

    with pytest.raises(schema.SchemaError, match=r"spec\.name: a string needs max_length"):
        schema._convert(msgspec.inspect.type_info(Loose), "spec")


def test_generated_files_follow_from_the_types():
    assert generate.stale(generate.ROOT) == []


def test_a_stale_or_missing_file_is_noticed_and_written(tmp_path):
    assert set(generate.stale(tmp_path)) == set(generate.generated())
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []
    with (tmp_path / "docs/reference.md").open("a") as page:
        page.write("by hand\n")
    assert generate.stale(tmp_path) == ["docs/reference.md"]


def test_the_crd_is_far_from_the_size_that_client_side_apply_refuses():
    assert len(generate.generated()["crds/savedmodeldeployments.yaml"]) < generate.LARGEST_CRD
