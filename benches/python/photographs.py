"""Images unlike digits: patches of 28 x 28 pixels of the two photographs that scikit-learn ships, as an IDX file.

    pip download --no-deps scikit-learn==1.7.2
    pip install pillow==12.0.0
    python benches/python/photographs.py scikit_learn-1.7.2-*.whl photographs-idx3-ubyte

Both photographs (china.jpg, flower.jpg; CC BY, see their README in the wheel) are made grey and cut into patches that do
not overlap, at full and at half size: 814 images.
"""

import io
import struct
import sys
import zipfile

from PIL import Image

SIDE = 28


def patches(image):
    for top in range(0, image.height - SIDE + 1, SIDE):
        for left in range(0, image.width - SIDE + 1, SIDE):
            yield image.crop((left, top, left + SIDE, top + SIDE)).tobytes()


def main(wheel, out):
    images = []
    with zipfile.ZipFile(wheel) as files:
        for name in ("china.jpg", "flower.jpg"):
            data = files.read("sklearn/datasets/images/" + name)
            grey = Image.open(io.BytesIO(data)).convert("L")
            for scale in (1, 2):
                images.extend(patches(grey.resize((grey.width // scale, grey.height // scale))))
    with open(out, "wb") as file:
        file.write(struct.pack(">IIII", 0x803, len(images), SIDE, SIDE) + b"".join(images))
    print(len(images), "images written")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
