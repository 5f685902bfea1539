"""Photographs as the paper takes them: grey, in patches of 32 rows and 64 columns, a byte a pixel.

Grey is the mean of the channels, rounded down. 16 bits a channel become 8 by their upper byte; what is transparent lies
on white; a photograph stands as its EXIF note says; of several frames the first counts. What is left over at the right
and at the bottom of whole patches is dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdl.data.sources.base import Source
from mdl.data.sources.media_files import cached_units, files_of, split_settings
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import Progress, import_optional, package_version

if TYPE_CHECKING:
    from PIL.Image import Image

N_ROWS, N_COLUMNS = 32, 64  # of a patch
SUFFIXES = frozenset(
    ".png .jpg .jpeg .webp .gif .bmp .tif .tiff .ppm .pgm .pnm .jp2 .avif .tga".split()  # noqa: SIM905 - reads as one
)
# scikit-image's own photographs, those that its wheel brings along; of the stereo pair one.
_SAMPLES = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg",
    "rocket.jpg", "text.png",
)  # fmt: skip
Pixels = npt.NDArray[np.uint8]


def open_images(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """`samples`, or a file or folder, with `,scale=0.5` for half the height and width; a document a photograph.

    MdlError in one line naming the file that cannot be read.
    """
    import_optional("PIL.Image", "an image corpus")
    name, settings = split_settings(rest, ("scale",))
    scale = _scale(rest, settings.get("scale", "1"))
    files = _samples() if name == "samples" else files_of(Path(name).expanduser(), SUFFIXES)
    depends_on: list[object] = [scale, package_version("pillow")]
    return cached_units(files, "image", depends_on, lambda path: [patches(read_grey(path, scale))], cache, progress)


def _scale(rest: str, text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise MdlError(f"image:{rest}: scale must be above 0 and at most 1, got '{text}'")
    return scale


def _samples() -> list[Path]:
    folder = Path(str(import_optional("skimage", "image:samples").__file__)).parent / "data"
    files = [folder / name for name in _SAMPLES if (folder / name).is_file()]
    if not files:
        raise MdlError("this scikit-image has no sample photographs; take another version, or a folder of your own")
    return files


def patches(grey: Pixels) -> bytes:
    """Whole patches of a picture (rows, columns) one after another, left to right and down, each row by row."""
    rows, columns = (side // unit for side, unit in zip(grey.shape, (N_ROWS, N_COLUMNS), strict=True))
    cropped = grey[: rows * N_ROWS, : columns * N_COLUMNS]
    return cropped.reshape(rows, N_ROWS, columns, N_COLUMNS).swapaxes(1, 2).tobytes()


def read_grey(path: Path, scale: float = 1.0) -> Pixels:
    """A picture file as (rows, columns) bytes; MdlError naming it where it is damaged or no picture."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # A warning is for what a stranger sends; these are the user's own. The library still refuses twice as much.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                grey = _grey(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else str(error) or "damaged"
        raise MdlError(f"cannot read image {path}: {reason}") from None
    if scale == 1:
        return grey
    rows, columns = (max(1, round(side * scale)) for side in grey.shape)
    # Every new pixel is the mean of those that it covers.
    return np.asarray(Image.fromarray(grey).resize((columns, rows), Image.Resampling.BOX))


def _grey(image: Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel, which have no fixed range; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        from PIL import Image

        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    # In bands, so that a large photograph takes little more than its own bytes.
    return np.concatenate([*_channel_means(np.asarray(image.convert("RGB")))])


def _channel_means(colour: Pixels, band: int = 256) -> Iterator[Pixels]:
    for start in range(0, len(colour), band):
        yield (colour[start : start + band].sum(axis=2, dtype=np.uint16) // 3).astype(np.uint8)


register_source("image", open_images, form="image:PATH", modality="image", needs_network=False)
