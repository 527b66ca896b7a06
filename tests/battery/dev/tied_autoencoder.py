"""An autoencoder whose decoder is the transposed encoder; samples in columns, as many codes as inputs."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("W", "b", "c")


def data(rng, dtype):
    return {"X": rng.normal(size=(4, 6)).astype(dtype), "W": (0.8 * rng.normal(size=(4, 4))).astype(dtype),
            "b": (0.5 * rng.normal(size=(4, 1))).astype(dtype), "c": (0.5 * rng.normal(size=(4, 1))).astype(dtype)}


def loss(X, W, b, c):
    Z = W @ X + b
    H = ad.sigmoid(Z)
    R = W.T @ H + c
    D = R - X
    loss = 0.5 * np.sum(D * D) / X.shape[1]
    return loss


def both_uses(X, W, b, c):
    m = X.shape[1]
    H = 1 / (1 + np.exp(-(W @ X + b)))
    R = W.T @ H + c
    dR = (R - X) / m
    dc = dR.sum(axis=1, keepdims=True)
    dW_decoder = H @ dR.T
    dH = W @ dR
    dZ = H * (1 - H) * dH
    dW_encoder = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    dW = dW_encoder + dW_decoder
    return {"W": dW, "b": db, "c": dc}


def column_by_column(X, W, b, c):
    GW, Gb, Gc = np.zeros(W.shape), np.zeros(b.shape), np.zeros(c.shape)
    m = X.shape[1]
    for j in range(m):
        x = X[:, j:j + 1]
        h = ad.sigmoid(W @ x + b)
        delta = (W.T @ h + c - x) / m
        Gc += delta
        GW += h @ delta.T
        back = W @ delta
        back = back * h * (1 - h)
        GW += back @ x.T
        Gb += back
    return {"W": GW, "b": Gb, "c": Gc}


RIGHT = (both_uses, column_by_column)

SLIPS = (
    Slip("the encoder's use only", both_uses, ("dW = dW_encoder + dW_decoder", "dW = dW_encoder")),
    Slip("the decoder's use only", both_uses, ("dW = dW_encoder + dW_decoder", "dW = dW_decoder")),
    Slip("the decoder's part transposed", both_uses, ("dW_decoder = H @ dR.T", "dW_decoder = dR @ H.T")),
    Slip("the encoder's part transposed", both_uses, ("dW_encoder = dZ @ X.T", "dW_encoder = X @ dZ.T")),
    Slip("all of W transposed", both_uses, ("dW = dW_encoder + dW_decoder", "dW = (dW_encoder + dW_decoder).T")),
    Slip("W.T on the way back", both_uses, ("dH = W @ dR", "dH = W.T @ dR")),
    Slip("the difference of the two uses", both_uses, ("dW = dW_encoder + dW_decoder", "dW = dW_encoder - dW_decoder")),
    Slip("the mean of the two uses", both_uses, ("dW = dW_encoder + dW_decoder", "dW = (dW_encoder + dW_decoder) / 2")),
    Slip("forgot sigmoid'", both_uses, ("dZ = H * (1 - H) * dH", "dZ = dH")),
    Slip("two of the square where there is a half", both_uses, ("dR = (R - X) / m", "dR = 2 * (R - X) / m")),
    Slip("the reconstruction instead of the code", both_uses, ("dW_decoder = H @ dR.T", "dW_decoder = R @ dR.T")),
    Slip("the reconstruction instead of the input", both_uses, ("dW_encoder = dZ @ X.T", "dW_encoder = dZ @ R.T")),
    Slip("input minus reconstruction", both_uses, ("dR = (R - X) / m", "dR = (X - R) / m")),
    Slip("b and c swapped", both_uses, ('return {"W": dW, "b": db, "c": dc}', 'return {"W": dW, "b": dc, "c": db}')),
    Slip("c not summed over the samples", both_uses, ("dc = dR.sum(axis=1, keepdims=True)", "dc = dR[:, :1]")),
    Slip("sigmoid' is h minus one times h", column_by_column,
         ("back = back * h * (1 - h)", "back = back * h * (h - 1)")),
    Slip("encoder overwrites decoder", column_by_column, ("GW += back @ x.T", "GW = back @ x.T")),
    Slip("decoder's part overwrites", column_by_column, ("GW += h @ delta.T", "GW = h @ delta.T")),
    Slip("W.T on the way back and no sigmoid'", column_by_column, ("back = W @ delta", "back = W.T @ delta"),
         ("back = back * h * (1 - h)", "")),
)
