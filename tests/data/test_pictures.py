"""Pictures of every depth and kind: the pixels that were put in, or one line."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from robustprune.data.pictures import decode
from robustprune.errors import InputError

COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> colour type of PNG."""


def png(rows: list[bytes], width: int, depth: int, colour: int, palette: bytes = b"") -> bytes:
    """A PNG written by hand, so that every depth can be had; `rows` are packed pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    table = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + table + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def saved(picture: Image.Image, form: str, **more) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **more)
    return stream.getvalue()


def tiff16(channels: int) -> bytes:
    """A TIFF of one pixel, 16 bits a channel, by hand."""
    tags = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, channels, 122),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if channels > 1 else 1),
    ]
    tags += [(273, 4, 1, 140), (277, 3, 1, channels), (278, 3, 1, 1), (279, 4, 1, 2 * channels)]
    listed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + listed + b"\0\0\0\0"
    return start.ljust(122, b"\0") + struct.pack("<4H", *([16] * channels + [0] * 4)[:4]).ljust(18, b"\0") + bytes(8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_a_channel_are_refused(channels):
    values = np.random.default_rng(channels).integers(0, 4096, (4, 4 * channels))
    rows = [row.astype(">u2").tobytes() for row in values]
    with pytest.raises(InputError, match=r"here: more than 8 bits a channel"):
        decode(png(rows, 4, 16, COLOUR[channels]), "here")


@pytest.mark.parametrize(
    "raw",
    [
        b"P5\n2 1\n4095\n" + bytes(4),
        b"P6\n1 1\n65535\n" + bytes(6),
        b"P2\n1 1\n1023\n7\n",
        b"P3\n1 1\n1023\n7 8 9\n",
        b"Pf\n1 1\n-1.0\n" + bytes(4),
        saved(Image.new("I;16", (2, 2)), "TIFF"),
        saved(Image.new("I", (2, 2)), "TIFF"),
        saved(Image.new("F", (2, 2)), "TIFF"),
        tiff16(3),
    ],
)
def test_deep_pictures_of_other_formats_are_refused(raw):
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        decode(raw, "here")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_more_than_one_frame_is_refused(form):
    one, other = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), "red")
    with pytest.raises(InputError, match="here: a picture of 2 frames, expected one"):
        decode(saved(one, form, save_all=True, append_images=[other]), "here")


def test_formats_whose_depth_cannot_be_told_are_refused():
    for form in ("JPEG2000", "EPS", "TGA"):
        with pytest.raises(InputError, match=r"not a readable picture .expected PNG, JPEG"):
            decode(saved(Image.new("RGB", (8, 8)), form), "here")


@pytest.mark.parametrize(
    ("depth", "rows"), [(1, [b"\x40"]), (2, [b"\x1b"]), (4, [b"\x01\x8f"]), (8, [b"\x00\x07\xfe\xff"])]
)
def test_few_bits_are_spread_over_the_whole_range(depth, rows):
    """Four grey values of 1, 2, 4 or 8 bits: a fraction of the largest is the same fraction of 255."""
    values = {1: [0, 1, 0, 0], 2: [0, 1, 2, 3], 4: [0, 1, 8, 15], 8: [0, 7, 254, 255]}[depth]
    expected = [round(255 * value / (2**depth - 1)) for value in values]
    assert decode(png(rows, 4, depth, 0), "here").tolist() == [expected]
    assert decode(b"P2\n2 1\n15\n3 15\n", "here").tolist() == [[51, 255]]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_give_their_colours(depth):
    colours = [(250, 0, 3), (7, 8, 9)]
    row = {1: b"\x40", 2: b"\x10", 4: b"\x01", 8: b"\x00\x01"}[depth]
    raw = png([row], 2, depth, 3, bytes(sum(colours, ())))
    assert decode(raw, "here").tolist() == [[[250, 0, 3], [7, 8, 9]]]


def test_transparency_is_dropped_without_a_word():
    for mode, pixel, kept in (("RGBA", (9, 8, 7, 0), [9, 8, 7]), ("LA", (9, 0), 9)):
        assert decode(saved(Image.new(mode, (1, 1), pixel), "PNG"), "here")[0, 0].tolist() == kept
    palette = Image.new("P", (1, 1))
    palette.putpalette([9, 8, 7])
    assert decode(saved(palette, "PNG", transparency=b"\x80"), "here")[0, 0].tolist() == [9, 8, 7]


def test_the_four_inks_of_a_printer_become_three_colours():
    raw = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(decode(raw, "here").astype(int) - [255, 0, 0]).max() <= 3


def test_a_picture_that_claims_to_be_huge_is_refused_at_once():
    with pytest.raises(InputError, match="decompression bomb"):
        decode(png([b"\0"] * 2, 2**31 - 1, 8, 0), "here")
    with pytest.raises(InputError, match="decompression bomb"):
        decode(b"P5\n20000 20000\n255\n", "here")
