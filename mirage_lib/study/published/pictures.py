"""Pictures of a published data set, as the model gets them and as a human reader sees them."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from mirage_lib.study.published.data import DataSet

PIXELS = 336  # a side of a picture for a human reader
CLIP_MEAN = (122, 116, 104)  # the mean colour of CLIP's pictures; LLaVA-1.5 pads with it


def pad_to_square(image: Image.Image, colour: tuple[int, int, int] = CLIP_MEAN) -> Image.Image:
    """The picture centred in a square as wide as its longer side, as in LLaVA-1.5's training; nothing is cropped."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    return square


@dataclass(frozen=True)
class Pictures:
    """The pictures of a data set by their address, as a model gets them."""

    data: DataSet
    square: bool = False  # padded to a square

    def __call__(self, address: str) -> Image.Image:
        """One picture. Raises MirageError, naming the file, if it cannot be read."""
        image = self.data.picture(address)
        return pad_to_square(image) if self.square else image


@dataclass(frozen=True)
class ReaderPictures:
    """The pictures of a data set by their address, for a human reader."""

    data: DataSet

    def __call__(self, address: str) -> Image.Image:
        """One picture, in a square."""
        return pad_to_square(self.data.picture(address)).resize((PIXELS, PIXELS))
