"""A part of OpenStack Swift. Debian's own Python runs this file, for which its package `python3-swift` is.

swift_process.py rings FOLDER PORT PORT PORT           writes rings of one device and one replica
swift_process.py account|container|object|proxy FILE   serves as the file says
"""

from __future__ import annotations

import sys
from pathlib import Path

from swift.common import utils, wsgi
from swift.common.ring.builder import RingBuilder


def _write_rings(folder: Path, ports: list[int]) -> None:
    for kind, port in zip(("account", "container", "object"), ports, strict=True):
        builder = RingBuilder(2, 1, 1)
        builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1})
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def main() -> int:
    """The exit code."""
    task, where, *ports = sys.argv[1:]
    folder = Path(where) if task == "rings" else Path(where).parent
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.validate_hash_conf()
    if task == "rings":
        _write_rings(folder, [int(port) for port in ports])
        return 0
    return int(wsgi.run_wsgi(where, f"{task}-server"))


if __name__ == "__main__":
    sys.exit(main())
