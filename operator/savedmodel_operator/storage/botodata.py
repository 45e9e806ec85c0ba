"""botocore's data files without what nobody reads here: 4 MiB of an operator's memory.

botocore keeps every data file it read: the endpoints of all AWS services (we use one) and S3's
model with its documentation. `s3` makes its session over this loader. It must not change a name,
a shape or a rule of the model.
"""

from __future__ import annotations

from typing import Any

from botocore.loaders import JSONFileLoader, Loader, create_loader

SERVICES = ("s3",)


class SlimFiles(JSONFileLoader):
    """Reads botocore's JSON files and drops the parts that are for people or other services."""

    def load_file(self, file_path: str) -> Any:
        """The content of a file, or None where there is none."""
        data = super().load_file(file_path)
        if isinstance(data, dict) and file_path.endswith("endpoints"):
            for partition in data.get("partitions", ()):
                services = partition.get("services", {})
                partition["services"] = {k: v for k, v in services.items() if k in SERVICES}
        return _without_documentation(data)


def slim_loader() -> Loader:
    """A loader for a botocore session's component `data_loader`."""
    loader = create_loader()
    loader.file_loader = SlimFiles()
    return loader


def _without_documentation(value: Any) -> Any:
    """`documentation` is text in the model of an operation, a shape or a member; it has to be
    there, if only empty. A member that is itself called so would be a mapping, and stays."""
    if isinstance(value, dict):
        return {
            key: ""
            if key == "documentation" and isinstance(below, str)
            else _without_documentation(below)
            for key, below in value.items()
        }
    if isinstance(value, list):
        return [_without_documentation(below) for below in value]
    return value
