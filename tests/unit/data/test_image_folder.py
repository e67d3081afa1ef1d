"""A user's folder of images: what is found in it, how it is read, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from PIL import Image

from lightning_nas.data import ImageFolder
from lightning_nas.data.loading import InMemory, Streamed
from lightning_nas.data.reading import read_header, read_image


def write(path: Path, size: tuple[int, int] = (8, 8), grey: bool = False, value: int | None = None) -> None:
    """One image of (height, width): of one value, or of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if grey else (*size, 3)
    noise = np.random.default_rng(len(str(path))).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(noise if value is None else np.full(shape, value, dtype=np.uint8)).save(path)


def flat(root: Path, count: int = 10, **options: Any) -> Path:
    for number, name in enumerate(("ant", "bee")):
        for i in range(count):
            write(root / name / f"{i}.png", value=10 * number + i, **options)
    return root


def parted(root: Path, parts: tuple[str, ...] = ("train", "val", "test"), count: int = 4) -> Path:
    for part in parts:
        flat(root / part, count)
    return root


def test_a_flat_folder_is_split_into_three(tmp_path: Path) -> None:
    data = ImageFolder(flat(tmp_path), batch_size=4, validation=0.25)
    data.setup("fit")
    assert data.class_names == ("ant", "bee")
    assert data.shape == (3, 8, 8)
    assert len(data.testing) == 4
    assert len(data.training) == 16
    assert [len(p) for p in data.parts if p] == [12, 4]
    values = [
        int(image.max())
        for part in (data.training, data.testing)
        for image, _, _ in (part[i] for i in range(len(part)))
    ]
    assert sorted(values) == sorted([*range(10), *range(10, 20)])  # each image is in exactly one part
    image, target, _ = data.training[0]
    assert target == int(image.max()) // 10


def test_validation_batches_mix_the_classes(tmp_path: Path) -> None:
    """In the folder's order a batch would hold one class, whose statistics describe no other batch."""
    data = ImageFolder(parted(tmp_path, count=32), batch_size=16)
    data.setup("fit")
    first, again = (
        [(targets.tolist(), positions.tolist()) for _, targets, positions in data.val_dataloader()] for _ in range(2)
    )
    assert first == again, "the same order each time"
    assert all(set(targets) == {0, 1} for targets, _ in first)
    assert sorted(p for _, positions in first for p in positions) == list(range(64))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_train_validation_and_test_folders_are_used_as_they_are(tmp_path: Path, name: str) -> None:
    data = ImageFolder(parted(tmp_path, ("train", name, "test")), batch_size=4)
    data.setup("fit")
    assert len(data.training) == 8
    assert [len(part) for part in data.parts if part] == [8, 8]
    assert len(data.testing) == 8
    assert data.parts[1] is not None
    assert data.testing is not data.parts[1]


def test_without_a_test_folder_the_validation_images_are_the_test_set(tmp_path: Path) -> None:
    data = ImageFolder(parted(tmp_path, ("train", "val")), batch_size=4)
    data.setup("fit")
    assert data.testing is data.parts[1]


def test_without_a_validation_folder_a_share_is_split_off(tmp_path: Path) -> None:
    data = ImageFolder(parted(tmp_path, ("train", "test")), batch_size=4, validation=0.25)
    assert [len(part) for part in data.parts if part] == [6, 2]
    assert len(data.testing) == 8


