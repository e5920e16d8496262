"""URVFL on the first block of a cnn, on right halves of MNIST, by PyTorch: what `float_hijack --by urvfl` is compared with.

Written from the paper (Yao, Li, Gong, Hou and Pan 2025, "URVFL: Undetectable data reconstruction attack on vertical federated
learning"), with its settings: 4,545 images of the hijacker's own, 20 passes over them before the run, Adam at 1e-4. The victim's
block (convolution, ReLU, maximum), the batches and the discriminator's units are those of float_hijack.

pip install numpy torch
python benches/python/urvfl_reference.py FOLDER [--steps 10000] [--seed 0]
"""

import argparse
import gzip
import pathlib

import numpy
import torch
from torch import nn
from torch.nn import functional

BATCH, CLASSES, SCORED, OWNED, PASSES = 64, 10, 2_000, 4_545, 20


def read(folder, part):
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = numpy.frombuffer(file.read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = numpy.frombuffer(file.read(), numpy.uint8, offset=8)
    # The right halves.
    return images[:, :, :, 14:], labels


def load(folder):
    parts = [read(folder, part) for part in ("train", "t10k")]
    images, labels = (numpy.concatenate([part[of] for part in parts]) for of in (0, 1))
    return torch.from_numpy(images / numpy.float32(255)), torch.from_numpy(labels.astype(numpy.int64))


def block():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))


def decoder():
    return nn.Sequential(
        nn.Conv2d(16, 64, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 2, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
    )


def discriminator():
    width = 16 * 14 * 7
    layers = [nn.Flatten(), nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 2 * CLASSES))


def adam(*models, rate=1e-4):
    return torch.optim.Adam([weights for model in models for weights in model.parameters()], lr=rate)


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def similarity(truth, guess):
    """SSIM of each image (Wang et al. 2004): windows of 11 x 11 pixels that lie in it wholly, sigma 1.5, range 1."""
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = torch.outer(line / line.sum(), line / line.sum())[None, None]

    def mean(values):
        return functional.conv2d(values, window)

    mean_t, mean_g = mean(truth), mean(guess)
    var_t, var_g = mean(truth * truth) - mean_t**2, mean(guess * guess) - mean_g**2
    shared = mean(truth * guess) - mean_t * mean_g
    above = (2 * mean_t * mean_g + 1e-4) * (2 * shared + 9e-4)
    below = (mean_t**2 + mean_g**2 + 1e-4) * (var_t + var_g + 9e-4)
    return (above / below).mean((1, 2, 3))


def interval(values, seed):
    values = values.numpy()
    draws = numpy.random.default_rng(seed).integers(0, len(values), (1_000, len(values)))
    low, high = numpy.percentile(values[draws].mean(1), [2.5, 97.5])
    return f"{values.mean():.4f} ({low:.4f} to {high:.4f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder with mnist/")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    images, labels = load(arguments.folder / "mnist")
    order = torch.randperm(len(images))
    own, theirs = order[:OWNED], order[OWNED:]

    surrogate, reads, victim, tells = block(), decoder(), block(), discriminator()
    of_surrogate, of_victim, of_tells = adam(surrogate, reads), adam(victim, rate=1e-3), adam(tells)
    for _ in range(PASSES):
        for rows in own[torch.randperm(OWNED)].split(BATCH):
            step(of_surrogate, functional.mse_loss(reads(surrogate(images[rows])), images[rows]))

    for _ in range(arguments.steps):
        rows = theirs[torch.randint(len(theirs), (BATCH,))]
        own_rows = own[torch.randint(OWNED, (BATCH,))]
        sent = victim(images[rows])
        # The victim's codes are to be taken for the surrogate's of their class, 2y + 1.
        step(of_victim, functional.cross_entropy(tells(sent), 2 * labels[rows] + 1))
        with torch.no_grad():
            ours = surrogate(images[own_rows])
        of_theirs = functional.cross_entropy(tells(sent.detach()), 2 * labels[rows])
        of_ours = functional.cross_entropy(tells(ours), 2 * labels[own_rows] + 1)
        step(of_tells, of_theirs + of_ours)

    with torch.no_grad():
        truth = images[theirs[:SCORED]]
        guess = reads(victim(truth))
        errors = ((guess - truth) ** 2).mean((1, 2, 3))
        print(f"urvfl, {arguments.steps} steps: MSE {interval(errors, arguments.seed)}, "
              f"SSIM {interval(similarity(truth, guess), arguments.seed)}")


if __name__ == "__main__":
    main()
