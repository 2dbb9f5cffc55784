"""Ways to damage a file: a bad disk's, a broken upload's, and a mean one's. Pure: the generator decides everything."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_ATOM_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"moof", b"traf"})
# EBML's identifiers of what matters in Matroska, AVI's chunks, JPEG's markers: their lengths follow.
_TAGS: Final = {
    "mkv": re.compile(rb"\x1f\x43\xb6\x75|\x16\x54\xae\x6b|\x1c\x53\xbb\x6b|\x15\x49\xa9\x66|\xae|\xa3|\xa0"),
    "avi": re.compile(rb"LIST|avih|strh|strf|00dc|01wb|idx1"),
    "jpg": re.compile(rb"\xff[\xc0-\xc4\xda\xdb\xdd\xe0-\xef]"),
    "png": re.compile(rb"IHDR|IDAT|PLTE|tRNS|IEND"),
    "gif": re.compile(rb"\x21[\xf9\xfe\xff]|\x2c"),
}
_TAGS["webm"] = _TAGS["mkv"]


@dataclass(frozen=True)
class Atom:
    """A box of MOV or MP4: from its length to its end."""

    start: int
    end: int
    kind: bytes


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    """One to sixteen bits anywhere."""
    damaged = bytearray(content)
    for _ in range(chance.choice([1, 2, 4, 16])):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def flip_bits_of_the_head(content: bytes, chance: random.Random) -> bytes:
    """The same in the first kilobyte, where most headers are."""
    return flip_bits(content[:1024], chance) + content[1024:]


def truncate(content: bytes, chance: random.Random) -> bytes:
    """Cut off anywhere: an upload that was interrupted."""
    return content[: chance.randrange(1, len(content))]


def zero_a_piece(content: bytes, chance: random.Random) -> bytes:
    """A hole of zeros: a part of an upload that never came."""
    start, end = _piece(content, chance)
    return content[:start] + bytes(end - start) + content[end:]


def double_a_piece(content: bytes, chance: random.Random) -> bytes:
    """A piece comes twice: a part that was sent again."""
    start, end = _piece(content, chance)
    return content[:end] + content[start:]


def lose_a_piece(content: bytes, chance: random.Random) -> bytes:
    """A piece is gone, and what follows moves up."""
    start, end = _piece(content, chance)
    return content[:start] + content[end:]


def fill_with_noise(content: bytes, chance: random.Random) -> bytes:
    """A piece becomes random bytes."""
    start, end = _piece(content, chance)
    return content[:start] + chance.randbytes(end - start) + content[end:]


def swap_atoms(content: bytes, chance: random.Random) -> bytes:
    """Two neighbouring atoms change places; the offsets that point into them stay."""
    found = list(atoms(content))
    pairs = [(one, other) for one in found for other in found if one.end == other.start]
    if not pairs:
        return flip_bits(content, chance)
    one, other = chance.choice(pairs)
    first, second = content[one.start : one.end], content[other.start : other.end]
    return content[: one.start] + second + first + content[other.end :]


def double_an_atom(content: bytes, chance: random.Random) -> bytes:
    """An atom comes twice."""
    atom = chance.choice(list(atoms(content)))
    return content[: atom.end] + content[atom.start : atom.end] + content[atom.end :]


def resize_an_atom(content: bytes, chance: random.Random) -> bytes:
    """An atom lies about its length."""
    atom = chance.choice(list(atoms(content)))
    true = atom.end - atom.start
    lie = chance.choice([0, 1, 7, 8, true - 1, true + 1, true * 2, len(content), 2**31, 2**32 - 1])
    return content[: atom.start] + struct.pack(">I", lie) + content[atom.start + 4 :]


def change_a_table(content: bytes, chance: random.Random) -> bytes:
    """A number in a leaf of the index: counts, offsets, durations, sizes."""
    leaves = [atom for atom in atoms(content) if atom.kind not in _ATOM_CONTAINERS | {b"mdat"} and _body(atom) >= 4]
    atom = chance.choice(leaves)
    at = atom.start + 8 + 4 * chance.randrange(_body(atom) // 4)
    value = chance.choice([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, chance.getrandbits(32)])
    return content[:at] + struct.pack(">I", value) + content[at + 4 :]


def damage_a_tag(pattern: re.Pattern[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """The bytes about a tag of a chunked format, its length among them."""

    def damage(content: bytes, chance: random.Random) -> bytes:
        places = list(pattern.finditer(content))
        if not places:
            return flip_bits(content, chance)
        place = chance.choice(places)
        at = max(0, place.start() - 4)
        window = content[at : place.end() + 8]
        return content[:at] + flip_bits(window, chance) + content[at + len(window) :]

    return damage


def atoms(content: bytes, start: int = 0, end: int | None = None) -> Iterator[Atom]:
    """The atoms of a whole MOV or MP4, parents before children."""
    end = len(content) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        if length < 8 or start + length > end:
            return
        yield Atom(start, start + length, kind)
        if kind in _ATOM_CONTAINERS:
            yield from atoms(content, start + 8, start + length)
        start += length


def ways_for(name: str) -> dict[str, Callable[[bytes, random.Random], bytes]]:
    """The ways that suit a file, by name; truncation twice, for it is what uploads suffer most."""
    extension = name.rpartition(".")[2]
    ways: list[Callable[[bytes, random.Random], bytes]] = [
        flip_bits,
        flip_bits_of_the_head,
        zero_a_piece,
        double_a_piece,
        lose_a_piece,
        fill_with_noise,
    ]
    if extension in ("mp4", "mov"):
        ways += [swap_atoms, double_an_atom, resize_an_atom, change_a_table]
    chosen = {way.__name__: way for way in ways}
    if extension in _TAGS:
        chosen["damage_a_tag"] = damage_a_tag(_TAGS[extension])
    return chosen | {"truncate": truncate, "truncate again": truncate}


def _piece(content: bytes, chance: random.Random) -> tuple[int, int]:
    length = min(len(content), chance.choice([1, 4, 16, 64, 512, 4096]))
    start = chance.randrange(len(content) - length + 1)
    return start, start + length


def _body(atom: Atom) -> int:
    return atom.end - atom.start - 8
