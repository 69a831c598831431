"""Arrays and torch tensors as pixels: axes, data types, and what to say of those that are not pixels."""

from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from resprobe.errors import InvalidImage, InvalidRequest

Layout: TypeAlias = Literal["nhwc", "nchw"]
AXES = {"nhwc": "height, width, 1 or 3", "nchw": "1 or 3, height, width"}
OTHER: dict[Layout, str] = {
    "nhwc": 'if channels come first, give layout="nchw"',
    "nchw": 'if channels come last, give layout="nhwc", the default',
}


class Tensor(Protocol):
    """A torch.Tensor, as far as it is used here. torch is never imported."""

    @property
    def dtype(self) -> Any:
        """Data type of the values."""

    def detach(self) -> Any:
        """Returns the tensor without its gradient."""


def check_layout(layout: Layout) -> None:
    """Raises InvalidRequest for a layout that does not exist."""
    if layout not in get_args(Layout):
        raise InvalidRequest(f"layout {layout!r}: expected 'nhwc' (channels last) or 'nchw' (channels first)")


def as_array(image: object, index: int | None) -> npt.NDArray[Any] | None:
    """Returns the array that an image is or, for a torch.Tensor, holds. If it is neither, returns None.

    Args:
        image: Array, tensor, or anything else.
        index: Place among the images. If None, it holds all of them.

    Raises:
        InvalidImage: It is a tensor that is not uint8, or one that numpy cannot hold.
    """
    if isinstance(image, np.ndarray):
        return image
    return _from_tensor(image, index) if _is_tensor(image) else None


def _is_tensor(value: object) -> bool:
    return any(kind.__name__ == "Tensor" and kind.__module__.partition(".")[0] == "torch" for kind in type(value).mro())


def _from_tensor(tensor: Any, index: int | None) -> npt.NDArray[Any]:
    """Copies a tensor from the device that holds it."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype != "uint8":
        raise _wrong_dtype(dtype, "float" in dtype, index)
    try:
        return np.asarray(tensor.detach().cpu().numpy())
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, or without data
        raise InvalidImage(f"{_called(index)}: the tensor cannot be read: {error}", index=index) from error


def channels_last(image: npt.NDArray[Any], layout: Layout, index: int | None) -> npt.NDArray[np.uint8]:
    """Checks an array and returns a view of it with channels last.

    Args:
        image: One image, or several with an axis before the others.
        layout: Order of its axes.
        index: Place among the images. If None, it holds all of them.

    Raises:
        InvalidImage: It is not uint8, or its shape is not that of images.
    """
    if image.dtype != np.uint8:
        raise _wrong_dtype(str(image.dtype), image.dtype.kind == "f", index)
    axes = 3 if index is not None else 4
    if image.ndim != axes or not _is_image(image.shape[-3:], layout):
        expected = f"[{AXES[layout]}]" if index is not None else f"[n, {AXES[layout]}]"
        other: Layout = "nchw" if layout == "nhwc" else "nhwc"
        hint = f"; {OTHER[layout]}" if image.ndim == axes and _is_image(image.shape[-3:], other) else ""
        raise InvalidImage(f"{_called(index)}: shape {list(image.shape)}; expected {expected}{hint}", index=index)
    return image if layout == "nhwc" else np.moveaxis(image, -3, -1)


def _is_image(shape: tuple[int, ...], layout: Layout) -> bool:
    return 0 not in shape and shape[-1 if layout == "nhwc" else 0] in (1, 3)


def _wrong_dtype(dtype: str, is_float: bool, index: int | None) -> InvalidImage:
    hint = "; scale to 0…255 and cast" if is_float else ""
    return InvalidImage(f"{_called(index)}: dtype {dtype}; expected uint8 pixels{hint}", index=index)


def _called(index: int | None) -> str:
    return "images" if index is None else f"image {index}"
