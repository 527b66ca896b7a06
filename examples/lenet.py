"""LeNet-5 learns digits as a display of seven segments shows them, shifted, stretched and in noise.

    python examples/lenet.py

The layers are those of LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86 (1998), with ReLU and max-pooling in place of what was at hand then.
"""

import numpy as np

import autodiff as ad
import nn

SEGMENTS = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]
#            left, top, right, bottom, in units of a segment's length
STROKES = {"a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2), "e": (0, 1, 0, 2),
           "f": (0, 0, 0, 1), "g": (0, 1, 1, 1)}


def draw(digit, rng):
    """A digit on 28 × 28 pixels."""
    image = np.zeros((28, 28), np.float32)
    x, y, length = rng.integers(3, 12), rng.integers(2, 8), rng.integers(7, 9)
    for segment in SEGMENTS[digit]:
        left, top, right, bottom = (length * c for c in STROKES[segment])
        image[y + top:y + bottom + 2, x + left:x + right + 2] = 1.0
    return image + rng.normal(0, 0.3, image.shape)


def digits(n, rng):
    """Images (n, 1, 28, 28) and what they show."""
    labels = rng.integers(0, 10, n)
    return np.stack([draw(digit, rng) for digit in labels])[:, None].astype(np.float32), labels


def lenet(rng):
    """Two convolutions, each halved in size by pooling, and three dense layers."""
    options = {"rng": rng, "dtype": np.float32, "init": nn.init.he_normal_}
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, **options), nn.ReLU(), nn.MaxPool2d(2),          # 6 × 14 × 14
        nn.Conv2d(6, 16, 5, **options), nn.ReLU(), nn.MaxPool2d(2),                    # 16 × 5 × 5
        nn.Flatten(), nn.Linear(400, 120, **options), nn.ReLU(),
        nn.Linear(120, 84, **options), nn.ReLU(), nn.Linear(84, 10, **options))


rng = np.random.default_rng(0)
train, test = digits(800, rng), digits(200, rng)
model = lenet(rng)
print(model)


def accuracy(prediction, labels):
    """How many are right."""
    return float(np.mean(prediction.argmax(axis=1) == labels))


history = nn.fit(model, nn.CrossEntropyLoss(), train, nn.optim.Adam(model.parameters(), lr=2e-3), epochs=5,
                 batch_size=16, validation=test, metrics={"accuracy": accuracy}, rng=rng, progress=False)
print(history)

loss = nn.functional.cross_entropy(model(train[0][:4]), train[1][:4])
print(ad.Tape(loss))
