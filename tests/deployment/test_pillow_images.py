import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.preprocessing import resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.pillow_images import read_with_pillow
from support.factories import encoded, jpeg


def detailed_image(width, height):
    """Draw coarse and fine details without symmetry."""
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 5, 3)).astype(np.uint8))
    fine = rng.integers(-40, 40, (height, width, 3))
    pixels = np.asarray(coarse.resize((width, height))) + fine
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def gray_16_bit(width, height):
    values = np.random.default_rng(0).integers(0, 65536, (height, width)).astype(np.uint16)
    return Image.fromarray(values)


def rotated_by_exif(image):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif, quality=90)


FILES = {
    "wide": encoded(detailed_image(150, 100), "JPEG", quality=90),
    "tall": encoded(detailed_image(61, 203), "PNG"),
    "smaller than the input": encoded(detailed_image(20, 17), "PNG"),
    "rotated": rotated_by_exif(detailed_image(150, 100)),
    "palette": encoded(detailed_image(90, 80).quantize(), "GIF"),
    "16-bit gray": encoded(gray_16_bit(70, 90), "PNG"),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("mode", ["stretch", "center_crop"])
def test_inputs_equal_those_of_the_pipelines_to_one_gray_level(file, mode):
    preprocessing = Preprocessing(mode, 64, 48)
    image = decode(FILES[file], 64)
    aspect = image.width / image.height
    expected = resize_batch(image.pixels[None], [aspect], preprocessing)[0].permute(1, 2, 0).numpy()
    found = read_with_pillow(FILES[file], preprocessing)
    assert found.shape == (48, 48, 3)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.05


def test_unreadable_files_have_the_reason_of_the_pipelines():
    with pytest.raises(UnreadableImageError, match="the file is empty"):
        read_with_pillow(b"", Preprocessing("stretch", 16, 8))
    with pytest.raises(UnreadableImageError, match="damaged or truncated"):
        read_with_pillow(jpeg()[:-200], Preprocessing("stretch", 16, 8))


def test_predictions_without_torch_import_neither_torch_nor_kedro():
    code = (
        "import sys\n"
        "import skin_lesions.deployment.prediction_run, skin_lesions.deployment.pillow_images\n"
        "import skin_lesions.deployment.load, skin_lesions.commands.predict\n"
        "print(sorted({'torch', 'torchvision', 'kedro'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
