import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets, transforms

from benchmark.data import cifar10, dataset
from benchmark.running import errors
from stages import filter as stage
from tests.conftest import RunsCode, edit_params


def put(files):
    cifar10.FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (cifar10.FOLDER / name).write_bytes(content)


def stored():
    return torch.load(dataset.CIFAR2, weights_only=True)


@pytest.mark.parametrize("classes", [["airplane", "bird"], ["truck", "airplane", "cat"]])
def test_the_order_of_the_classes_determines_the_labels(workplace, official, classes):
    put(official)
    edit_params(workplace, {"data.classes": classes})
    stage.main()
    made = stored()
    names = list(cifar10.read_class_names(official[cifar10.META_FILE]))
    expected_images, expected_labels = [], []
    for name in cifar10.TRAIN_FILES:
        entry = pickle.loads(official[name])
        for row, label in zip(entry["data"], entry["labels"], strict=True):
            if names[label] in classes:
                expected_images.append(row.reshape(3, 32, 32))
                expected_labels.append(classes.index(names[label]))
    assert made["class_names"] == classes
    assert made["train_images"].dtype == torch.uint8
    assert made["train_labels"].dtype == torch.int64
    assert np.array_equal(made["train_images"].numpy(), np.stack(expected_images))
    assert made["train_labels"].tolist() == expected_labels
    assert made["train_images"].shape == (15 * len(classes), 3, 32, 32)
    assert made["val_images"].shape == (3 * len(classes), 3, 32, 32)
    assert made["val_labels"].shape == (3 * len(classes),)


def test_the_same_bytes_each_time(workplace, official):
    put(official)
    stage.main()
    first = dataset.CIFAR2.read_bytes()
    stage.main()
    assert dataset.CIFAR2.read_bytes() == first


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not the official file"),
    ],
)
def test_a_file_that_is_not_the_official_one_is_not_read(workplace, official, damage, said):
    put(official)
    damage(cifar10.FOLDER / "data_batch_2")
    with pytest.raises(errors.UserError, match=f"data_batch_2: {said}"):
        stage.main()
    assert not dataset.CIFAR2.exists()


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_a_pickle_that_would_run_code_is_not_run(workplace, ten_classes, name):
    ten_classes[name] = pickle.dumps({"labels": [0], "data": RunsCode()}, protocol=2)
    put(ten_classes)
    edit_params(workplace, {"data.source": "synthetic"})  # so that the MD5 is not checked
    with pytest.raises(errors.UserError, match=name):
        stage.main()
    assert not (workplace / "it-ran").exists()
    assert not dataset.CIFAR2.exists()


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {"labels": [0]},
        {"labels": [0, 1], "data": np.zeros((1, 3072), dtype=np.uint8)},
        {"labels": [0], "data": np.zeros((1, 3072))},
        {"labels": [0], "data": np.zeros((1, 3000), dtype=np.uint8)},
    ],
)
def test_a_batch_of_another_form_is_one_line(workplace, ten_classes, entry):
    ten_classes["data_batch_1"] = pickle.dumps(entry, protocol=2)
    put(ten_classes)
    edit_params(workplace, {"data.source": "synthetic"})
    with pytest.raises(errors.UserError, match="data_batch_1: not a valid CIFAR-10 file"):
        stage.main()


def test_normalization_is_bitwise_equal_to_torchvisions():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    mean, std = (0.4915, 0.4823, 0.4468), (0.2470, 0.2435, 0.2616)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    expected = torch.stack([transform(image) for image in pixels])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    assert torch.equal(dataset.normalize(images, mean, std), expected)


def test_the_constants_are_torchvisions():
    assert datasets.CIFAR10.url == cifar10.URL
    assert cifar10.FOLDER.name == datasets.CIFAR10.base_folder
    assert [name for name, _ in datasets.CIFAR10.train_list] == cifar10.TRAIN_FILES
    assert [name for name, _ in datasets.CIFAR10.test_list] == cifar10.VAL_FILES
    assert {
        **dict(datasets.CIFAR10.train_list),
        **dict(datasets.CIFAR10.test_list),
        cifar10.META_FILE: datasets.CIFAR10.meta["md5"],
    } == cifar10.OFFICIAL_MD5
