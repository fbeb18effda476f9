"""Write generated images in the format of CIFAR-10, to try the pipeline offline."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmark.classes import CLASS_NAMES, SYNTHETIC_CLASSES
from benchmark.data import cifar10
from benchmark.data.scenes import SIZE, scene
from benchmark.params import Synthetic


def generate(params: Synthetic, folder: Path) -> None:
    """Write the seven files to `folder`. The same params give the same images."""
    generator = np.random.default_rng(params.seed)
    shares = np.array_split(np.arange(params.train_images), len(cifar10.TRAIN_FILES))
    sizes = dict(zip(cifar10.TRAIN_FILES, map(len, shares), strict=True))
    sizes[cifar10.VAL_FILES[0]] = params.val_images
    with tqdm(total=sum(sizes.values()), desc="generating", unit="image") as progress:
        for name, n_images in sizes.items():
            images, labels = [], []
            for i in range(n_images):
                label = CLASS_NAMES.index(SYNTHETIC_CLASSES[i % len(SYNTHETIC_CLASSES)])
                images.append(scene(CLASS_NAMES[label], generator))
                labels.append(label)
                progress.update()
            data = np.stack(images).transpose(0, 3, 1, 2).reshape(n_images, -1)
            entry = {
                "batch_label": name,
                "labels": labels,
                "data": np.ascontiguousarray(data),
                "filenames": [f"{name}_{i}.png" for i in range(n_images)],
            }
            (folder / name).write_bytes(cifar10.write_pickle(entry))
    meta = {"label_names": list(CLASS_NAMES), "num_vis": SIZE * SIZE * 3}
    (folder / cifar10.META_FILE).write_bytes(cifar10.write_pickle(meta))
