"""The chart's roles, the code's needs and the page say the same, right by right."""

from pathlib import Path

import pytest

from chart_rights import DENIED, LEASE, RIGHTS, allowed, page_of_allowed, page_of_denied, rows_of
from savedmodel_operator.cluster import kinds

PAGE = Path(__file__).resolve().parents[3] / "docs" / "permissions.md"
ROLE = "ClusterRole/r-savedmodel-operator"


def test_the_roles_are_the_table(render):
    objects = render({})
    assert rows_of(objects[ROLE]["rules"]) == allowed()
    assert rows_of(objects[f"Role/{LEASE}-lease"]["rules"]) == allowed(home=True)
    roles = [key for key in objects if key.startswith(("Role/", "ClusterRole/"))]
    assert sorted(roles) == sorted([ROLE, f"Role/{LEASE}-lease"])


def test_in_namespaces_the_same_rights(render):
    objects = render({"watchNamespaces": ["a", "b"]})
    for place in ("a", "b"):
        assert rows_of(objects[f"Role/{place}/{LEASE}"]["rules"]) == allowed()
    assert not [key for key in objects if key.startswith("ClusterRole")]


def test_nothing_denied_is_allowed_and_the_table_is_long_enough():
    rows = [row[:3] for row in DENIED]
    assert len(rows) == len(set(rows)) >= 30
    assert not {*allowed(), *allowed(home=True)} & set(rows)


def test_every_kind_of_the_code_is_read_and_every_right_has_a_kind():
    """What the code watches it lists and watches; what stands here the code knows."""
    known = {}
    for kind in kinds.BY_NAME.values():
        group = kind.api_version.rpartition("/")[0]
        known[f"{group}/{kind.plural}"] = kind
    verbs = {}
    for right in RIGHTS:
        verbs.setdefault(right.resource, set()).update(right.verbs)
    for kind in kinds.CHILDREN:
        group = kind.api_version.rpartition("/")[0]
        assert {"list", "watch", "patch"} <= verbs[f"{group}/{kind.plural}"]
    plain = {resource for resource in verbs if resource.count("/") == 1}
    assert plain == set(known)


@pytest.mark.parametrize("table", [page_of_allowed, page_of_denied])
def test_the_page_has_the_tables(table):
    assert table() in PAGE.read_text(), f"docs/permissions.md should have:\n{table()}"
