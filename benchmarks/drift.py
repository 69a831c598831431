"""When `resprobe drift` fires and when it stays silent: CIFAR-10 and a published net.

    python benchmarks/drift.py resnet20.th --depth 20 --data ~/cifar

Half of the test images make the baseline; windows are drawn from the other half, which the baseline has not seen.
(Windows of the baseline's own images are a little too quiet: with n of m images their distance varies by 1 - n/m,
where that of fresh images varies by 1 + n/m. Both are counted below.)
"""

import asyncio
import dataclasses
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import resprobe
import tyro
from PIL import Image, ImageFilter
from resprobe import analysis, datasets
from resprobe.datasets import CIFAR
from resprobe_exporter.commands.convert import Convert
from resprobe_protos import resprobe_pb2 as pb
from resprobe_server.app import serve
from resprobe_server.config import Config
from resprobe_server.models import description
from resprobe_server.models.sampling.drift import WINDOW, Window

STEP = 5  # images between two looks at the alarm
RECORD = 1 + 3 * 32 * 32  # bytes
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    checkpoint: tyro.conf.Positional[Path]
    """Checkpoint of a CIFAR-10 net with shortcut A, trained with the usual means and deviations."""
    depth: int
    """Depth of the net."""
    data: Path
    """Directory of the CIFAR-10 binaries."""
    images: int = 500
    """Images in a window."""
    windows: int = 10
    """Number of disjoint windows without a disturbance, whose verdicts are printed."""
    repeats: int = 200
    """Number of overlapping windows without a disturbance, to count false alarms."""
    orders: int = 20
    """Number of orders of the disturbed images, whose least, median and largest delay of the alarm are printed."""


def split(data: Path, root: Path) -> tuple[Path, Path]:
    """Writes every second test image to one directory, the others to another, and returns both."""
    layout = CIFAR["cifar10"]
    source = data / layout.folder if (data / layout.folder).is_dir() else data
    records = np.fromfile(source / layout.test[0], np.uint8).reshape(-1, RECORD)
    parts = root / "baseline", root / "fresh"
    for place, directory in enumerate(parts):
        directory.mkdir()
        records[place::2].tofile(directory / layout.test[0])
        shutil.copy(source / layout.names, directory)
    return parts


def blurred(images: Pixels, radius: float) -> Pixels:
    """Blurs the images with a Gaussian."""
    return np.stack([np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(radius))) for one in images])


def shifted(images: Pixels, by: int) -> Pixels:
    """Shifts the images to the right; the pixels on the left become black."""
    moved = np.zeros_like(images)
    moved[:, :, by:] = images[:, :, :-by]
    return moved


def corruptions(images: Pixels) -> dict[str, Pixels]:
    """Returns the disturbed images."""
    noise = np.random.default_rng(0).normal(size=images.shape)

    def clip(values: npt.NDArray[np.floating]) -> Pixels:
        pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return pixels

    return {
        "noise, std 8 of 255": clip(images + 8 * noise),
        "noise, std 25 of 255": clip(images + 25 * noise),
        "blur, radius 0.5": blurred(images, 0.5),
        "blur, radius 1": blurred(images, 1),
        "inverted": 255 - images,
        "brighter by 40 of 255": clip(images + 40.0),
        "half the contrast": clip(images * 0.5 + 64),
        "shifted by 4 pixels": shifted(images, 4),
        "shifted by 8 pixels": shifted(images, 8),
    }


def say(what: str, found: resprobe.Drift, accuracy: float | None) -> None:
    """Returns one line: the verdict, the largest distance and its block."""
    most = int(found.distance.argmax())
    print(
        f"{what:24} {'DRIFT' if found.found else 'silent':7} {found.drifted.sum():3} of {len(found.names)} blocks, "
        f"largest distance {found.distance[most]:.3f} in {found.names[most]}, p {found.p_value[most]:.2g}, "
        f"accuracy {accuracy or 0:.3f}",
        flush=True,
    )


def delays(model: pb.Model, clean: Floats, changed: Floats, repeats: int) -> list[int]:
    """Returns after how many disturbed images the server's alarm is on, for different orders of the images.

    Args:
        model: Description with the baseline.
        clean: Ratios of images without a disturbance, [n, L], at least a window of them, which come first.
        changed: Ratios of disturbed images, [m, L]. If the alarm stays off with all of them, the delay is m + 1.
        repeats: Number of orders.
    """
    generator, found = np.random.default_rng(0), []
    for _ in range(repeats):
        window = Window(clean.shape[1])
        window.add(generator.permutation(clean)[:WINDOW])
        delay = len(changed) + 1
        for count, row in enumerate(generator.permutation(changed), start=1):
            window.add(row[None])
            drift = window.drift(model) if count % STEP == 0 else None
            if drift is not None and drift.alarm:
                delay = count
                break
        found.append(delay)
    return found


def demonstrate(
    address: str, model: pb.Model, own: datasets.Dataset, fresh: datasets.Dataset, options: Options
) -> None:
    """Asks the server about all windows and prints the verdicts, and how soon its own alarm would be on."""
    generator = np.random.default_rng(0)
    with resprobe.Client(address) as client:
        frame = analysis.sweep(client, fresh)
        order = generator.permutation(len(frame))
        for place in range(options.windows):
            window = frame.take(order[place * options.images : (place + 1) * options.images])
            say(f"clean window {place + 1}", resprobe.drift(window), window.accuracy)
        for what, source in (("fresh images", frame), ("the baseline's own", analysis.sweep(client, own))):
            picks = (generator.choice(len(source), options.images, replace=False) for _ in range(options.repeats))
            found = [resprobe.drift(source.take(pick)) for pick in picks]
            alarms, least = sum(one.found for one in found), min(one.p_value.min() for one in found)
            significant = sum(bool((one.p_value < one.alpha).any()) for one in found)
            print(
                f"{options.repeats} windows of {what}: {alarms} false alarms ({significant} by the p-value alone, "
                f"allowed {found[0].alpha:.0%}); smallest p {least:.2g}, from {found[0].detectable:.3f} detectable"
            )
        part = fresh.window(options.images, seed=0)
        assert isinstance(part.images, np.ndarray)
        for what, images in corruptions(part.images).items():
            changed = analysis.sweep(client, dataclasses.replace(part, images=images))
            say(what, resprobe.drift(changed), changed.accuracy)
            late = delays(model, frame.blocks.ratio, changed.blocks.ratio, options.orders)
            print(f"{'':24} alarm of the server after {min(late)}, {np.median(late):.0f}, {max(late)} images")


async def run(options: Options, root: Path) -> None:
    """Converts the checkpoint, serves it and runs the demonstration."""
    own, fresh = split(options.data, root)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    models = root / "models"
    convert = Convert(
        options.checkpoint,
        mean=mean,
        std=std,
        depth=options.depth,
        dataset="cifar10",
        data=own,
        repository=models,
    )
    convert.run()
    async with serve(Config(models, address="127.0.0.1:0")) as port:
        model = description.read(next(models.glob("*/1")))
        if model is None:
            raise SystemExit("the converted model has no description")
        sets = [datasets.load("cifar10", directory) for directory in (own, fresh)]
        await asyncio.to_thread(demonstrate, f"127.0.0.1:{port}", model, sets[0], sets[1], options)


def main() -> None:
    """Runs the benchmark in a temporary directory."""
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(run(options, Path(root)))


if __name__ == "__main__":
    main()
