"""Factories for ICC profiles."""

import struct


def s15f16(value):
    return struct.pack(">i", round(value * 65536))


def gamma_curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def rgb_profile(red, green, blue, curve):
    """Make an ICC profile from the XYZ values (D50) of its primaries and a curve."""
    white = (0.9642, 1.0, 0.8249)
    xyz = {b"wtpt": white, b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags = {
        name: b"XYZ \0\0\0\0" + b"".join(map(s15f16, values)) for name, values in xyz.items()
    } | dict.fromkeys([b"rTRC", b"gTRC", b"bTRC"], curve)
    return icc_profile(b"RGB ", tags)


def gray_profile(gamma):
    white = b"XYZ \0\0\0\0" + b"".join(map(s15f16, (0.9642, 1.0, 0.8249)))
    return icc_profile(b"GRAY", {b"wtpt": white, b"kTRC": gamma_curve(gamma)})


def icc_profile(space, tags):
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4xI4s4s4s", start + len(body), 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(s15f16, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + body


# Primaries of Display P3. Its curve is that of sRGB, about gamma 2.2.
DISPLAY_P3 = rgb_profile(
    (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841), gamma_curve(2.2)
)
