"""Full sums over one configuration of each orbit against sums over all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import J1J2, Heisenberg, PauliSum, TransverseIsing
from qmlphys.lattices import chain, square
from qmlphys.nqs import VMC, FullSum, FullSumState, NaturalGradient, SymmetryGroup
from qmlphys.nqs.ansatz import MLP, RBM, Marshall, Symmetrized, TranslationRBM

RING = SymmetryGroup.translations(8) * SymmetryGroup.spin_flip(8)


def even_rbm(n: int, *, scale: float = 0.3) -> TranslationRBM:
    return TranslationRBM(n, alpha=2, visible_bias=False, hidden_bias=False, scale=scale, rng=3)


def test_orbits_of_a_ring_are_its_necklaces() -> None:
    for n, expected in ((4, 6), (8, 36), (12, 352)):  # binary necklaces, OEIS A000031
        state = FullSumState(TranslationRBM(n, rng=1), symmetry=SymmetryGroup.translations(n))
        samples = state.samples()
        assert len(samples.spins) == expected
        assert float(samples.weights.sum()) == pytest.approx(1.0, abs=1e-12)
    flat = FullSumState(TranslationRBM(4, scale=0.0, rng=1), symmetry=SymmetryGroup.translations(4)).samples()
    assert sorted((16 * flat.weights).round().int().tolist()) == [1, 1, 2, 4, 4, 4]  # configurations of each necklace


@pytest.mark.parametrize(
    ("ansatz", "hamiltonian", "group", "magnetization"),
    [
        (even_rbm(8), TransverseIsing(chain(8), field=0.7), RING, None),
        (Marshall(even_rbm(8), 8), Heisenberg(chain(8)), RING, 0),
        (
            Symmetrized(MLP(8, widths=[6], phase=True, rng=2), SymmetryGroup.translations(8, momentum=4)),
            Heisenberg(chain(8)),
            SymmetryGroup.translations(8, momentum=4),
            2,
        ),
        (
            Symmetrized(RBM(8, dtype="complex128", scale=0.3, rng=4), SymmetryGroup.translations(8, momentum=3)),
            J1J2(chain(8), j2=0.3),
            SymmetryGroup.translations(8, momentum=3),
            0,
        ),
        (
            Symmetrized(RBM(9, scale=0.3, rng=4), SymmetryGroup.point_group(square(3))),
            TransverseIsing(square(3), field=2.0),
            SymmetryGroup.point_group(square(3)),
            None,
        ),
    ],
)
def test_energy_gradient_and_steps_are_those_of_the_whole_sum(
    ansatz: torch.nn.Module, hamiltonian: TransverseIsing, group: SymmetryGroup, magnetization: int | None
) -> None:
    whole = FullSumState(ansatz, magnetization=magnetization)
    short = FullSumState(ansatz, magnetization=magnetization, symmetry=group)
    assert 2 * len(short.samples().spins) < len(whole.samples().spins)
    expected, found = whole.expect(hamiltonian), short.expect(hamiltonian)
    assert found.energy.mean == pytest.approx(expected.energy.mean, rel=1e-12)
    assert found.variance.mean == pytest.approx(expected.variance.mean, rel=1e-10)
    assert found.variance.mean > 0.1  # far from an eigenstate, where all sums would agree
    np.testing.assert_allclose(short.gradient(hamiltonian)[0], whole.gradient(hamiltonian)[0], atol=1e-12)
    start = whole.parameters
    ends = []
    for state in (whole, short):
        state.parameters = start
        VMC(hamiltonian, state, natural_gradient=NaturalGradient("sr", diagonal_shift=1e-2), step_size=0.02).run(3)
        ends.append(state.parameters)
        state.parameters = start
    assert np.abs(ends[0] - start).max() > 1e-3
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-9)


def test_a_ground_state_by_its_orbits() -> None:
    # The 12 870 configurations without magnetisation lie on some hundred orbits.
    lattice = square(4)
    group = SymmetryGroup.translations(lattice) * SymmetryGroup.spin_flip(16)
    ansatz = Marshall(
        TranslationRBM(lattice, alpha=4, visible_bias=False, hidden_bias=False, scale=0.1, rng=1), lattice
    )
    state = FullSumState(ansatz, magnetization=0, symmetry=group)
    assert len(state.samples().spins) < 600
    vmc = VMC(
        Heisenberg(lattice),
        state,
        natural_gradient=NaturalGradient(diagonal_shift=1e-3, momentum=0.8, clip=1.0),
        step_size=0.05,
    )
    vmc.run(60)
    exact = (
        -44.9139328
    )  # Schulz, Ziman, Poilblanc, J. Phys. I 6, 675 (1996): -0.701780 a site and 4 S.S, in Pauli units
    energy = vmc.estimate().energy.mean
    assert exact < energy < 0.999 * exact


def test_wrong_symmetries_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a symmetry of the ansatz"):
        FullSumState(RBM(8, scale=0.3, rng=1), symmetry=SymmetryGroup.translations(8))
    with pytest.raises(ValueError, match="must be a symmetry of the ansatz"):
        FullSumState(even_rbm(8), symmetry=SymmetryGroup.spin_flip(8, -1))
    with pytest.raises(ValueError, match="must have 8 sites, as the ansatz, but it has 6"):
        FullSumState(even_rbm(8), symmetry=SymmetryGroup.translations(6))
    with pytest.raises(ValueError, match=r"must not flip the spins with magnetization=2"):
        FullSumState(even_rbm(8), magnetization=2, symmetry=RING)
    state = FullSumState(even_rbm(8), symmetry=RING)
    for model in (
        TransverseIsing(chain(8, periodic=False)),
        PauliSum([("Z" + 7 * "I", 1.0)]),
        PauliSum([(7 * "I" + "Y", 1.0), ("Z" + 7 * "I", 1.0)]),
    ):
        with pytest.raises(ValueError, match="must have the symmetry of the state's sum"):
            state.expect(model)
    field = PauliSum([("I" * k + "Z" + "I" * (7 - k), 1.0) for k in range(8)])
    with pytest.raises(ValueError, match="must have the symmetry of the state's sum"):
        state.expect(field)  # translations leave it as it is, the flip of all spins does not
    moved = FullSumState(even_rbm(8), symmetry=SymmetryGroup.translations(8))
    assert np.isfinite(moved.expect(field).energy.mean)


def test_checkpoints_tell_symmetries_apart() -> None:
    names = {repr(FullSum(symmetry=group)) for group in (None, RING, SymmetryGroup.translations(8))}
    assert len(names) == 3
    assert repr(FullSum(symmetry=RING)) == repr(
        FullSum(symmetry=SymmetryGroup.translations(8) * SymmetryGroup.spin_flip(8))
    )
