"""The network of the speed benchmark in PyTorch, one process: two bottom models, BatchNorm without scale or
shift, sign with a clipped straight-through gradient and noise, a top model with 64 hidden units, Adam.

Usage: pytorch.py mlp|cnn COLUMNS RECORDS BATCH EPOCHS; prints samples a second without the first epoch.
"""

import sys
import time

import torch
from torch import nn

kind, columns, records, batch, epochs = sys.argv[1], *map(int, sys.argv[2:6])
torch.manual_seed(0)
BITS = 64


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        context.save_for_backward(value)
        noisy = value + 0.5 * torch.randn_like(value)
        return torch.where(noisy >= 0, 1.0, -1.0)

    @staticmethod
    def backward(context, gradient):
        (value,) = context.saved_tensors
        return gradient * (value.abs() <= 1)


def bottom():
    if kind == "mlp":
        layers = [nn.Linear(columns, 128), nn.ReLU(), nn.Linear(128, BITS)]
    else:
        layers = [
            nn.Unflatten(1, (1, 28, 14)),
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 3, BITS),
        ]
    return nn.Sequential(*layers, nn.BatchNorm1d(BITS, affine=False))


bottoms = nn.ModuleList([bottom(), bottom()])
top = nn.Sequential(nn.Linear(2 * BITS, 64), nn.ReLU(), nn.Linear(64, 10))
optimiser = torch.optim.AdamW([*bottoms.parameters(), *top.parameters()], lr=1e-3)
loss = nn.CrossEntropyLoss()
sides = [torch.rand(records, columns) for _ in range(2)]
labels = torch.randint(10, (records,))

seconds = 0.0
for epoch in range(epochs):
    start = time.perf_counter()
    for rows in torch.randperm(records).split(batch):
        codes = [Sign.apply(model(side[rows])) for model, side in zip(bottoms, sides)]
        value = loss(top(torch.cat(codes, 1)), labels[rows])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    if epoch > 0:
        seconds += time.perf_counter() - start
print(records * (epochs - 1) / seconds)
