"""The search for planted secrets finds them in the forms in which they travel."""

import base64
import gzip
import json
from urllib.parse import quote

import pytest
from canary import Canary, unpacked

KEY = "k/ey+of the-tests=1"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "x", "xy"])
def test_inside_base64_wherever_it_stands(before, after):
    text = base64.b64encode(f"{before}{KEY}{after}".encode()).decode()
    assert Canary({"key": KEY}).look("secret:s", f"data: {text}")


@pytest.mark.parametrize("form", [KEY, KEY.encode().hex(), quote(KEY, safe="")])
def test_other_forms(form):
    (hit,) = Canary({"key": KEY}).look("logs:p", f"… {form} …")
    assert (hit.place, hit.secret) == ("logs:p", "key")


def test_what_is_not_there_is_not_found_and_counted():
    canary = Canary({"key": KEY})
    assert canary.look("logs:p", "k" * 2000) == []
    assert canary.told() == "2 kB of logs"


def test_locks_are_unpacked():
    packed = base64.b64encode(gzip.compress(KEY.encode())).decode()
    objects = json.loads(json.dumps({"items": [{"binaryData": {"lock": packed}}, {}]}))
    assert list(unpacked(objects)) == [KEY]
