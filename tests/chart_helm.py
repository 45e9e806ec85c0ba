"""The real helm on our chart, without a cluster. Shared by the unit and the API level."""

import subprocess
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "charts" / "savedmodel-operator"


class Refused(Exception):  # noqa: N818 - says what happened
    """Helm said no; the text is what it said."""


class Helm:
    """The real helm on our chart (or another), without a cluster."""

    def __init__(self, binary: Path, home: Path) -> None:
        self._binary = binary
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [self._binary, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def documents(self, values: dict, home: Path, chart: Path = CHART) -> list[dict]:
        """The manifests of `helm template` with these values, namespace `system`, release `r`."""
        return [d for d in yaml.safe_load_all(self._template(values, home, chart)) if d]

    def notes(self, values: dict, home: Path) -> str:
        """What a person reads after the installation."""
        path = _written(values, home)
        shown = self.run(
            *("install", "r", str(CHART), "--namespace", "system", "--values", str(path)),
            *("--dry-run=client",),
        )
        return shown.partition("NOTES:\n")[2]

    def _template(self, values: dict, home: Path, chart: Path) -> str:
        path = _written(values, home)
        return self.run("template", "r", str(chart), "--namespace", "system", "--values", str(path))


def _written(values: dict, home: Path) -> Path:
    path = home / "values.yaml"
    path.write_text(yaml.safe_dump({"image": {"repository": "example/operator"}, **values}))
    return path
