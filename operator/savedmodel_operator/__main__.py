"""`python -m savedmodel_operator`: the operator. Settings, logging, then `process`.

Exit codes: 0 stopped by a signal, 1 a part failed, 2 wrong settings or no API server.
"""

from __future__ import annotations

import asyncio
import os
import sys

from savedmodel_operator import logs, process, settings
from savedmodel_operator.cluster.connect import NoCluster


def main() -> int:
    """Runs one replica."""
    try:
        parsed = settings.parse(os.environ)
        logs.set_up(parsed.log_level, parsed.log_format)
        return asyncio.run(process.run(parsed))
    except (settings.SettingsError, NoCluster) as error:
        sys.stderr.write(f"savedmodel-operator: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
