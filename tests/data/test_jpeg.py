import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.jpeg import decode_jpeg
from support.factories import encoded

END = b"\xff\xd9"


def photograph(seed=0):
    """Make smooth noise, whose image data have many bytes everywhere."""
    small = np.random.default_rng(seed).integers(40, 220, (24, 32, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((256, 192), Image.Resampling.BICUBIC), int)
    noise = np.random.default_rng(seed).normal(0, 6, smooth.shape)
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


INTACT = {
    "baseline": encoded(photograph(), "JPEG"),
    "progressive": encoded(photograph(), "JPEG", progressive=True),
    "optimized": encoded(photograph(), "JPEG", optimize=True),
    "no subsampling": encoded(photograph(), "JPEG", subsampling=0, quality=95),
    "restart markers": encoded(photograph(), "JPEG", restart_marker_blocks=7),
    "gray": encoded(photograph().convert("L"), "JPEG"),
    "one color": encoded(Image.new("RGB", (200, 200), "white"), "JPEG"),
}


def insert_before_end(data, fill):
    end = data.rindex(END)
    return data[:end] + fill + data[end:]


def overwrite(data, new, position):
    """Replace image data; position 0 is the first byte and 1 the last possible one."""
    first = data.rindex(b"\xff\xda") + 20
    start = first + int(position * (data.rindex(END) - len(new) - first))
    return data[:start] + new + data[start + len(new) :]


@pytest.mark.parametrize("kind", INTACT)
def test_intact_files_give_the_same_pixels_as_pillow(kind, tmp_path):
    path = tmp_path / "intact.jpg"
    path.write_bytes(INTACT[kind])
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(decode_jpeg(INTACT[kind], "RGB"), expected)


@pytest.mark.parametrize(
    ("kind", "expected"),  # a damage that keeps the number of decoded values gives no warning
    [("baseline", 0.7), ("progressive", 0.9), ("restart markers", 0.9), ("gray", 0.9)],
)
def test_most_files_with_overwritten_image_data_are_rejected(kind, expected):
    rng = np.random.default_rng(0)
    rejected = []
    for position in np.linspace(0, 1, 40):
        block = rng.integers(0, 255, 512, dtype=np.uint8).tobytes()
        damaged = overwrite(INTACT[kind], block, position)
        assert damaged.endswith(END)
        try:
            decode(damaged, 32)
        except UnreadableImageError as reason:
            rejected.append(str(reason))
    assert len(rejected) >= 40 * expected
    assert all(reason.startswith("damaged or truncated: ") for reason in rejected)


def test_damaged_cmyk_files_are_rejected():
    data = encoded(photograph().convert("CMYK"), "JPEG")
    decode(data, 32)
    block = np.random.default_rng(0).integers(0, 255, 512, dtype=np.uint8).tobytes()
    with pytest.raises(UnreadableImageError, match="damaged"):
        decode(overwrite(data, block, 0.5), 32)


@pytest.mark.parametrize("fill", [b"\0", b"\0" * 60, b"\0" * 2000, b"\xff\0" * 30, b"\xff" * 40])
@pytest.mark.parametrize("kind", INTACT)
def test_fill_bytes_before_the_end_marker_are_harmless(kind, fill):
    """Some cameras write them, and libjpeg gives a warning."""
    padded = insert_before_end(INTACT[kind], fill)
    np.testing.assert_array_equal(decode_jpeg(padded, "RGB"), decode_jpeg(INTACT[kind], "RGB"))


def test_other_bytes_before_the_end_marker_are_damage():
    with pytest.raises(ValueError, match="extraneous bytes before marker 0xd9"):
        decode_jpeg(insert_before_end(INTACT["baseline"], b"\x55" * 60), "RGB")


def test_a_last_block_of_zeros_is_damage_and_no_fill_bytes():
    for kind in ("baseline", "gray", "no subsampling"):
        data = INTACT[kind]
        for length in (100, 300, 1000):
            with pytest.raises(ValueError, match="Corrupt JPEG data"):
                decode_jpeg(overwrite(data, bytes(length), 1), "RGB")


def test_an_unknown_revision_of_the_header_is_harmless():
    data = INTACT["baseline"]
    changed = data.replace(b"JFIF\0\x01", b"JFIF\0\x07")
    assert changed != data
    np.testing.assert_array_equal(decode_jpeg(changed, "RGB"), decode_jpeg(data, "RGB"))


def test_a_missing_end_is_reported_as_damage():
    data = INTACT["baseline"]
    for length in (len(data) // 2, len(data) - 2):
        with pytest.raises(UnreadableImageError, match="^damaged or truncated"):
            decode(data[:length], 32)
