"""Into what parts a large object is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rushes_runtime.store.multipart import LARGE_PART, LEAST_PART, MOST_PARTS, SWIFTS_MOST_PARTS, part_size
from rushes_runtime.store.server_copy import copied_parts

GIB = 1 << 30
MOST_BYTES = 5 << 40  # of an S3 object


@pytest.mark.parametrize("size", [1, LEAST_PART + 1, 5 * GIB, 5 * GIB + 1, 97 * GIB, 98 * GIB, MOST_BYTES])
def test_an_object_of_any_size_fits_into_the_parts_that_s3_takes(size: int) -> None:
    part = part_size(size)
    assert part >= LEAST_PART
    assert -(-size // part) <= MOST_PARTS
    assert part <= LARGE_PART or part <= 2 * size / MOST_PARTS  # no larger than it must be: parts are held in memory


@pytest.mark.parametrize("size", [LEAST_PART + 1, 5 * GIB, SWIFTS_MOST_PARTS * LARGE_PART])
def test_an_object_of_some_gigabytes_fits_into_the_parts_that_swift_takes(size: int) -> None:
    assert -(-size // part_size(size)) <= SWIFTS_MOST_PARTS


@pytest.mark.parametrize("size", [5 * GIB + 1, 8 * GIB, MOST_BYTES])
def test_a_copy_on_the_servers_side_has_every_byte_once(size: int) -> None:
    parts = copied_parts(size)
    assert (parts[0][0], parts[-1][1]) == (0, size - 1)
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(parts))
    assert len(parts) <= MOST_PARTS
    assert all(last - first < 5 * GIB for first, last in parts)
