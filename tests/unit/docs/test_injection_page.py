"""The page names every fault of the proxy before the API server, and no other."""

import re
from pathlib import Path
from typing import get_args

from lab.injection import faults

PAGE = Path(__file__).resolve().parents[3] / "docs/injection.md"


def test_the_faults_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)\(", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(kind.__name__ for kind in get_args(faults.Fault))
