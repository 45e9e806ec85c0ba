"""TensorFlow Serving's own assertions against the serving-compatible server and against our table.

Each vector is played three times: its own input on the development server's code; the table's
verdict on our pair of signatures of the same row; and an old client on that pair.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from tensorflow_serving_compatible import predict
from tensorflow_serving_compatible.errors import StatusError

from savedmodel_operator.gate import compare
from savedmodel_operator.gate.finding import CLIENTS
from savedmodel_operator.gate.table import TABLE
from unit.gate.compatibility_cases import CASES
from unit.gate.old_client import RefusedError, calls, definition, outcome
from unit.gate.serving_replay import Vector
from unit.gate.serving_vectors import DERIVED, IMPOSSIBLE, VECTORS

DEFAULT = "serving_default"
PAIRS = defaultdict(list)
for case in CASES:
    PAIRS[case[0]].append(case)


def name(vector: Vector) -> str:
    return f"{vector.file.rpartition('/')[2]}-{vector.test}-{vector.says[:24]}"


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_the_serving_compatible_server_does_what_the_vector_says(vector):
    refused = vector.words is not None and "the client" not in vector.words
    if not refused:
        vector.replay()
        return
    with pytest.raises((StatusError, RefusedError)) as caught:
        vector.replay()
    assert vector.words in str(caught.value)


ANCHORS = [
    pytest.param(vector, row, client, id=f"{row}-{client}-{name(vector)}")
    for vector in VECTORS
    for row, clients in vector.rows.items()
    for client in clients
]


@pytest.mark.parametrize(("vector", "row", "client"), ANCHORS)
def test_the_table_says_what_the_vector_says(vector, row, client):
    effect = TABLE[row].effects[client]
    if vector.words is None:
        assert effect != "would break"
    else:
        assert effect.breaks
    for _, old, new, *_ in PAIRS[row]:
        found = [f for f in compare(old, new) if f.row == row]
        assert found
        assert all(f.effects[client] == effect and f.source for f in found)


@pytest.mark.parametrize(("vector", "row", "client"), ANCHORS)
def test_an_old_client_meets_what_the_vector_says(vector, row, client):
    """Refused: some call that worked fails with these very words. Accepted: some call goes on."""
    met = [met for _, old, new, *_ in PAIRS[row] for met in play(old, new, client)]
    assert met
    if vector.words is None:
        assert None in met
    else:
        assert any(vector.words in words for words in met if words)


def play(old, new, client):
    """What becomes of every call that worked, whatever the kernels take."""
    key = next((key for key in old if key not in new), DEFAULT)
    if key not in new:
        try:
            predict.find_signature({name: definition(s) for name, s in new.items()}, key)
        except StatusError as error:
            return [str(error)]
    return [
        outcome(call, old[key], new[key], strict=False)
        for call in calls(old[key], client)
        if outcome(call, old[key], old[key], strict=True) is None
    ]


@pytest.mark.parametrize(("row", "client"), sorted(IMPOSSIBLE))
def test_clients_that_never_were(row, client):
    assert TABLE[row].effects[client] == "ok"
    assert all(not play(old, new, client) for _, old, new, *_ in PAIRS[row])


def test_every_row_rests_on_a_vector_for_every_client():
    anchored = {(row, c) for vector in VECTORS for row, cs in vector.rows.items() for c in cs}
    known = anchored | DERIVED.keys() | IMPOSSIBLE
    assert known == {(row, client) for row in TABLE for client in CLIENTS}
    assert not anchored & (DERIVED.keys() | IMPOSSIBLE)
