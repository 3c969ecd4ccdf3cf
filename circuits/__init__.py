"""Numbers in, Qiskit circuits out; nothing is run here.

This room is empty in version 0.1: the circuit builders come with the next milestone. The order they will keep is that
of the whole project: site ``i`` is qubit ``i`` and has the weight ``2**i``.
"""

from __future__ import annotations

__all__: list[str] = []
