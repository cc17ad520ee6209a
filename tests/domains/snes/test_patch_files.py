"""IPS and BPS: what is made gives the target back; what is broken is refused."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.domains.snes.patch_files import apply_bps, apply_ips, apply_patch, make_bps, make_ips
from afs.errors import DataError

_ROM = st.one_of(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), max_size=8).map(
        lambda runs: b"".join(bytes((value,)) * count for value, count in runs)
    ),
)


@settings(deadline=None)
@given(_ROM, _ROM)
def test_both_forms_give_the_target_back(source, target):
    assert apply_patch(make_ips(source, target), source) == target
    assert apply_patch(make_bps(source, target), source) == target


def test_the_offset_that_reads_eof():
    source = bytes(0x454F46 + 10)
    target = source[:0x454F46] + b"\x01\x02" + source[0x454F48:]
    assert apply_ips(make_ips(source, target), source) == target


def test_known_ips_records():
    patch = b"PATCH" + b"\0\0\1" + b"\0\2" + b"ab" + b"\0\0\4" + b"\0\0" + b"\0\3" + b"z" + b"EOF"
    assert apply_ips(patch, b"012345") == b"0ab3zzz"
    assert apply_ips(patch + b"\0\0\2", b"012345") == b"0a"


def test_known_bps_actions():
    source, target = b"abcdef", b"abXbXbXdef"
    body = b"BPS1" + bytes((0x86, 0x8A, 0x80))
    body += bytes((0x84,))  # two bytes of the source
    body += bytes((0x81, ord("X")))  # one new byte
    body += bytes((0x80 | 3 << 2 | 3, 0x82))  # four bytes of the target, from 1
    body += bytes((0x80 | 2 << 2 | 2, 0x86))  # three bytes of the source, from 3
    body += zlib.crc32(source).to_bytes(4, "little") + zlib.crc32(target).to_bytes(4, "little")
    assert apply_bps(body + zlib.crc32(body).to_bytes(4, "little"), source) == target


@given(st.binary(max_size=60), st.integers(0, 200))
def test_broken_patches_are_refused_or_applied_but_never_crash(noise, cut):
    good = make_bps(b"a" * 100, b"a" * 50 + b"b" * 60)
    for patch in (noise, b"PATCH" + noise, b"BPS1" + noise, good[:cut], good[:cut] + noise):
        try:
            apply_patch(patch, b"a" * 100)
        except DataError as error:
            assert str(error)


def test_a_bps_patch_knows_its_rom():
    patch = make_bps(b"a" * 100, b"b" * 100)
    with pytest.raises(DataError, match="another ROM"):
        apply_patch(patch, b"a" * 99)
    with pytest.raises(DataError, match="damaged"):
        apply_patch(patch[:-1] + b"\0", b"a" * 100)
