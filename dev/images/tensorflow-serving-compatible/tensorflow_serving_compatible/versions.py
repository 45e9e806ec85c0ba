"""Which folders are versions, and which of them a policy wants.

The rules of sources/storage_path/file_system_storage_path_source.cc, and the decision of
core/availability_preserving_policy.cc. Pure but for the listing in `poll`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tensorflow_serving_compatible.errors import invalid_argument

# absl::SimpleAtoi<int64_t>: ASCII space around, one sign, digits; leading zeros are fine.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*", re.ASCII)

Aspired = Mapping[str, Sequence[tuple[int, str]]]


def simple_atoi(text: str) -> int | None:
    """The int64 that a folder's name stands for, or None."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    value = int(match.group(1))
    return value if -(2**63) <= value < 2**63 else None


def index(names: Iterable[str]) -> dict[int, str]:
    """Version → folder. Of two names of one number the lexically last wins."""
    found = {}
    for name in sorted(names):
        number = simple_atoi(name)
        if number is not None:
            found[number] = name
    return found


def aspire(policy: Any, names: Sequence[str]) -> list[tuple[int, str]]:
    """The (version, folder) pairs that a ServableVersionPolicy wants of these folders."""
    choice = policy.WhichOneof("policy_choice")
    by_number = index(names)
    if choice == "all":
        numbers = ((simple_atoi(name), name) for name in sorted(names))
        return [(number, name) for number, name in numbers if number is not None]
    if choice == "specific":
        wanted = set(policy.specific.versions)
        if wanted and wanted <= {int(name) for name in names if _canonical(name)}:
            return [(number, str(number)) for number in policy.specific.versions]
        return [(number, name) for number, name in sorted(by_number.items()) if number in wanted]
    count = max(policy.latest.num_versions, 1)
    return [(number, by_number[number]) for number in sorted(by_number, reverse=True)[:count]]


def _canonical(name: str) -> bool:
    number = simple_atoi(name)
    return number is not None and str(number) == name


def poll(configs: Iterable[Any]) -> dict[str, list[tuple[int, str]]]:
    """Model name → wanted (version, path) of each ModelConfig.

    One base path that is missing fails the whole look, for all models, as in TensorFlow Serving.
    """
    wanted = {}
    for config in configs:
        base = config.base_path
        if not Path(base).exists():
            raise invalid_argument(
                f"Could not find base path {base} for servable {config.name} with error "
                f"NOT_FOUND: {base} not found"
            )
        names = [entry.name for entry in Path(base).iterdir()]
        wanted[config.name] = [
            (number, f"{base.rstrip('/')}/{name}")
            for number, name in aspire(config.model_version_policy, names)
        ]
    return wanted


State = Literal["new", "loading", "ready", "unloading", "error", "disabled"]


@dataclass(frozen=True)
class Snapshot:
    """One managed version, as the policy sees it."""

    version: int
    state: State
    aspired: bool


def next_action(versions: Sequence[Snapshot]) -> tuple[Literal["load", "unload"], int] | None:
    """AvailabilityPreservingPolicy: never unload the last ready version for a coming one."""
    has_aspired = any(entry.aspired for entry in versions)
    aspired_ready = any(entry.aspired and entry.state == "ready" for entry in versions)
    leaving = [v.version for v in versions if not v.aspired and v.state == "ready"]
    if leaving and (not has_aspired or aspired_ready or len(leaving) > 1):
        return "unload", min(leaving)
    new = [entry.version for entry in versions if entry.aspired and entry.state == "new"]
    return ("load", max(new)) if new else None
