"""A zip of stored members of which every byte is known: whatever differs from what `write` writes is refused.

Members are not compressed and have no dates; sizes are always in zip64 form. So equal members are equal files, any
program can unpack them, and a reader neither searches nor believes a header: it writes each header itself, from what
it has read, and compares.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from graphdl.errors import FileFormatError

MAGIC = b"PK\x03\x04"
ZIP64, DATE, FILE = 45, 33, 0o100644 << 16
ELSEWHERE = 0xFFFFFFFF  # a size or an offset of 32 bits that is in the zip64 field
CHUNK = 2**20


@dataclass(frozen=True)
class Member:
    """A member of a container; its content is None if it was only checked."""

    size: int
    crc: int
    sha256: str
    content: bytes | None


def write(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Write a container of members by name, in this order."""
    found = []
    for name, content in members.items():
        found.append((name, len(content), zlib.crc32(content)))
        file.write(_header(*found[-1]))
        file.write(content)
    file.write(_directory(found))


def read(file: BinaryIO, names: Iterable[str], unread: Collection[str] = ()) -> dict[str, Member]:
    """Read a container of the first few of these members, in this order; the content of those `unread` is not kept.

    Takes no more memory than the file is long. Raises FileFormatError if a byte is not what `write` would write.
    """
    found: dict[str, Member] = {}
    end = os.fstat(file.fileno()).st_size
    for name in names:
        start = file.tell()
        head = file.read(len(_header(name, 0, 0)))
        if not head.startswith(MAGIC):
            file.seek(start)
            break
        size = int.from_bytes(head[-8:], "little")
        if size > end - file.tell():
            raise _damaged(f"{name} is missing or truncated")
        member = found[name] = _member(file, size, name not in unread)
        if head != _header(name, size, member.crc):
            raise _damaged(f"what it says of {name} is wrong")
    expected = _directory([(name, member.size, member.crc) for name, member in found.items()])
    if file.read(len(expected) + 1) != expected:
        raise _damaged("its directory is wrong")
    return found


def sha256(content: bytes) -> str:
    """The digest of a member."""
    return hashlib.sha256(content).hexdigest()


def _damaged(how: str) -> FileFormatError:
    return FileFormatError(f"{how}: the file is damaged, or another program wrote it.")


def _member(file: BinaryIO, size: int, keep: bool) -> Member:
    crc, digest, held = 0, hashlib.sha256(), []
    for chunk in _chunks(file, size, size if keep else CHUNK):
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk)
        held.append(chunk)
        if not keep:
            held.clear()
    return Member(size, crc, digest.hexdigest(), b"".join(held) if keep else None)


def _chunks(file: BinaryIO, size: int, most: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(size, most))):
        size -= len(chunk)
        yield chunk


def _header(name: str, size: int, crc: int) -> bytes:
    """The header of a member; its last 8 bytes are the size."""
    text, sizes = name.encode("ascii"), struct.pack("<HHQQ", 1, 16, size, size)
    fixed = (ZIP64, 0, 0, 0, DATE, crc, ELSEWHERE, ELSEWHERE, len(text), len(sizes))
    return MAGIC + struct.pack("<5H3L2H", *fixed) + text + sizes


def _directory(members: Iterable[tuple[str, int, int]]) -> bytes:
    """What stands after the members (name, size, crc)."""
    entries, start = [], 0
    for name, size, crc in members:
        text, sizes = name.encode("ascii"), struct.pack("<HHQQQ", 1, 24, size, size, start)
        fixed = (3 << 8 | ZIP64, ZIP64, 0, 0, 0, DATE, crc, ELSEWHERE, ELSEWHERE, len(text), len(sizes), 0, 0, 0)
        entries.append(b"PK\x01\x02" + struct.pack("<6H3L5H2L", *fixed, FILE, ELSEWHERE) + text + sizes)
        start += len(_header(name, size, crc)) + size
    listed, count = b"".join(entries), len(entries)
    end = start + len(listed)
    whole = struct.pack("<Q2H2L4Q", 44, ZIP64, ZIP64, 0, 0, count, count, len(listed), start)
    last = struct.pack("<4H2LH", 0, 0, count, count, ELSEWHERE, ELSEWHERE, 0)
    return b"".join((listed, b"PK\x06\x06", whole, b"PK\x06\x07", struct.pack("<LQL", 0, end, 1), b"PK\x05\x06", last))
