"""What a version may take: bytes, objects, time to load, time of the first request. Pure.

Sizes are known from the listing, before anything else is asked; times once a pod runs. A budget
that is left out limits nothing.
"""

from __future__ import annotations

from savedmodel_operator.api.golden import Budgets
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.scalars import seconds
from savedmodel_operator.gate.verdict import Verdict, rejected
from savedmodel_operator.workload.quantity import parse_quantity


def check_size(size: int, objects: int, budgets: Budgets | None) -> Verdict | None:
    """The refusal of a version that is too large, in bytes or number of objects."""
    if budgets is None:
        return None
    limit = parse_quantity(budgets.bytes)
    if limit is not None and size > limit:
        text = f"{size:,} bytes, gate.budgets.bytes allows {budgets.bytes} ({int(limit):,})"
    elif budgets.objects is not None and objects > budgets.objects:
        text = f"{objects:,} objects, gate.budgets.objects allows {budgets.objects:,}"
    else:
        return None
    return rejected(
        "size", Reason.SizeOverBudget, f"the version has {text}; export it smaller or raise that"
    )


def check_load_time(taken: float | None, budgets: Budgets | None) -> Verdict | None:
    """The refusal of a pod that loaded too slowly. None for `taken`: the kubelet did not say."""
    if budgets is None or budgets.load_time is None or taken is None:
        return None
    if taken <= seconds(budgets.load_time):
        return None
    return rejected(
        "budgets",
        Reason.TimeOverBudget,
        f"the model took {taken:.0f} s from the start of its container until it was ready, "
        f"gate.budgets.loadTime allows {budgets.load_time}",
    )


def check_first_request(taken: float, name: str, budgets: Budgets | None) -> Verdict | None:
    """The refusal of a pod whose first request took too long."""
    if budgets is None or budgets.first_request is None or taken <= seconds(budgets.first_request):
        return None
    return rejected(
        "budgets",
        Reason.TimeOverBudget,
        f"the first request (golden request {name}) took {taken:.3f} s, "
        f"gate.budgets.firstRequest allows {budgets.first_request}; export warm-up requests in "
        f"assets.extra/tf_serving_warmup_requests, or raise the budget",
    )
