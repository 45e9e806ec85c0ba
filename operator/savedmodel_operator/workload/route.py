"""What the routers shall do, in the planner's words: backends and weights. Pure data.

`envoy` turns it into Envoy's files. A route that breaks a rule cannot be built, so that no plan
can write one.
"""

from __future__ import annotations

from dataclasses import dataclass

TOTAL = 100


@dataclass(frozen=True)
class Backend:
    """One revision behind the router.

    `weight` is percent. Weight 0 keeps the cluster (warm, health-checked) and its version paths.
    `addresses` replaces the DNS name of the revision's Service: hosts or literal addresses.
    """

    revision: str
    number: int
    weight: int
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mirror:
    """Copies of `percent` percent of the requests by weight go to this revision, which has none."""

    revision: str
    percent: int


@dataclass(frozen=True)
class RoutePlan:
    """The whole route table of one object.

    No backends, or no weight on any, means 503 with a sentence for calls without a version.
    `sticky`: the header by whose value requests are dealt out; without it each by chance.
    Raises ValueError unless the weights sum to 100 or 0, for doubled revisions, and for copies to a
    revision that is not a backend or has requests of its own.
    """

    name: str
    namespace: str
    model_name: str
    backends: tuple[Backend, ...] = ()
    stable: str | None = None
    canary: str | None = None
    mirror: Mirror | None = None
    sticky: str | None = None

    def __post_init__(self) -> None:
        weights = [b.weight for b in self.backends]
        if any(w < 0 for w in weights) or sum(weights) not in (0, TOTAL):
            raise ValueError(f"weights must sum to {TOTAL} or 0, not {weights}")
        if len({b.revision for b in self.backends}) != len(weights):
            raise ValueError("a revision appears twice")
        if self.mirror is not None:
            copied = self.find(self.mirror.revision)
            if copied is None or copied.weight or not 1 <= self.mirror.percent <= TOTAL:
                raise ValueError(f"{self.mirror} needs a backend without weight and 1 to {TOTAL} %")

    @property
    def ordered(self) -> tuple[Backend, ...]:
        """The candidate first, so that a hashed client stays inside as its share grows."""
        return tuple(sorted(self.backends, key=lambda b: b.revision != self.canary))

    @property
    def weighted(self) -> tuple[Backend, ...]:
        """Backends that take calls without a version, in order; empty for 503."""
        return self.ordered if any(b.weight for b in self.backends) else ()

    @property
    def primary(self) -> Backend | None:
        """Who answers unversioned status and metadata: stable, else the heaviest with weight."""
        return self.find(self.stable) or max(self.weighted, key=lambda b: b.weight, default=None)

    @property
    def numbers(self) -> dict[int, Backend]:
        """Who answers for a version number.

        Two revisions of one number differ in how they serve, or in their bytes where the version
        was overwritten: stable wins, then the greater weight, so that a client that asks for the
        number meets what is untried last.
        """
        ranked = sorted(self.ordered, key=lambda b: (b.revision == self.stable, b.weight))
        return {b.number: b for b in ranked}

    @property
    def labels(self) -> dict[str, Backend | None]:
        """Who answers for a version label."""
        return {"stable": self.find(self.stable), "canary": self.find(self.canary)}

    def find(self, revision: str | None) -> Backend | None:
        """The backend of a revision."""
        return next((b for b in self.backends if b.revision == revision), None)
