"""`python -m warehouse.sandbox <fd>`: the zygote, which takes its orders on the socket <fd>."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Import what children need, and keep out what they must not have."""
    # DuckDB imports these when it meets a parameter: 2 s a query, and impossible where there is no file system left.
    # Without them it does as well; without numpy there are no threads of a numeric library at the fork either.
    sys.modules["pandas"] = sys.modules["numpy"] = None  # type: ignore[assignment]

    from warehouse.sandbox import worker

    worker.zygote(socket.socket(fileno=int(sys.argv[1])))


main()
