"""All that one pod of a candidate is asked: who it is, the golden requests, agreement with stable.

    status, metadata ─► load time ─► golden requests (the first one timed) ─► the same to stable

The requests also warm the pod up. Sent one after the other, each bounded in time and size; the
answers are judged by `gate`, in a thread, because a large one takes a while to compare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

from savedmodel_operator.api import names
from savedmodel_operator.api.types import seconds
from savedmodel_operator.gate import Verdict, check_live
from savedmodel_operator.gate.budgets import check_first_request, check_load_time
from savedmodel_operator.gate.golden import choose_verb, judge_agreement, judge_golden
from savedmodel_operator.gate.golden_file import Golden, MalformedGolden, digest, read_golden
from savedmodel_operator.gate.verdict import errored, passed
from savedmodel_operator.observe.golden import GoldenError, GoldenReader
from savedmodel_operator.observe.live import Target
from savedmodel_operator.observe.pods import PodClient, Reply
from savedmodel_operator.savedmodel.facts import Signature
from savedmodel_operator.workload.revision import RevisionRecord

LONGEST_ANSWER = 30.0
"""Seconds for a golden request: what TensorFlow Serving itself gives a REST request by default."""

REMEMBERED = 4096
"""Processes of which it is known that they answered a request: all candidates of a large operator."""


@dataclass(frozen=True)
class Exchange:
    """A golden request and the candidate's answer. `taken`: seconds."""

    golden: Golden
    signature: Signature
    reply: Reply
    taken: float


class CandidateCheck:
    """Asks pods. Raises nothing for what servers, files or models do."""

    def __init__(
        self, pods: PodClient, files: GoldenReader, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._pods = pods
        self._files = files
        self._clock = clock
        self._answered: dict[str, None] = {}

    async def check(self, target: Target) -> Verdict:
        """The verdict on one pod; `files` in it where the gate's own wishes were judged."""
        verdict = await self._identity(target)
        if not verdict.passed:
            return verdict
        slow = check_load_time(target.loaded, target.question.gate.budgets)
        if slow is not None:
            return replace(slow, files="")
        if not target.question.gate.requests:
            return verdict
        return await self._try_requests(target, verdict)

    async def _identity(self, target: Target) -> Verdict:
        """What the server says about the exact version, judged by the gate."""
        record, question = target.record, target.question
        base = _url(target.ip, question.model_name, record.number)
        status, metadata = await asyncio.gather(
            self._pods.get(base), self._pods.get(f"{base}/metadata")
        )
        return await asyncio.to_thread(
            check_live,
            record.facts,
            question.model_name,
            record.number,
            status,
            metadata,
            question.tags,
        )

    async def _try_requests(self, target: Target, before: Verdict) -> Verdict:
        requests = target.question.gate.requests
        try:
            files = await self._files.read(target.namespace, requests)
            by_name = dict(files)
            goldens = [await asyncio.to_thread(read_golden, r, by_name[r.name]) for r in requests]
        except GoldenError as error:
            return errored("golden", error.message)
        except MalformedGolden as error:
            return errored("golden", str(error))
        verdict = await self._judge(target, goldens)
        if verdict.passed:
            verdict = passed("live", f"{before.message}; {verdict.message}")
        return replace(verdict, files=digest(files))

    async def _judge(self, target: Target, goldens: list[Golden]) -> Verdict:
        exchanges = []
        for golden in goldens:
            exchange = await self._send(target, golden)
            if isinstance(exchange, Verdict):
                return exchange
            verdict = await asyncio.to_thread(
                judge_golden, golden, exchange.signature, exchange.reply
            )
            if not verdict.passed:
                return verdict
            late = self._first(target, exchange)
            if late is not None:
                return late
            exchanges.append(exchange)
        return await self._agree(target, exchanges)

    async def _send(self, target: Target, golden: Golden) -> Exchange | Verdict:
        signature = _signature(target.record, target.question.tags, golden)
        if isinstance(signature, Verdict):
            return signature
        began = self._clock()
        reply = await self._post(target, target.ip, target.record, golden, signature)
        return Exchange(golden, signature, reply, self._clock() - began)

    async def _post(
        self, target: Target, ip: str, record: RevisionRecord, golden: Golden, signature: Signature
    ) -> Reply:
        budgets = target.question.gate.budgets
        wanted = budgets.first_request if budgets is not None else None
        patience = max(LONGEST_ANSWER, 2 * seconds(wanted) if wanted else 0.0)
        url = _url(ip, target.question.model_name, record.number)
        verb = choose_verb(golden, signature)
        return await self._pods.post(f"{url}:{verb}", golden.body, patience)

    def _first(self, target: Target, exchange: Exchange) -> Verdict | None:
        """The budget of the first request that a process answered; later ones find it warm."""
        if target.process in self._answered:
            return None
        self._answered[target.process] = None
        while len(self._answered) > REMEMBERED:
            del self._answered[next(iter(self._answered))]
        budgets = target.question.gate.budgets
        return check_first_request(exchange.taken, exchange.golden.name, budgets)

    async def _agree(self, target: Target, exchanges: list[Exchange]) -> Verdict:
        """The same requests to stable, where there is one to agree with."""
        count = len(exchanges)
        text = f"{count} golden {'request' if count == 1 else 'requests'} answered as expected"
        gate = target.question.gate
        if gate.agreement is None or target.question.stable is None:
            return passed("golden", text)
        if target.stable is None:
            return errored("agreement", "stable has no ready pod to compare the candidate with")
        asked = gate.agreement.requests or [e.golden.name for e in exchanges]
        for exchange in [e for e in exchanges if e.golden.name in asked]:
            signature = _signature(target.stable[1], target.question.tags, exchange.golden)
            if isinstance(signature, Verdict):
                return signature
            theirs = await self._post(target, *target.stable, exchange.golden, signature)
            verdict = await asyncio.to_thread(
                judge_agreement,
                exchange.golden,
                gate.agreement,
                (exchange.signature, signature),
                (exchange.reply, theirs),
            )
            if not verdict.passed:
                return verdict
        return passed("agreement", f"{text}, in agreement with stable")


def _signature(
    record: RevisionRecord, tags: tuple[str, ...], golden: Golden
) -> Signature | Verdict:
    """The signature that a request calls; Errored where the revision has none that fits."""
    wanted = golden.request.signature
    found = next((s[wanted] for s in _signatures(record, tags) if wanted in s), None)
    field = f"gate.requests[{golden.name}].signature"
    if found is None:
        return errored(
            "golden", f"{field}: version {record.number} has no signature {wanted}; correct it"
        )
    if choose_verb(golden, found) is None:
        return errored(
            "golden",
            f"{field}: the file sends examples and {wanted} of version {record.number} is neither "
            f"classify nor regress; send instances or inputs",
        )
    return found


def _signatures(record: RevisionRecord, tags: tuple[str, ...]) -> Iterator[Mapping[str, Signature]]:
    """Those under the tags first; stable may have been started with others."""
    graph = record.facts.graph(tags)
    if graph is not None:
        yield graph.signatures
    yield from (g.signatures for g in record.facts.graphs if g is not graph)


def _url(ip: str, model: str, number: int) -> str:
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{names.PORT_REST}/v1/models/{model}/versions/{number}"