def test_a_class_named_train_is_a_class(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a.png")
    write(tmp_path / "plane" / "a.png")
    assert ImageFolder(tmp_path).class_names == ("plane", "train")


def test_grey_images_have_one_channel_and_stray_files_are_passed_over(tmp_path: Path) -> None:
    flat(tmp_path, grey=True)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    data = ImageFolder(tmp_path)
    assert data.shape == (1, 8, 8)
    assert data.classes == 2
    assert data.mean == pytest.approx([float(data.training.images.double().mean() / 255)])  # type: ignore[attr-defined]


def test_grey_images_among_colour_ones_become_colour(tmp_path: Path) -> None:
    flat(tmp_path)
    write(tmp_path / "ant" / "grey.png", grey=True, value=77)
    data = ImageFolder(tmp_path, test=0)
    position = int((data.training.images == 77).all(3).all(2).all(1).nonzero())  # type: ignore[attr-defined]
    assert data.shape[0] == 3
    assert data.training[position][0].shape == (3, 8, 8)


def test_mixed_sizes_are_brought_to_the_median_side(tmp_path: Path) -> None:
    for i, size in enumerate([(10, 20), (30, 12), (16, 16)]):
        write(tmp_path / "a" / f"{i}.png", size)
        write(tmp_path / "b" / f"{i}.jpg", size)
    data = ImageFolder(tmp_path, batch_size=2)
    data.setup("fit")
    assert data.shape == (3, 12, 12)
    assert data.training[0][0].shape == (3, 12, 12)
    assert ImageFolder(tmp_path, size=6).shape == (3, 6, 6)


def test_equal_sizes_are_kept_though_not_square(tmp_path: Path) -> None:
    assert ImageFolder(flat(tmp_path, size=(8, 12))).shape == (3, 8, 12)


def test_large_images_propose_the_imagenet_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("lightning_nas.data.image_folder.rank_zero_info", said.append)
    flat(tmp_path / "large", 4, size=(65, 65))
    data = ImageFolder(tmp_path / "large", batch_size=2)
    data.setup("fit")
    assert data.stem == "imagenet"
    assert any("stem: imagenet" in text for text in said)
    assert ImageFolder(flat(tmp_path / "small")).stem == "cifar"


def test_a_folder_over_the_memory_limit_is_streamed_with_equal_batches(tmp_path: Path) -> None:
    flat(tmp_path)
    memory, disk = ImageFolder(tmp_path, 4, workers=0), ImageFolder(tmp_path, 4, memory_limit_gb=1e-6, workers=0)
    for data in (memory, disk):
        data.setup("fit")
    assert isinstance(memory.training, InMemory)
    assert isinstance(disk.training, Streamed)
    assert memory.mean == pytest.approx(disk.mean)
    assert memory.std == pytest.approx(disk.std)
    for a, b in zip(memory.train_dataloader(), disk.train_dataloader(), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_streaming_takes_workers_unless_told(tmp_path: Path) -> None:
    data = ImageFolder(flat(tmp_path), 4, memory_limit_gb=0)
    data.setup("fit")
    assert data.workers > 0
    assert data.train_dataloader().num_workers == data.workers
    images = torch.cat([batch[0] for batch in data.train_dataloader()])
    assert images.shape == (14, 3, 8, 8)


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png"), (1, 4, 4)).unique().tolist() == [128]


def test_palettes_and_transparency_become_colour(tmp_path: Path) -> None:
    color = Image.new("RGBA", (4, 4), (10, 20, 30, 128))
    color.save(tmp_path / "a.png")
    color.convert("P").save(tmp_path / "b.png", transparency=b"\x00\x80")
    assert read_image(str(tmp_path / "a.png"), (3, 4, 4))[:, 0, 0].tolist() == [10, 20, 30]
    assert read_image(str(tmp_path / "b.png"), (3, 4, 4)).shape == (3, 4, 4)


def test_resizing_keeps_the_centre(tmp_path: Path) -> None:
    image = np.zeros((10, 30, 3), dtype=np.uint8)
    image[:, 10:20] = 200
    Image.fromarray(image).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png"), (3, 10, 10)).unique().tolist() == [200]


def empty_class(root: Path) -> str:
    flat(root)
    (root / "cat").mkdir()
    return r"class folder .*cat has no images"


def one_class(root: Path) -> str:
    write(root / "ant" / "a.png")
    return "has only one class, 'ant'"


def no_folders(root: Path) -> str:
    write(root / "a.png")
    return "has no class folders"


def corrupt(root: Path) -> str:
    flat(root)
    file = root / "bee" / "3.png"
    file.write_bytes(file.read_bytes()[:40])
    return r"The image .*bee.3\.png cannot be read"


def not_an_image(root: Path) -> str:
    flat(root)
    (root / "ant" / "fake.jpg").write_text("hello")
    return r"The image .*ant.fake\.jpg cannot be read"


def unknown_class(root: Path) -> str:
    parted(root)
    write(root / "test" / "wasp" / "a.png")
    return r"wasp is a class without training images"


def two_validations(root: Path) -> str:
    parted(root, ("train", "val", "valid"))
    return "several validation folders"


BROKEN = [empty_class, one_class, no_folders, corrupt, not_an_image, unknown_class, two_validations]


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_a_broken_folder_is_refused_before_training(tmp_path: Path, damage: Any) -> None:
    text = damage(tmp_path)
    with pytest.raises(ValueError, match=text):
        ImageFolder(tmp_path, batch_size=2).setup("fit")


def test_a_corrupt_streamed_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    flat(tmp_path)
    for file in (tmp_path / "bee").iterdir():
        file.write_bytes(file.read_bytes()[:45])
    data = ImageFolder(tmp_path, 2, size=8, memory_limit_gb=0, workers=1, mean=[0.5] * 3, std=[0.5] * 3)
    data.setup("fit")
    with pytest.raises(ValueError, match=r"The image .*bee.\d\.png cannot be read"):
        list(data.train_dataloader())


def test_a_missing_folder_is_named() -> None:
    for stage in ("fit", "test", "predict"):
        with pytest.raises(ValueError, match=r"root='no/such' does not exist"):
            ImageFolder("no/such", predict_root="no/such").setup(stage)


def test_shares_that_a_folder_already_answers_are_refused(tmp_path: Path) -> None:
    parted(tmp_path)
    with pytest.raises(ValueError, match=r"validation=0.2, but root=.* has a validation folder"):
        ImageFolder(tmp_path, 2, validation=0.2).setup("fit")
    with pytest.raises(ValueError, match=r"test=0.2, but root=.* has a test folder"):
        ImageFolder(tmp_path, 2, test=0.2).setup("fit")


def test_no_test_share_trains_but_does_not_test(tmp_path: Path) -> None:
    data = ImageFolder(flat(tmp_path), 2, test=0)
    data.setup("fit")
    assert len(data.training) == 20
    with pytest.raises(ValueError, match="test=0 leaves no test set"):
        data.setup("test")


def test_arguments_out_of_range_are_refused() -> None:
    for arguments, text in (({"size": 0}, "size=0"), ({"test": 1.5}, "test=1.5"), ({"memory_limit_gb": -1}, "gb=-1")):
        with pytest.raises(ValueError, match=text):
            ImageFolder("x", **arguments)  # type: ignore[arg-type]


class Predicting(BoringModel):
    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        images, positions = batch
        assert images.dtype == torch.float32
        return images.flatten(1)[:, 0], positions


def test_prediction_batches_name_their_files(tmp_path: Path) -> None:
    flat(tmp_path / "train")
    for i in range(5):
        write(tmp_path / "new" / ("deep" if i % 2 else "") / f"{i}.png", (16, 16), value=50 * i)
    data = ImageFolder(tmp_path / "train", 2, predict_root=tmp_path / "new")
    run = L.Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", default_root_dir=tmp_path)
    batches: Any = run.predict(Predicting(), datamodule=data)
    values, positions = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(positions.tolist()) == list(range(5))
    assert len(batches) == 3
    for value, position in zip(values.tolist(), positions.tolist(), strict=True):
        written = 50 * int(Path(data.predict_files[position]).stem)
        assert value == pytest.approx((written / 255 - data.mean[0]) / data.std[0], abs=1e-4)


def test_an_empty_prediction_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    data = ImageFolder(flat(tmp_path / "train"), 2, predict_root=tmp_path / "new")
    with pytest.raises(ValueError, match=r"predict_root=.*new' has no images"):
        data.setup("predict")


TURNED = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}
"""How a camera stores an upright image under each EXIF orientation."""


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_photos_stand_as_viewers_show_them(orientation: int, ending: str, tmp_path: Path) -> None:
    """Red above, blue below on the left, green on the right; read in its size and in a smaller one."""
    upright = Image.new("RGB", (24, 40), (255, 0, 0))
    upright.paste((0, 0, 255), (0, 20, 12, 40))
    upright.paste((0, 255, 0), (12, 20, 24, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / f"photo.{ending}")
    TURNED[orientation](upright).save(path, exif=exif)
    assert read_header(path)[:2] == (40, 24)
    for height, width in ((40, 24), (20, 12)):
        image = read_image(path, (3, height, width)).float()
        assert image.shape == (3, height, width)
        above, left, right = image[:, 2, 2], image[:, -3, 2], image[:, -3, -3]
        assert [int(pixel.argmax()) for pixel in (above, left, right)] == [0, 2, 1]


def test_a_folder_of_turned_photos_has_their_upright_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (40, 30)).save(tmp_path / name / f"{number}.jpg", exif=exif)
    assert ImageFolder(tmp_path, batch_size=2).shape == (3, 40, 30)
