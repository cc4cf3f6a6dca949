"""Pictures of a published data set, as the model gets them and as a human reader sees them."""

from __future__ import annotations

from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.study.published.data import examples, vlguard_folder

PIXELS = 336  # a side of a picture for a human reader
CLIP_MEAN = (122, 116, 104)  # the mean colour of CLIP's pictures; LLaVA-1.5 pads with it


def pad_to_square(image: Image.Image, colour: tuple[int, int, int] = CLIP_MEAN) -> Image.Image:
    """The picture centred in a square as wide as its longer side, as in LLaVA-1.5's training; nothing is cropped."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    return square


def open_picture(address: str) -> Image.Image:
    """The picture of an example, as the model gets it. Raises MirageError, naming the file, if it cannot be read."""
    path = vlguard_folder() / address
    try:
        with Image.open(path) as image:
            return pad_to_square(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MirageError(
            f"{path}: no picture can be read from it ({error}). Unpack VLGuard's zip files anew."
        ) from error


def reader_picture(address: str) -> Image.Image:
    """The picture for a human reader."""
    return open_picture(address).resize((PIXELS, PIXELS))


def all_there() -> None:
    """Raise MirageError if a picture is not where its example says."""
    folder = vlguard_folder()
    if lost := sorted(
        {e.image for split in ("train", "test") for e in examples(split) if not (folder / e.image).is_file()}
    ):
        raise MirageError(
            f"pictures: {len(lost)} of VLGuard are not in {folder}, e.g. {lost[0]}. "
            "Unpack train.zip and test.zip into train/ and test/ there."
        )
