#!/usr/bin/env python3
"""Recomputes this example with dense numpy and scipy, and none of Dunnage's code.

    python3 check.py                 # the table of all 18 settings and the best one
    python3 check.py result.json     # also compares the `best` value of a run with it

Needs numpy and scipy. The data are read from `diabetes.csv` beside this file.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy.linalg

LENGTH_SCALES = [1, 2, 3, 4, 6, 8]
NOISES = [0.5, 0.7, 0.9]


def load():
    """Reads the table and splits it: rows 4, 9, 14, ... are held out."""
    table = np.loadtxt(Path(__file__).with_name("diabetes.csv"), delimiter=",", skiprows=1)
    held_out = np.arange(len(table)) % 5 == 4
    train, test = table[~held_out], table[held_out]
    # `std` divides by n: the population deviation.
    center, scale = train.mean(axis=0), train.std(axis=0)
    train, test = (train - center) / scale, (test - center) / scale
    return train[:, :-1], train[:, -1], test[:, :-1], test[:, -1], scale[-1]


def kernel(a, b, length_scale):
    """exp(-|x - x'|^2 / (2 l^2)), by the differences themselves and not by an expansion."""
    difference = a[:, None, :] - b[None, :, :]
    return np.exp(-(difference**2).sum(axis=2) / (2.0 * length_scale**2))


def score(length_scale, noise):
    """Log marginal likelihood and held-out error of one setting."""
    x, y, x_test, y_test, y_scale = load()
    n = len(y)
    covariance = kernel(x, x, length_scale) + noise**2 * np.eye(n)
    factor = scipy.linalg.cho_factor(covariance, lower=True)
    alpha = scipy.linalg.cho_solve(factor, y)
    log_determinant = 2.0 * np.log(np.diag(factor[0])).sum()
    likelihood = -0.5 * y @ alpha - 0.5 * log_determinant - 0.5 * n * np.log(2.0 * np.pi)
    # A second way to the same number: LU instead of Cholesky.
    sign, other = np.linalg.slogdet(covariance)
    other = -0.5 * y @ np.linalg.solve(covariance, y) - 0.5 * other - 0.5 * n * np.log(2.0 * np.pi)
    assert sign == 1.0 and abs(likelihood - other) < 1e-8, (likelihood, other)
    prediction = kernel(x_test, x, length_scale) @ alpha
    rmse = np.sqrt(np.mean((prediction - y_test) ** 2)) * y_scale
    return {
        "length_scale": length_scale,
        "noise": noise,
        "log_marginal_likelihood": float(likelihood),
        "rmse": float(rmse),
    }


def main():
    scores = [score(l, s) for l in LENGTH_SCALES for s in NOISES]
    print(f"{'l':>3} {'s':>4} {'log marginal likelihood':>26} {'rmse':>20}")
    for row in scores:
        print(
            f"{row['length_scale']:>3} {row['noise']:>4} "
            f"{row['log_marginal_likelihood']:>26.12f} {row['rmse']:>20.12f}"
        )
    best = max(scores, key=lambda row: row["log_marginal_likelihood"])
    print("best:", json.dumps(best))
    if len(sys.argv) > 1:
        given = json.loads(Path(sys.argv[1]).read_text())
        for key, value in best.items():
            if not np.isclose(given[key], value, rtol=1e-9, atol=0.0):
                sys.exit(f"differs: {key} is {given[key]!r} and should be {value!r}")
        print("the given result agrees to nine digits")


if __name__ == "__main__":
    main()
