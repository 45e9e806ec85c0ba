"""Metrics and the three addresses, asked over HTTP; log lines."""

import json
import logging

import aiohttp
import pytest

from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.logs import JSONLines, TextLines
from savedmodel_operator.telemetry import STUCK_SECONDS, HealthServer, Telemetry

META = Meta("flowers", "shop", "u", 1, "1")
OBJECT = 'namespace="shop"'


def status(phase, *, stable=None, candidate=None, weight=0):
    found = {"phase": phase}
    if stable:
        found["stable"] = {"number": stable, "revision": f"r{stable}", "weight": 100 - weight}
    if candidate:
        found["candidate"] = {"number": candidate, "revision": f"r{candidate}", "weight": weight}
    return found


@pytest.fixture
async def served():
    """(telemetry, problems, get): a running server whose problems the test sets."""
    telemetry, problems = Telemetry("1.2.3"), {"alive": [], "ready": []}
    server = HealthServer(telemetry, lambda: problems["alive"], lambda: problems["ready"])
    port = await server.start("127.0.0.1", 0)

    async with aiohttp.ClientSession() as session:

        async def get(path):
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        yield telemetry, problems, get
    await server.stop()


async def test_health_and_readiness_say_what_is_wrong(served):
    _, problems, get = served
    assert await get("/healthz") == (200, "ok\n")
    assert await get("/readyz") == (200, "ok\n")
    problems["ready"] = ["pods in shop not listed yet", "x"]
    assert await get("/readyz") == (500, "pods in shop not listed yet\nx\n")
    assert (await get("/healthz"))[0] == 200
    problems["alive"] = ["a watch is silent"]
    assert await get("/healthz") == (500, "a watch is silent\n")
    assert (await get("/nothing"))[0] == 404


async def test_an_object_has_one_state_and_takes_its_series_along(served):
    telemetry, _, get = served
    telemetry.shows(META, status("Serving", stable=1), [])
    telemetry.shows(META, status("Progressing", stable=1, candidate=2, weight=25), [])
    telemetry.looked(("shop", "flowers"), Reason.SourceReady)
    telemetry.leads(True)
    _, text = await get("/metrics")
    lines = [line for line in text.splitlines() if OBJECT in line and "_created" not in line]
    ratio = "savedmodel_version_weight_ratio"
    name = 'name="flowers",namespace="shop"'
    assert [line for line in lines if line.startswith("savedmodel_info")] == [
        f'savedmodel_info{{candidate="r2",{name},phase="Progressing",stable="r1"}} 1.0'
    ]
    assert f'{ratio}{{{name},role="stable",version="1"}} 0.75' in lines
    assert f'{ratio}{{{name},role="candidate",version="2"}} 0.25' in lines
    assert "savedmodel_leader 1.0" in text
    assert 'savedmodel_operator_info{version="1.2.3"} 1.0' in text
    telemetry.shows(META, status("Serving", stable=2), [Reason.Promoted, Reason.GatePassed])
    _, text = await get("/metrics")
    assert f'savedmodel_rollouts_total{{{name},result="promoted"}} 1.0' in text
    assert f'savedmodel_gate_checks_total{{{name},result="passed"}} 1.0' in text
    assert 'role="candidate"' not in text
    telemetry.forget(("shop", "flowers"))
    _, text = await get("/metrics")
    assert OBJECT not in text
    telemetry.forget(("shop", "flowers"))


async def test_requests_and_cycles_are_counted(served):
    telemetry, _, get = served
    telemetry.counted("create", "deployments.apps", 201)
    telemetry.counted("create", "deployments.apps", 201)
    telemetry.cycle_began(("shop", "flowers"), 0.0)
    telemetry.cycle_failed(("shop", "flowers"), "Unavailable")
    assert telemetry.stuck(STUCK_SECONDS) == []
    assert telemetry.stuck(STUCK_SECONDS + 1) == [
        "the cycle of shop/flowers has been running for 601 s"
    ]
    telemetry.cycle_ended(("shop", "flowers"), 0.02)
    assert telemetry.stuck(STUCK_SECONDS + 1) == []
    _, text = await get("/metrics")
    created = 'code="201",resource="deployments.apps",verb="create"'
    assert f"savedmodel_api_requests_total{{{created}}} 2.0" in text
    assert 'savedmodel_reconcile_errors_total{error="Unavailable"} 1.0' in text
    assert "savedmodel_reconcile_duration_seconds_count 1.0" in text
    assert "process_resident_memory_bytes" in text


def record(message, fields=None, error=None):
    found = logging.makeLogRecord(
        {"name": "x", "levelname": "INFO", "msg": message, "created": 1.5, "msecs": 500.0}
    )
    if fields:
        found.fields = fields
    if error:
        found.exc_info = (type(error), error, error.__traceback__)
    return found


FIELDS = {"namespace": "shop", "weight": 25, "candidate": None, "actions": ["create a", "b"]}


def test_text_lines_are_sentence_and_fields():
    line = TextLines().format(record("all is well", FIELDS))
    assert line == (
        '1970-01-01T00:00:01.500Z INFO all is well namespace=shop weight=25 actions="create a,b"'
    )


def test_what_others_wrote_forges_no_line_and_steers_no_terminal():
    line = TextLines().format(record("'a\nb \x1b[2J ü'", {"reason": "c\r\nd"}))
    assert line == r"1970-01-01T00:00:01.500Z INFO 'a\nb \x1b[2J ü' reason=c\r\nd"


def test_json_lines_are_objects():
    entry = json.loads(JSONLines().format(record("all is well", FIELDS, ValueError("v"))))
    assert entry["message"] == "all is well"
    assert entry["namespace"] == "shop"
    assert entry["actions"] == ["create a", "b"]
    assert "ValueError: v" in entry["stack"]
