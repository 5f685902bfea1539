"""A picture file of any depth and mode as grey bytes: the mean of the channels, rounded down, black 0 and white 255.

The real depth counts: of the 12 bits of a scanner's TIFF the upper eight are taken, not of the 16 that they are stored
in. What has no fixed black and white (numbers with a sign, 32 bits, floating point) is refused in one line.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mdl.data.sources.media_files import reading
from mdl.errors import MdlError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 160_000_000  # the largest cameras have 151 million; 13,300² took 3 GB
Pixels = npt.NDArray[np.uint8]

_BAND_ROWS = 256
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # tags of a TIFF
_ORIENTATION = 0x0112  # a note of EXIF: how to turn a picture to see it upright
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
_MEND = "convert it to 8 or 16 bits without a sign"


def read_grey(path: Path, scale: float = 1.0) -> Pixels:
    """A picture file as (rows, columns) bytes; MdlError naming it where it is damaged, too large or no picture."""
    from PIL import Image

    with reading("image", path):
        grey = _upright_grey(path)
        if scale == 1:
            return grey
        rows, columns = (max(1, round(side * scale)) for side in grey.shape)
        # Every new pixel is the mean of those that it covers.
        return np.asarray(Image.fromarray(grey).resize((columns, rows), Image.Resampling.BOX))


def _upright_grey(path: Path) -> Pixels:
    """Turned after it is grey, which takes a quarter of the memory that turning its colors would."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata of the user's own pictures; what matters is raised
        try:
            with Image.open(path) as image:
                _check_before_decoding(image, path)
                layout = str(image.tile[0]) if image.tile else ""  # how the file stores its pixels; lost by decoding
                image.load()
                grey = _in_bands(image, _grey_of(image, layout))
                turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
                return turn(grey) if turn else grey
        except Image.DecompressionBombError:
            raise MdlError(_too_large("it")) from None
        except UnidentifiedImageError:
            raise MdlError(_why_no_picture(path)) from None


def _check_before_decoding(image: Image, path: Path) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise MdlError(_too_large(f"{image.width:,} × {image.height:,} pixels"))
    if image.format == "EPS":
        raise MdlError("it is a program that draws a picture; save the picture as PNG")
    if image.format == "JPEG2000" and image.mode != "I;16" and _jpeg2000_bits(path) > 8:
        raise MdlError("it is a JPEG 2000 above 8 bits a channel, whose white is read as black; save it as PNG")


def _jpeg2000_bits(path: Path) -> int:
    """The most bits of a channel, by the codestream's first marker (SIZ of ISO 15444-1)."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        siz = data.find(b"\xff\x4f\xff\x51")
        if siz < 0:
            return 0  # the decoder will say what is wrong
        n_channels = int.from_bytes(data[siz + 40 : siz + 42])
        return 1 + max((bits & 127 for bits in data[siz + 42 : siz + 42 + 3 * n_channels : 3]), default=0)


def _too_large(what: str) -> str:
    return f"{what} is more than {MAX_PIXELS // 10**6} megapixels; cut it into several files or make it smaller"


def _why_no_picture(path: Path) -> str:
    """Of a file that no reader took: what the reader of its kind said, by the first bytes, or that there is none."""
    from PIL import Image

    with path.open("rb") as stream:
        head = stream.read(16)
        for name in Image.ID:
            factory, accept = Image.OPEN[name]
            if accept and accept(head) is True:
                stream.seek(0)
                try:
                    factory(stream, str(path))
                except Exception as error:  # whatever it raises is its reason
                    said = str(error) or type(error).__name__
                    return f"as {name} it cannot be read ({said}); if another program shows it, save it there as PNG"
    return "it is not a picture"


def _in_bands(image: Image, to_grey: Callable[[Image], Pixels]) -> Pixels:
    """So that a large photograph takes little more memory than its own pixels."""
    columns, rows = image.size
    grey = np.empty((rows, columns), np.uint8)
    for top in range(0, rows, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, rows)
        grey[top:bottom] = to_grey(image.crop((0, top, columns, bottom)))
    return grey


def _grey_of(image: Image, layout: str) -> Callable[[Image], Pixels]:
    """How bands of this picture become grey, by the depth that its file tells."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    _check_depth(image, tags, layout)
    if image.mode == "I":  # of a PGM, which the library has scaled to 16 bits
        return lambda band: (np.asarray(band) >> 8).astype(np.uint8)
    if image.mode.startswith("I;16"):
        return _upper_byte_of(tags, image.info.get("transparency"))
    if image.format == "PNG" and image.mode in ("L", "RGB") and "transparency" in image.info:
        return _grey_with_transparency(image.info["transparency"], layout)
    return _grey_of_8_bits


def _check_depth(image: Image, tags: Mapping[int, Any], layout: str) -> None:
    """MdlError for numbers that have no fixed black and white, and for a layout that the library reads wrongly."""
    if image.mode == "F":
        raise MdlError(f"its pixels are floating-point numbers, which have no fixed black and white; {_MEND}")
    if 2 in tags.get(_SAMPLE_FORMAT, ()) or (image.format == "FITS" and image.mode != "L"):
        raise MdlError(f"its pixels are numbers with a sign, which have no fixed black and white; {_MEND}")
    if image.mode == "I" and image.format != "PPM":
        raise MdlError(f"32 bits a pixel, which have no fixed range; {_MEND}")
    if tags.get(_PLANAR) == 2 and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8 and "'raw'" in layout:
        raise MdlError("its 16-bit channels lie in planes of their own, which are not read here; save it as PNG")


def _upper_byte_of(tags: Mapping[int, Any], transparent: int | None) -> Callable[[Image], Pixels]:
    """Of 16-bit numbers, as many of their bits in use as the file says; the `transparent` value is seen as white."""
    shift = max(tags.get(_BITS_PER_SAMPLE, (16,))) - 8
    white_is_zero = tags.get(_PHOTOMETRIC) == 0

    def upper_byte(band: Image) -> Pixels:
        values = np.asarray(band).astype(np.uint16)
        grey: Pixels = (values >> shift).astype(np.uint8)
        if transparent is not None:
            grey[values == transparent] = 255
        return np.invert(grey) if white_is_zero else grey

    return upper_byte


def _grey_with_transparency(value: Any, layout: str) -> Callable[[Image], Pixels]:
    """Of a PNG whose transparent value is written in the file's depth; the library compares it in eight bits."""
    for n_bits in (2, 4):
        if f"'L;{n_bits}'" in layout:
            value *= 255 // (2**n_bits - 1)
    if "'RGB;16B'" in layout:
        value = tuple(channel >> 8 for channel in value)

    def grey(band: Image) -> Pixels:
        band.info["transparency"] = value
        return _grey_of_8_bits(band)

    return grey


def _grey_of_8_bits(band: Image) -> Pixels:
    if band.mode == "La":
        band = band.convert("LA")
    if band.has_transparency_data:  # lies on white
        from PIL import Image

        opaque = band.convert("RGBA")
        band = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    if band.mode in ("1", "L"):
        return np.asarray(band.convert("L"))
    sums: npt.NDArray[np.uint16] = np.asarray(band.convert("RGB")).sum(axis=2, dtype=np.uint16)
    return (sums // 3).astype(np.uint8)
