"""Plain twin of `qmlphys.montecarlo._random`: xoroshiro128++ on Python integers.

Source: Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021), and their public-domain xoroshiro128plusplus.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MASK = 2**64 - 1
LANES = 8


def _rotate(x: int, k: int) -> int:
    return ((x << k) | (x >> (64 - k))) & MASK


class Generator:
    """One generator; `state` is (s0, s1)."""

    def __init__(self, s0: int, s1: int) -> None:
        self.state = (int(s0), int(s1))

    def word(self) -> int:
        """Return the next 64 random bits."""
        s0, s1 = self.state
        result = (_rotate((s0 + s1) & MASK, 17) + s0) & MASK
        s1 ^= s0
        self.state = (_rotate(s0, 49) ^ s1 ^ ((s1 << 21) & MASK), _rotate(s1, 28))
        return result

    def below(self, n: int) -> int:
        """Return a uniform integer in [0, n): 32 random bits times n, the high part, without biased remainders."""
        while True:
            product = (self.word() >> 32) * n
            if product % 2**32 >= 2**32 % n:
                return product // 2**32


class Lanes:
    """Eight generators side by side; lane l starts from words l and l + 8 of the state."""

    def __init__(self, state: Sequence[int]) -> None:
        self._generators = [Generator(state[lane], state[lane + LANES]) for lane in range(LANES)]

    def words(self) -> list[int]:
        """Return the next word of every lane."""
        return [generator.word() for generator in self._generators]

    def halves(self, n_vectors: int) -> Iterator[int]:
        """Yield the 32-bit halves, low one first, of the next vectors."""
        for _ in range(n_vectors):
            for word in self.words():
                yield word % 2**32
                yield word >> 32

    @property
    def state(self) -> list[int]:
        """The sixteen words that continue from here."""
        return [part for i in range(2) for part in (generator.state[i] for generator in self._generators)]
