"""The article's way of working, as one script: one process, one recipe after the other. For the benchmark only.

python plain_keras.py FOLDER IMAGE_SIZE WIDTH BATCH_SIZE EPOCHS
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

Rate = Callable[[int, float], float]
Recipe = tuple[str, Callable[[], Any], Rate | None]


def images(folder: Path, size: int) -> tuple[Any, Any]:
    """All images of a folder with one folder a class, float32 in 0..1, and their labels."""
    paths = sorted(folder.glob("*/*.png"))
    classes = sorted({p.parent.name for p in paths})
    pixels = [np.asarray(Image.open(p).convert("RGB").resize((size, size)), np.float32) / 255 for p in paths]
    return np.stack(pixels), np.array([classes.index(p.parent.name) for p in paths])


def vgg16(size: int, width: float) -> Any:
    """VGG16 with `width` times its channels, global average pooling and two classes."""
    layers: list[Any] = [keras.Input((size, size, 3))]
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(keras.layers.Conv2D(int(channels * width), 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")])


def recipes(epochs: int) -> list[Recipe]:
    """The eleven recipes of the article that compare schedules and optimizers."""
    sgd, adam, rmsprop = keras.optimizers.SGD, keras.optimizers.Adam, keras.optimizers.RMSprop

    def cycle(e: int, _: float) -> float:
        if e < 18:
            return 0.1 / 18 * (e + 1)
        if e < 36:
            return 0.5 * (0.1 - 0.005) * (1.2 + math.cos(3.14 * (e - 18) / 18))
        return 0.01 * 0.5 ** ((1 + e) / 4)

    return [
        ("power", lambda: sgd(0.1), lambda e, _: 0.1 * (1 - e / epochs) ** 0.8),
        ("linear", lambda: sgd(0.1), lambda e, _: 0.1 / (1 + 0.98 * e)),
        ("exponential", lambda: sgd(0.1), lambda e, _: 0.1 * 0.2 ** ((e + 1) / epochs)),
        ("cosine", lambda: sgd(0.1), lambda e, _: 0.5 * (0.1 - 0.001) * (1 + math.cos(3.14 * e / epochs))),
        ("sgd", lambda: sgd(0.01), None),
        ("sgd-nesterov", lambda: sgd(0.01, momentum=0.9, nesterov=True), None),
        ("sgd-small", lambda: sgd(0.0001, momentum=0.9, nesterov=True), None),
        ("rmsprop", lambda: rmsprop(0.0001, rho=0.9, epsilon=1e-6), None),
        ("adam", lambda: adam(0.0001), None),
        ("sgdr", lambda: sgd(0.01), lambda e, _: 0.5 * 0.0099 * (1 + math.cos(3.14 * (e % 10) / 10))),
        ("one-cycle", lambda: sgd(0.1), cycle),
    ]


def main(folder: str, size: int, width: float, batch: int, epochs: int) -> None:
    """Train every recipe and print what it reached."""
    x, y = images(Path(folder), size)
    order = np.random.default_rng(0).permutation(len(x))
    train, held = order[len(x) // 4 :], order[: len(x) // 4]
    for name, optimizer, rate in recipes(epochs):
        model = vgg16(size, width)
        model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
        callbacks = [keras.callbacks.LearningRateScheduler(rate)] if rate else []
        fit = model.fit(
            x[train],
            y[train],
            batch_size=batch,
            epochs=epochs,
            validation_data=(x[held], y[held]),
            callbacks=callbacks,
            verbose=0,
        )
        print(name, fit.history["val_accuracy"][-1], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
