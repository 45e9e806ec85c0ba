"""What a whole replica sets up before anything of it runs."""

import sys
from pathlib import Path

import pytest

from savedmodel_operator import process
from savedmodel_operator.cluster.connect import NoCluster
from savedmodel_operator.settings import parse


async def test_threads_that_read_buckets_let_the_event_loop_have_its_turn(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(before))
    empty = tmp_path / "kubeconfig"
    empty.write_text("apiVersion: v1\nkind: Config\n")
    required = ("OPERATOR_IMAGE", "ROUTER_IMAGE", "POD_NAMESPACE", "POD_NAME")
    settings = parse({**dict.fromkeys(required, "x"), "KUBECONFIG": str(empty)})
    with pytest.raises(NoCluster):
        await process.run(settings)
    assert sys.getswitchinterval() == pytest.approx(process.SWITCH_SECONDS)
