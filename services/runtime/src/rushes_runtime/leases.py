"""Leases of roles that only one process of a service may play at a time."""

from __future__ import annotations

from rushes_runtime.database import Database

_TAKE = """
    INSERT INTO role_lease AS held (role, holder, lease_until)
    VALUES (:role, :holder, now() + make_interval(secs => :seconds))
    ON CONFLICT (role) DO UPDATE SET holder = :holder, lease_until = excluded.lease_until
    WHERE held.holder = :holder OR held.lease_until < now()
    RETURNING holder"""
_GIVE_BACK = "DELETE FROM role_lease WHERE role = :role AND holder = :holder RETURNING holder"


class RoleLease:
    """A role, held by one process for a while.

    It spreads work, it guards nothing: what a paused holder could still do is fenced elsewhere (the relay by
    the broker, the janitor by each statement's own condition).
    """

    def __init__(self, database: Database, role: str, holder: str, seconds: float) -> None:
        self._database = database
        self._role = role
        self._holder = holder
        self._seconds = seconds

    async def hold(self) -> bool:
        """Take or renew the lease; False while another process holds it."""
        rows = await self._database.fetch(_TAKE, role=self._role, holder=self._holder, seconds=float(self._seconds))
        return bool(rows)

    async def give_back(self) -> None:
        """Let another process take over at once."""
        await self._database.fetch(_GIVE_BACK, role=self._role, holder=self._holder)
