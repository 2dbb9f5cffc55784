"""The results of a comparison by name, and for each break which reader it hits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from rushes_schemas.compatibility.keywords import Schema, without_annotations
from rushes_schemas.compatibility.refusals import Refusal, Rule, refusals


class Reader(StrEnum):
    """Who reads: with the old schema what is written by the new one, or the other way round."""

    OLD = "old"
    NEW = "new"


class Compatibility(StrEnum):
    """What two versions of a schema are to each other."""

    FULL = "full"  # backward and forward
    BACKWARD = "backward"  # new readers read what old writers wrote
    FORWARD = "forward"  # old readers read what new writers write
    NONE = "none"
    ADDED = "added"  # there was no old one; old readers put it aside as an unknown type

    def covers(self, wanted: Compatibility) -> bool:
        """Whether it is all that is wanted."""
        return self in {wanted, Compatibility.FULL, Compatibility.ADDED}


@dataclass(frozen=True)
class Break:
    """A field at which a reader may refuse what the other side writes."""

    reader: Reader
    field: str
    rule: Rule
    detail: str

    @property
    def sentence(self) -> str:
        """Such as `old readers: encoding.mood: does not know it, and takes no unknown field`."""
        return f"{self.reader} readers: {self.field or 'payload'}: {self.detail}"


@dataclass(frozen=True)
class Verdict:
    """How a schema changed.

    Attributes:
        name: of the schema, such as `preview-uploaded.v1`.
        old, new: versions by `$id`; None where there is none.
        unversioned: it takes other values than before under the same `$id`.
    """

    name: str
    result: Compatibility
    old: str | None
    new: str | None
    breaks: tuple[Break, ...] = ()
    unversioned: bool = False

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {**asdict(self), "breaks": [asdict(each) for each in self.breaks]}


_RESULTS: Final = {
    frozenset[Reader](): Compatibility.FULL,
    frozenset({Reader.OLD}): Compatibility.BACKWARD,
    frozenset({Reader.NEW}): Compatibility.FORWARD,
    frozenset(Reader): Compatibility.NONE,
}


def verdict(name: str, old: Schema | None, new: Schema | None) -> Verdict:
    """How a schema changed between two versions; None stands for one that is not there.

    Raises:
        ValueError: a reference in one of them leads out of the schema, or nowhere.
    """
    before, after = (None if schema is None else schema.get("$id") for schema in (old, new))
    if old is None:
        return Verdict(name, Compatibility.ADDED, before, after)
    if new is None:
        gone = Break(Reader.NEW, "", Rule.GONE, "is not there any more; what old writers send is of an unknown version")
        return Verdict(name, Compatibility.FORWARD, before, after, breaks=(gone,))
    breaks = (
        *_breaks(Reader.OLD, refusals(reader=old, writer=new)),
        *_breaks(Reader.NEW, refusals(reader=new, writer=old)),
    )
    changed = without_annotations(old) != without_annotations(new)
    result = _RESULTS[frozenset(each.reader for each in breaks)]
    unversioned = changed and before is not None and before == after
    return Verdict(name, result, before, after, breaks=breaks, unversioned=unversioned)


def _breaks(reader: Reader, found: list[Refusal]) -> tuple[Break, ...]:
    return tuple(Break(reader, each.field, each.rule, each.detail) for each in found)
