"""Sets the gate's verdict beside what really happens, for all pairs of versions of each family.

Neighbours: `families` has the versions, `made` their folders, `ask` and `read` are the client,
`serve` the server. The client is built from version A; requests that fail on A itself are no
client's. B is called with the rest: one complaint is a break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lab.matrix.ask import Request, requests
from lab.matrix.read import Answer, complaint, counts
from lab.matrix.variants import Family
from savedmodel_operator.api.types import Compatibility, Gate
from savedmodel_operator.gate import examine
from savedmodel_operator.gate.finding import CLIENTS
from savedmodel_operator.savedmodel import BytesSource, ModelFacts, Signature, read_saved_model

TAGS = ("serve",)

Ask = Callable[[Path, Request], Answer]


@dataclass(frozen=True)
class Said:
    """The gate's answer for one kind of client: rows of the table, or checks, that refuse; rows
    that do not; the sentence."""

    refused: bool
    rows: tuple[str, ...]
    harmless: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Cell:
    """One pair and one kind of client. `complaint` is the first that the client had, "" where all
    went well; `sent` counts its requests, 0 where version A has no such client."""

    family: str
    old: str
    new: str
    client: str
    sent: int
    said: Said
    complaint: str

    @property
    def outcome(self) -> str:
        """no client, or the word for what the gate said and whether it was so."""
        if not self.sent:
            return "no client"
        right = self.said.refused == bool(self.complaint)
        said = "break" if self.said.refused else "compatible"
        return f"{'true' if right else 'false'} {said}"


def judge(families: Sequence[Family], root: Path, ask: Ask) -> list[Cell]:
    """Every cell of the matrix. `root` has FAMILY/VERSION/1."""
    remembered: dict[tuple[Path, str, str, bytes], Answer] = {}

    def answer(version: Path, request: Request) -> Answer:
        key = (version, request.client.removesuffix("Row").removesuffix("Column"), request.call,
               request.body)  # fmt: skip
        if key not in remembered:
            remembered[key] = ask(version, request)
        return remembered[key]

    return [cell for family in families for cell in _family(family, root, answer)]


def read_facts(version: Path) -> ModelFacts:
    """What the operator reads of it."""
    return read_saved_model(BytesSource((version / "1" / "saved_model.pb").read_bytes()))


def _family(family: Family, root: Path, ask: Ask) -> list[Cell]:
    folders = {name: root / family.name / name for name in family.members}
    facts = {name: read_facts(folder) for name, folder in folders.items()}
    cells = []
    for old, read in facts.items():
        signatures = _signatures(read)
        clients = _clients(signatures, folders[old], ask)
        for new, candidate in facts.items():
            for client in CLIENTS:
                said = verdict(read, candidate, client)
                found = _try(clients[client], signatures, folders[new], ask)
                sent = len(clients[client].requests)
                cells.append(Cell(family.name, old, new, client, sent, said, found))
    return cells


def _signatures(facts: ModelFacts) -> Mapping[str, Signature]:
    graph = facts.graph(TAGS)
    return graph.signatures if graph else {}


@dataclass(frozen=True)
class Client:
    """What a client of one kind sends, and the outputs per signature that it knows to be one row
    for each row sent."""

    requests: tuple[Request, ...]
    per_row: dict[str, frozenset[str]]


def _clients(signatures: Mapping[str, Signature], folder: Path, ask: Ask) -> dict[str, Client]:
    """The clients of a version: what it sends and the version itself serves."""
    good: dict[str, list[tuple[Request, Answer]]] = {client: [] for client in CLIENTS}
    for request in requests(signatures):
        answer = ask(folder, request)
        if complaint(request, signatures[request.signature], answer) is None:
            good[request.client].append((request, answer))
    return {
        client: Client(tuple(request for request, _ in pairs), _per_row(signatures, pairs))
        for client, pairs in good.items()
    }


def _per_row(
    signatures: Mapping[str, Signature], pairs: Sequence[tuple[Request, Answer]]
) -> dict[str, frozenset[str]]:
    """Outputs of any size that had as many rows as were sent, in every answer."""
    found = {}
    for key, signature in signatures.items():
        names = {k for k, t in signature.outputs.items() if t.shape is None or t.shape[:1] == (-1,)}
        for request, answer in pairs:
            if request.signature == key and request.batch is not None:
                rows = counts(request, answer)
                names -= {k for k in request.reads if rows.get(k) != request.batch}
        found[key] = frozenset(names)
    return found


def _try(client: Client, signatures: Mapping[str, Signature], folder: Path, ask: Ask) -> str:
    """The first complaint of A's client about B."""
    for request in client.requests:
        signature, per_row = signatures[request.signature], client.per_row[request.signature]
        found = complaint(request, signature, ask(folder, request), per_row)
        if found is not None:
            return found
    return ""


def verdict(old: ModelFacts, new: ModelFacts, client: str) -> Said:
    """What the gate says where only this kind of client is to be protected."""
    compatibility = msgspec.convert({"clients": [client]}, Compatibility)
    examined = examine(new, old, Gate(compatibility=compatibility), TAGS)
    rows = sorted({f.row or f.check for f in examined.findings if f.breaks})
    harmless = sorted({f.row for f in examined.findings if f.row and not f.breaks})
    refused = examined.verdict.rejected
    return Said(refused, tuple(rows), tuple(harmless), examined.verdict.message)
