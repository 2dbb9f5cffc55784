"""Each kind of fault and what does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tests.faults import process_faults, record_faults, server_faults, site_faults, store_faults
from tests.faults.plan import KINDS, Fault
from tests.faults.scene import Scene

Doing: TypeAlias = Callable[[Scene, Fault], Awaitable[None]]

DOINGS: Final[dict[str, Doing]] = {
    "kill": process_faults.kill,
    "kill_in_job": process_faults.kill_in_job,
    "kill_in_upload": process_faults.kill_in_upload,
    "kill_both": process_faults.kill,
    "pause": process_faults.pause,
    "pause_past_lease": process_faults.pause,
    "pause_in_job": process_faults.pause_in_job,
    "pause_in_publish": process_faults.pause_in_publish,
    "stop": process_faults.stop,
    "stop_in_job": process_faults.stop_in_job,
    "stop_twice": process_faults.stop_twice,
    "hang_child": process_faults.hang_child,
    "clock_jump": process_faults.clock_jump,
    "disk_full": process_faults.disk_full,
    "broker_restart": server_faults.broker_restart,
    "broker_kill": server_faults.broker_kill,
    "rebalance_storm": server_faults.rebalance_storm,
    "dead_letters_refused": server_faults.dead_letters_refused,
    "records_again": record_faults.records_again,
    "status_records_again": record_faults.status_records_again,
    "database_restart": server_faults.database_restart,
    "connections_ended": server_faults.connections_ended,
    **{f"broker_{how}": server_faults.broker_cut for how in ("down", "silent", "slow", "reset")},
    **{f"database_{how}": server_faults.database_cut for how in ("down", "silent", "slow", "narrow", "reset")},
    **{kind: store_faults.store_trouble for kind in KINDS if kind.startswith("store_")},
    "sources_absent": store_faults.store_trouble,
    "all_absent": store_faults.store_trouble,
    **{kind: site_faults.site_trouble for kind in KINDS if kind.startswith("site_")},
    "folder_away": site_faults.folder_away,
    "folder_read_only": site_faults.folder_read_only,
    # Only in the directed runs of the calibration:
    "kill_asked_again": process_faults.kill_asked_again,
    "kill_after_end": process_faults.kill_after_end,
    "pause_relaying": process_faults.pause_relaying,
    "kill_cut_off": process_faults.kill_cut_off,
    "hang_child_for_good": process_faults.hang_child_for_good,
    "lying_encoder": process_faults.lying_encoder,
    "relay_locked_out": server_faults.relay_locked_out,
    "unreadable_records": record_faults.unreadable_records,
    "reupload_in_job": process_faults.reupload_in_job,
}
