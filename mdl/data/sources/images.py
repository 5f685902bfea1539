"""Photographs as the paper takes them: grey, in patches of 32 rows and 64 columns, a byte a pixel.

Grey is the mean of the channels, rounded down. Of more than 8 bits a channel the upper 8 count; what is transparent
lies on white; a photograph stands as its EXIF note says; of several frames the first counts. What is left over at the
right and at the bottom of whole patches is dropped.
"""

from __future__ import annotations

from pathlib import Path

from mdl.data.sources.base import Source
from mdl.data.sources.media_files import MediaFiles, cached_units, files_of, split_settings
from mdl.data.sources.picture_files import Pixels, read_grey
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import Progress, import_optional, package_version

N_ROWS, N_COLUMNS = 32, 64  # of a patch
_GREY_RULE = 2  # enters the cache's name: how pixels become grey; 1 took every picture above 8 bits for one of 16
SUFFIXES = frozenset(
    ".png .jpg .jpeg .webp .gif .bmp .tif .tiff .ppm .pgm .pnm .jp2 .avif .tga".split()  # noqa: SIM905 - reads as one
)
# scikit-image's own photographs, those that its wheel brings along; of the stereo pair one.
_SAMPLES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)


def open_images(rest: str, cache: Path, progress: Progress | None = None) -> Source:
    """`samples`, or a file or folder, with `,scale=0.5` for half the height and width; a document a photograph.

    MdlError in one line naming the file that cannot be read.
    """
    import_optional("PIL.Image", "an image corpus")
    name, settings = split_settings(rest, ("scale",))
    scale = _scale(rest, settings.get("scale", "1"))
    files = _samples() if name == "samples" else files_of(Path(name).expanduser(), SUFFIXES, "image")
    return cached_units(
        files,
        lambda path: [patches(read_grey(path, scale))],
        cache,
        depends_on=[scale, package_version("pillow"), _GREY_RULE],
        unit=f"a patch of {N_ROWS} × {N_COLUMNS} pixels",
        made=("picture", f"of gray patches, {N_ROWS} × {N_COLUMNS} pixels of a byte each"),
        progress=progress,
    )


def _scale(rest: str, text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise MdlError(f"image:{rest}: scale must be above 0 and at most 1, got '{text}'")
    return scale


def _samples() -> MediaFiles:
    folder = Path(str(import_optional("skimage", "image:samples").__file__)).parent / "data"
    files = [folder / name for name in _SAMPLES if (folder / name).is_file()]
    if not files:
        raise MdlError("this scikit-image has no sample photographs; take another version, or a folder of your own")
    return MediaFiles(name="image:samples", modality="image", paths=files)


def patches(grey: Pixels) -> bytes:
    """Whole patches of a picture (rows, columns) one after another, left to right and down, each row by row."""
    rows, columns = (side // unit for side, unit in zip(grey.shape, (N_ROWS, N_COLUMNS), strict=True))
    cropped = grey[: rows * N_ROWS, : columns * N_COLUMNS]
    return cropped.reshape(rows, N_ROWS, columns, N_COLUMNS).swapaxes(1, 2).tobytes()


register_source("image", open_images, form="image:PATH", modality="image", needs_network=False)
