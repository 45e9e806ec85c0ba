"""The real helm on our chart, without a cluster. Shared by the unit and the API level."""

import json
import subprocess
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "charts" / "savedmodel-operator"


class Refused(Exception):
    """Helm said no; the text is what it said."""


class Helm:
    """The real helm on our chart (or another), with `home` as the place for its files."""

    def __init__(self, binary: Path, home: Path) -> None:
        self._binary = binary
        self._home = home
        self._rendered: dict[tuple[str, ...], str] = {}

    def run(self, *words: str) -> str:
        """The stdout of a helm command. Raises Refused."""
        done = subprocess.run(
            [self._binary, *words],
            env={"HOME": str(self._home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def documents(
        self, values: dict, chart: Path = CHART, release: str = "r", namespace: str = "system"
    ) -> list[dict]:
        """The manifests of `helm template` with these values; the same question costs once."""
        key = (json.dumps(values), str(chart), release, namespace)
        if key not in self._rendered:
            where = ("--namespace", namespace, "--values", self._written(values))
            self._rendered[key] = self.run("template", release, str(chart), *where)
        return [document for document in yaml.safe_load_all(self._rendered[key]) if document]

    def notes(self, values: dict) -> str:
        """What a person reads after the installation."""
        where = ("--namespace", "system", "--values", self._written(values))
        shown = self.run("install", "r", str(CHART), *where, "--dry-run=client")
        return shown.partition("NOTES:\n")[2]

    def _written(self, values: dict) -> str:
        """A file with these values, and an image, which every rendering needs."""
        path = self._home / "values.yaml"
        path.write_text(yaml.safe_dump({"image": {"repository": "example/operator"}, **values}))
        return str(path)
