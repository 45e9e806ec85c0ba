"""What a Prometheus answered to one query → its one number, or why there is none. Pure.

No word of a body is passed on, but the few error types of Prometheus' HTTP API: the body is a
tenant's server's. Neighbours: `observe.prometheus` asks, `queries` judges the number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from savedmodel_operator.analysis.queries import Answer

ERROR_TYPES = frozenset(
    {"timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found"}
)


def read(status: int, body: bytes) -> Answer:
    """HTTP status and body of /api/v1/query → the one number, or why there is none."""
    if 300 <= status < 400:
        return Answer(trouble=f"it redirects ({status}); write the address that it leads to")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping) or status != 200:
        kind = found.get("errorType") if isinstance(found, Mapping) else None
        known = f" ({kind})" if isinstance(kind, str) and kind in ERROR_TYPES else ""
        what = f"it answered {status}{known}" if status != 200 else "its answer is no JSON object"
        return Answer(trouble=what)
    data = found.get("data")
    if found.get("status") != "success" or not isinstance(data, Mapping):
        return Answer(trouble="it answered without success")
    return _number(data.get("resultType"), data.get("result"))


def _number(kind: Any, result: Any) -> Answer:
    if kind == "scalar":
        return _sample(result)
    if kind != "vector" or not isinstance(result, list):
        return Answer(trouble="the query gives no instant vector and no scalar")
    if not result:
        return Answer(trouble="no series matches it")
    if len(result) > 1:
        return Answer(trouble="it gives several series instead of one: use sum() or the like")
    return _sample(result[0].get("value") if isinstance(result[0], Mapping) else None)


def _sample(pair: Any) -> Answer:
    """[time, "number"], as Prometheus writes it."""
    try:
        at, text = pair
        value, when = float(str(text)), float(at)
    except (TypeError, ValueError, OverflowError):
        return Answer(trouble="it gives no number")
    return Answer(value, when) if math.isfinite(when) else Answer(trouble="it gives no time")
