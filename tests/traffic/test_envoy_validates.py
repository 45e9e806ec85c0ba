"""The real Envoy takes every route table that we build: the kept corpus of `dev/fuzz envoy`."""

from __future__ import annotations

import json

import pytest

from lab.fuzz import CORPUS
from lab.fuzz_envoy import check, validate, whole_bootstrap
from lab.fuzz_operator import read_route_plan
from savedmodel_operator.workload.envoy import Backend, Place, RoutePlan

KEPT = {path.name: read_route_plan(path.read_bytes()) for path in (CORPUS / "envoy").iterdir()}
ROUTES = {name: route for name, route in sorted(KEPT.items()) if route is not None}
MOST = 8
"""Envoys started: each takes a quarter of a second."""


@pytest.mark.parametrize("name", list(ROUTES)[:MOST])
def test_kept_route_tables(name):
    check(ROUTES[name])


def test_names_of_the_greatest_length():
    name, model = "n" * 33, "M" + "m._-" * 31 + "mmm"
    first, second = (f"{name}-v{(1 << 63) - 1 - at}-{at:08x}" for at in (0, 1))
    backends = (Backend(first, (1 << 63) - 1, 99), Backend(second, (1 << 63) - 2, 1))
    header = "!#$%&*+.^_|~-" + "h" * 51
    check(RoutePlan(name, "n" * 63, model, backends, first, second, None, header))


def test_envoy_does_refuse(tmp_path):
    """A table that names a cluster that is not there is found by the same question."""
    backend = Backend("shop-v1-00000000", 1, 100)
    route = RoutePlan("shop", "shop", "shop", (backend,), backend.revision)
    bootstrap = whole_bootstrap(route, Place(str(tmp_path), "127.0.0.1", str(tmp_path / "admin")))
    clusters = bootstrap["static_resources"]["clusters"]
    clusters[:] = [found for found in clusters if not found["name"].endswith("/grpc")]
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(bootstrap))
    assert "unknown" in validate(path)
