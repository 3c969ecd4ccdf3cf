"""Restricted Boltzmann machines on processors: Metropolis sweeps and flip ratios in closed form, compiled.

Hidden unit m of psi = exp(a.s) prod_m 2 cosh theta_m is kept as its two populations

    p_m = exp(theta_m) / (2 cosh theta_m),    q_m = exp(-theta_m) / (2 cosh theta_m),    p_m + q_m = 1.

Flipping site i multiplies psi by exp(-2 a_i s_i) prod_m f_m, f_m = p_m exp(-2 W_mi s_i) + q_m exp(+2 W_mi s_i), and
makes p_m into p_m exp(-2 W_mi s_i) / f_m. No theta is computed anew, and no digits are lost where a unit is saturated,
as they are with tanh theta. Products run over blocks of hidden units that can neither over- nor underflow; their
logarithms are added. Real and imaginary parts lie in arrays of their own, with the hidden index contiguous: LLVM makes
vector instructions of such loops.

`growth[i, c]` holds exp(-2 W_mi s) for s = +1 (c = 0) and -1 (c = 1), in complex machines with the real and the
imaginary part in a further axis. `weight` is W transposed; complex arrays have their parts in the first axis.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["ratios_complex", "ratios_real", "sweep_complex", "sweep_real", "warm_up"]

_log = logging.getLogger("qmlphys")

Array = NDArray[Any]
# Samples that are worked on together: the rows of growth of one term are then read from the cache.
_TILE = 8
# Products may be fused with sums, nothing more: infinities stay, and no sum is reordered.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}


@numba.njit(**_OPTIONS)
def _product_real(p: Array, q: Array, a: Array, b: Array, work: Array) -> float:
    """Product of p a + q b over one block; `work` is at least a quarter as long."""
    n = p.size
    width = n // 4
    for j in range(width):
        f = p[j] * a[j] + q[j] * b[j]
        g = p[j + width] * a[j + width] + q[j + width] * b[j + width]
        u = p[j + 2 * width] * a[j + 2 * width] + q[j + 2 * width] * b[j + 2 * width]
        v = p[j + 3 * width] * a[j + 3 * width] + q[j + 3 * width] * b[j + 3 * width]
        work[j] = (f * g) * (u * v)
    while width > 8:
        half = width // 2
        if width % 2:
            work[0] *= work[width - 1]
        for j in range(half):
            work[j] *= work[half + j]
        width = half
    x = 1.0
    for j in range(width):
        x *= work[j]
    for j in range(n - n % 4, n):
        x *= p[j] * a[j] + q[j] * b[j]
    return x


@numba.njit(**_OPTIONS)
def _factor(
    pr: Array, pi: Array, qr: Array, qi: Array, ar: Array, ai: Array, br: Array, bi: Array, k: int
) -> tuple[float, float]:
    """Return p a + q b of one hidden unit."""
    re = pr[k] * ar[k] - pi[k] * ai[k] + qr[k] * br[k] - qi[k] * bi[k]
    im = pr[k] * ai[k] + pi[k] * ar[k] + qr[k] * bi[k] + qi[k] * br[k]
    return re, im


@numba.njit(**_OPTIONS)
def _product_complex(
    pr: Array, pi: Array, qr: Array, qi: Array, ar: Array, ai: Array, br: Array, bi: Array, wr: Array, wi: Array
) -> tuple[float, float]:
    """Product of p a + q b over one block, real and imaginary part; `wr`, `wi` are at least a quarter as long."""
    n = pr.size
    width = n // 4
    for j in range(width):
        fr, fi = _factor(pr, pi, qr, qi, ar, ai, br, bi, j)
        gr, gi = _factor(pr, pi, qr, qi, ar, ai, br, bi, j + width)
        x, y = fr * gr - fi * gi, fr * gi + fi * gr
        gr, gi = _factor(pr, pi, qr, qi, ar, ai, br, bi, j + 2 * width)
        fr, fi = x * gr - y * gi, x * gi + y * gr
        gr, gi = _factor(pr, pi, qr, qi, ar, ai, br, bi, j + 3 * width)
        wr[j], wi[j] = fr * gr - fi * gi, fr * gi + fi * gr
    while width > 8:
        half = width // 2
        if width % 2:
            x = wr[0] * wr[width - 1] - wi[0] * wi[width - 1]
            wi[0] = wr[0] * wi[width - 1] + wi[0] * wr[width - 1]
            wr[0] = x
        for j in range(half):
            x = wr[j] * wr[half + j] - wi[j] * wi[half + j]
            wi[j] = wr[j] * wi[half + j] + wi[j] * wr[half + j]
            wr[j] = x
        width = half
    x, y = 1.0, 0.0
    for j in range(width):
        x, y = x * wr[j] - y * wi[j], x * wi[j] + y * wr[j]
    for j in range(n - n % 4, n):
        gr, gi = _factor(pr, pi, qr, qi, ar, ai, br, bi, j)
        x, y = x * gr - y * gi, x * gi + y * gr
    return x, y


@numba.njit(**_OPTIONS)
def _populations_real(row: Array, weight: Array, hidden: Array, p: Array, q: Array) -> None:
    """Fill p and q of one configuration."""
    for m in range(p.size):
        p[m] = hidden[m]
    for i in range(row.size):
        s = float(row[i])
        w = weight[i]
        for m in range(p.size):
            p[m] += s * w[m]
    for m in range(p.size):
        theta = p[m]
        e = np.exp(-2.0 * abs(theta))  # the smaller population over the larger one
        large = 1.0 / (1.0 + e)
        small = e * large
        p[m] = large if theta >= 0.0 else small
        q[m] = small if theta >= 0.0 else large


@numba.njit(**_OPTIONS)
def _populations_complex(row: Array, weight: Array, hidden: Array, pr: Array, pi: Array, qr: Array, qi: Array) -> None:
    """Fill p and q of one configuration."""
    for m in range(pr.size):
        pr[m] = hidden[0, m]
        pi[m] = hidden[1, m]
    for i in range(row.size):
        s = float(row[i])
        wr, wi = weight[0, i], weight[1, i]
        for m in range(pr.size):
            pr[m] += s * wr[m]
        for m in range(pr.size):
            pi[m] += s * wi[m]
    for m in range(pr.size):
        theta = pr[m]
        angle = -2.0 * pi[m] if theta >= 0.0 else 2.0 * pi[m]
        size = np.exp(-2.0 * abs(theta))
        er, ei = size * np.cos(angle), size * np.sin(angle)
        norm = (1.0 + er) * (1.0 + er) + ei * ei
        large_r, large_i = (1.0 + er) / norm, -ei / norm
        small_r, small_i = er * large_r - ei * large_i, er * large_i + ei * large_r
        pr[m] = large_r if theta >= 0.0 else small_r
        pi[m] = large_i if theta >= 0.0 else small_i
        qr[m] = small_r if theta >= 0.0 else large_r
        qi[m] = small_i if theta >= 0.0 else large_i


@numba.njit(**_OPTIONS)
def _growth_real(row: Array, sites: Array, growth: Array, work: Array) -> tuple[Array, Array]:
    """Return the rows a and b that flips of some sites multiply p and q by; -1 ends the sites."""
    code = 0 if row[sites[0]] > 0 else 1
    a, b = growth[sites[0], code], growth[sites[0], 1 - code]
    for k in range(1, sites.size):
        if sites[k] < 0:
            break
        code = 0 if row[sites[k]] > 0 else 1
        c, d = growth[sites[k], code], growth[sites[k], 1 - code]
        x, y = work[2], work[3]
        for m in range(x.size):
            x[m] = a[m] * c[m]
            y[m] = b[m] * d[m]
        a, b = x, y
    return a, b


@numba.njit(**_OPTIONS)
def _growth_complex(row: Array, sites: Array, growth: Array, work: Array) -> tuple[Array, Array]:
    """Return the rows a and b that flips of some sites multiply p and q by; -1 ends the sites."""
    code = 0 if row[sites[0]] > 0 else 1
    a, b = growth[sites[0], code], growth[sites[0], 1 - code]
    for k in range(1, sites.size):
        if sites[k] < 0:
            break
        code = 0 if row[sites[k]] > 0 else 1
        x, y = work[4:6], work[6:8]
        _multiply(a[0], a[1], growth[sites[k], code], x[0], x[1])
        _multiply(b[0], b[1], growth[sites[k], 1 - code], y[0], y[1])
        a, b = x, y
    return a, b


@numba.njit(**_OPTIONS)
def _multiply(xr: Array, xi: Array, factor: Array, outr: Array, outi: Array) -> None:
    """Write x * factor into `out`, which may be x."""
    fr, fi = factor[0], factor[1]
    for m in range(outr.size):
        re = xr[m] * fr[m] - xi[m] * fi[m]
        outi[m] = xr[m] * fi[m] + xi[m] * fr[m]
        outr[m] = re


@numba.njit(**_OPTIONS)
def _field(row: Array, sites: Array, visible: Array) -> float:
    """Return the part of the visible units in the logarithm of a flip ratio."""
    total = 0.0
    for site in sites:
        if site < 0:
            break
        total -= 2.0 * row[site] * visible[site]
    return total


@numba.njit(**_OPTIONS)
def _log_product_real(work: Array, a: Array, b: Array, block: int) -> float:
    """Logarithm of the product of p a + q b over all hidden units, p and q being the first rows of `work`."""
    total = 0.0
    for low in range(0, a.size, block):
        high = min(low + block, a.size)
        total += np.log(_product_real(work[0, low:high], work[1, low:high], a[low:high], b[low:high], work[4]))
    return total


@numba.njit(**_OPTIONS)
def _log_product_complex(work: Array, a: Array, b: Array, block: int) -> tuple[float, float]:
    """Logarithm, real and imaginary part, of the product of p a + q b over all hidden units."""
    total, angle = 0.0, 0.0
    for low in range(0, a.shape[1], block):
        high = min(low + block, a.shape[1])
        populations = (work[0, low:high], work[1, low:high], work[2, low:high], work[3, low:high])
        x, y = _product_complex(
            *populations, a[0, low:high], a[1, low:high], b[0, low:high], b[1, low:high], work[8], work[9]
        )
        total += 0.5 * np.log(x * x + y * y)
        angle += np.arctan2(y, x)
    return total, angle


@numba.njit(**_OPTIONS)
def sweep_real(
    spins: Array,
    sites: Array,
    chosen: Array,
    thresholds: Array,
    exchange: bool,
    weight: Array,
    hidden: Array,
    visible: Array,
    growth: Array,
    block: int,
    accepted: Array,
) -> None:
    """Make the chosen moves of every chain and count the accepted ones; a chain reads nothing of another one."""
    work = np.empty((5, hidden.size))
    p, q = work[0], work[1]
    for chain in range(len(spins)):
        row = spins[chain]
        _populations_real(row, weight, hidden, p, q)
        for step in range(chosen.shape[1]):
            move = sites[chosen[chain, step]]
            if exchange and row[move[0]] == row[move[1]]:
                continue
            a, b = _growth_real(row, move, growth, work)
            logarithm = _field(row, move, visible) + _log_product_real(work, a, b, block)
            if thresholds[chain, step] < 2.0 * logarithm:
                for m in range(p.size):
                    x, y = p[m] * a[m], q[m] * b[m]
                    f = 1.0 / (x + y)
                    p[m] = x * f
                    q[m] = y * f
                for site in move:
                    row[site] = -row[site]
                accepted[chain] += 1


@numba.njit(**_OPTIONS)
def sweep_complex(
    spins: Array,
    sites: Array,
    chosen: Array,
    thresholds: Array,
    exchange: bool,
    weight: Array,
    hidden: Array,
    visible: Array,
    growth: Array,
    block: int,
    accepted: Array,
) -> None:
    """Make the chosen moves of every chain and count the accepted ones; a chain reads nothing of another one."""
    work = np.empty((10, hidden.shape[1]))
    pr, pi, qr, qi = work[0], work[1], work[2], work[3]
    for chain in range(len(spins)):
        row = spins[chain]
        _populations_complex(row, weight, hidden, pr, pi, qr, qi)
        for step in range(chosen.shape[1]):
            move = sites[chosen[chain, step]]
            if exchange and row[move[0]] == row[move[1]]:
                continue
            a, b = _growth_complex(row, move, growth, work)
            logarithm = _field(row, move, visible[0]) + _log_product_complex(work, a, b, block)[0]
            if thresholds[chain, step] < 2.0 * logarithm:
                ar, ai, br, bi = a[0], a[1], b[0], b[1]
                for m in range(pr.size):
                    x1, y1 = pr[m] * ar[m] - pi[m] * ai[m], pr[m] * ai[m] + pi[m] * ar[m]
                    x2, y2 = qr[m] * br[m] - qi[m] * bi[m], qr[m] * bi[m] + qi[m] * br[m]
                    fr, fi = x1 + x2, y1 + y2
                    f = 1.0 / (fr * fr + fi * fi)
                    fr, fi = fr * f, -fi * f
                    pr[m], pi[m] = x1 * fr - y1 * fi, x1 * fi + y1 * fr
                    qr[m], qi[m] = x2 * fr - y2 * fi, x2 * fi + y2 * fr
                for site in move:
                    row[site] = -row[site]
                accepted[chain] += 1


@numba.njit(**_OPTIONS)
def ratios_real(
    spins: Array,
    sites: Array,
    wanted: Array,
    weight: Array,
    hidden: Array,
    visible: Array,
    growth: Array,
    block: int,
    out: Array,
) -> None:
    """Write log psi(s') / psi(s) of the wanted terms; -1 ends a term's sites."""
    work = np.empty((_TILE, 5, hidden.size))
    for first in range(0, len(spins), _TILE):
        size = min(_TILE, len(spins) - first)
        for k in range(size):
            _populations_real(spins[first + k], weight, hidden, work[k, 0], work[k, 1])
        for term in range(len(sites)):
            if sites[term, 0] < 0:
                continue
            for k in range(size):
                if wanted[first + k, term]:
                    row = spins[first + k]
                    a, b = _growth_real(row, sites[term], growth, work[k])
                    out[first + k, term] = _field(row, sites[term], visible) + _log_product_real(work[k], a, b, block)


@numba.njit(**_OPTIONS)
def ratios_complex(
    spins: Array,
    sites: Array,
    wanted: Array,
    weight: Array,
    hidden: Array,
    visible: Array,
    growth: Array,
    block: int,
    out: Array,
) -> None:
    """Write log psi(s') / psi(s) of the wanted terms, its parts in the last axis; -1 ends a term's sites."""
    work = np.empty((_TILE, 10, hidden.shape[1]))
    for first in range(0, len(spins), _TILE):
        size = min(_TILE, len(spins) - first)
        for k in range(size):
            _populations_complex(spins[first + k], weight, hidden, work[k, 0], work[k, 1], work[k, 2], work[k, 3])
        for term in range(len(sites)):
            if sites[term, 0] < 0:
                continue
            for k in range(size):
                if wanted[first + k, term]:
                    row = spins[first + k]
                    a, b = _growth_complex(row, sites[term], growth, work[k])
                    logarithm, angle = _log_product_complex(work[k], a, b, block)
                    out[first + k, term, 0] = _field(row, sites[term], visible[0]) + logarithm
                    out[first + k, term, 1] = _field(row, sites[term], visible[1]) + angle


def warm_up(*, is_complex: bool) -> None:
    """Compile the kernels, which is announced and takes seconds, or load them from numba's cache.

    Parameters
    ----------
    is_complex : bool
        Whether the machine is complex.
    """
    sweep, ratios = (sweep_complex, ratios_complex) if is_complex else (sweep_real, ratios_real)
    if sweep.signatures and ratios.signatures:
        return
    if not (_is_cached(sweep) and _is_cached(ratios)):
        _log.info("compiling the kernels of restricted Boltzmann machines; this happens once and takes some seconds")
    parts = (2,) if is_complex else ()
    one = np.ones((1, 1), dtype=np.int8)
    sites = np.zeros((1, 1), dtype=np.int64)
    arrays = (np.zeros((*parts, 1, 1)), np.zeros((*parts, 1)), np.zeros((*parts, 1)), np.ones((1, 2, *parts, 1)), 1)
    sweep(one, sites, np.zeros((1, 1), dtype=np.int32), -np.ones((1, 1)), False, *arrays, np.zeros(1, dtype=np.int64))
    ratios(one, sites, np.ones((1, 1), dtype=np.bool_), *arrays, np.zeros((1, 1, *parts)))


def _is_cached(kernel: Any) -> bool:
    """Whether a kernel lies compiled in numba's cache."""
    name = f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}"
    return any(Path(kernel.stats.cache_path).glob(f"{name}-*.nbi"))
