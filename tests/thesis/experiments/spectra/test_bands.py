from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from verovolto.core.errors import DataError, InputError
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import pair_keys
from verovolto.evaluation.bootstrap import Resamples, draw_resamples
from verovolto.thesis.experiments.spectra.bands import (
    ALPHA,
    PAIRED,
    UNPAIRED,
    compare_bands,
    unexplained,
)
from verovolto.thesis.experiments.spectra.permutation import (
    Parts,
    corrected,
    label_swaps,
    pair_differences,
    sign_flips,
)
from verovolto.thesis.experiments.spectra.statistics import verdict

BANDS = 6
EDGES = tuple(k / 12 for k in range(BANDS + 1))


def simulate(
    rng: np.random.Generator,
    *,
    people: int = 24,
    per: int = 4,
    paired: bool = True,
    shift: float = 0.0,
    at: int = 3,
) -> dict[str, Any]:
    """Log powers whose bands correlate and whose people differ, also in how their fakes differ; `shift` at one band.

    Paired: each person shows `per` reals and their fakes. Else one half of the people is real, the other fake.
    """
    mixing = np.tril(np.full((BANDS, BANDS), 0.6)) + 0.4 * np.eye(BANDS)

    def random(n: int) -> np.ndarray:
        return rng.normal(size=(n, BANDS)) @ mixing.T

    person = np.repeat(np.arange(people), per)
    real = random(people)[person] + random(len(person))
    if paired:
        other = real + random(people)[person] + 0.5 * random(len(person))
        energies, fake = np.concatenate([real, other]), np.repeat([False, True], len(person))
        person, pairs = np.tile(person, 2), np.tile([f"p{i}" for i in range(len(person))], 2).astype(object)
    else:
        energies, fake, pairs = real, person % 2 == 0, None
    energies[fake, at] += shift
    return {"energies": energies, "fake": fake, "person": person, "pairs": pairs}


def compare(data: dict[str, Any], *, resamples: int = 0, permutations: int = 199, seed: int = 0) -> Any:
    return compare_bands(
        data["energies"],
        data["fake"],
        edges=EDGES,
        resamples=people_of(data, resamples),
        pairs=data["pairs"],
        permutations=permutations,
        seed=seed,
    )


def people_of(data: dict[str, Any], resamples: int) -> Resamples:
    return draw_resamples(data["person"], data["fake"], kind="identity", resamples=resamples, seed=0)


@pytest.mark.parametrize("paired", [True, False])
def test_without_an_effect_the_smallest_p_is_uniform_and_the_error_rate_holds(paired: bool) -> None:
    rng = np.random.default_rng(1)
    smallest = np.array(
        [
            min(band.p_corrected for band in compare(simulate(rng, paired=paired), seed=i).bands)
            for i in range(400)
        ]
    )
    # 400 uniform numbers: the share below q lies within 3.3 standard errors of it, each time.
    for q in (ALPHA, 0.2, 0.5, 0.8):
        assert abs((smallest <= q).mean() - q) < 3.3 * np.sqrt(q * (1 - q) / 400)


def test_exchanging_faces_instead_of_people_would_find_what_is_not_there() -> None:
    """What the clusters are kept for: the same data, each face taken for a cluster of its own."""
    rng = np.random.default_rng(2)
    wrong = 0
    for i in range(60):
        data = simulate(rng, paired=False)
        data["person"] = np.arange(len(data["fake"]))
        wrong += min(band.p_corrected for band in compare(data, seed=i).bands) <= ALPHA
    assert wrong > 12  # four times what was allowed


def test_correction_is_needed_and_is_less_strict_than_bonferronis() -> None:
    rng = np.random.default_rng(3)
    alone, bonferroni, together = [], [], []
    for _ in range(200):
        data = simulate(rng)
        differences = pair_differences(data["energies"], data["fake"], data["person"], data["pairs"])
        assert differences is not None
        observed, drawn = sign_flips(differences.sums, 199, rng)
        p = (1 + (drawn >= observed * (1 - 1e-9)).sum(axis=0)) / 200
        alone.append(p.min())
        bonferroni.append(min(1.0, BANDS * p.min()))
        together.append(corrected(observed, drawn).min())
    assert (np.array(alone) <= ALPHA).mean() > 0.1
    assert np.mean(together) < np.mean(bonferroni)
    assert (np.array(together) >= np.array(alone)).all()


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("at", [0, 4])
def test_a_planted_effect_is_found_in_its_band_alone(paired: bool, at: int) -> None:
    data = simulate(np.random.default_rng(4), people=80, paired=paired, shift=-2.5, at=at)
    found = compare(data, resamples=200, permutations=999)
    assert [band.differs for band in found.bands] == [k == at for k in range(BANDS)]
    band = found.bands[at]
    assert band.g.high is not None and band.g.high < 0
    assert band.p_corrected == pytest.approx(1 / 1000)
    assert found.test["design"] == (PAIRED if paired else UNPAIRED)
    assert found.test["clusters"] == 80


def test_hedges_g_and_decibels_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(5)
    real, fake = rng.normal(1, 2, (9, 1)), rng.normal(0, 1, (5, 1))
    data = {"energies": np.r_[real, fake] + 1e4, "fake": np.repeat([False, True], [9, 5]), "pairs": None}
    resamples = draw_resamples(np.arange(14), data["fake"], kind="face", resamples=50, seed=0)
    band = compare_bands(data["energies"], data["fake"], edges=(0, 0.5), resamples=resamples).bands[0]
    pooled = np.sqrt((8 * real.var(ddof=1) + 4 * fake.var(ddof=1)) / 12)
    expected = (1 - 3 / 47) * (fake.mean() - real.mean()) / pooled
    assert band.g.value == pytest.approx(expected, rel=1e-9)
    assert band.decibel.value == pytest.approx(10 * (fake.mean() - real.mean()), rel=1e-9)


def test_a_weight_of_two_is_a_face_there_twice() -> None:
    from verovolto.thesis.experiments.spectra.bands import _hedges

    rng = np.random.default_rng(6)
    energies, fake = rng.normal(size=(20, 3)), np.arange(20) % 2 == 0
    counts = rng.integers(0, 3, 20)
    twice = np.repeat(np.arange(20), counts)
    weighted = _hedges(energies, fake, counts[None].astype(float))
    repeated = _hedges(energies[twice], fake[twice], np.ones((1, len(twice))))
    for k in weighted:
        np.testing.assert_allclose(weighted[k], repeated[k])


def test_step_down_by_hand() -> None:
    observed = np.array([1.0, 3.0, 2.0])
    drawn = np.array([[0.5, 0.5, 2.5], [1.5, 0.1, 0.2], [0.1, 3.5, 0.3]])
    # Largest first: 3 against (2.5, 1.5, 3.5); then 2 against bands 3 and 1 (2.5, 1.5, 0.3); then 1 against band 1.
    np.testing.assert_allclose(corrected(observed, drawn), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(corrected(observed, drawn[[1, 1, 1]]), [1.0, 0.25, 0.25])


def test_sign_flips_of_few_clusters_cannot_be_telling() -> None:
    """Three clusters have eight patterns of signs, of which two are as extreme as the data."""
    observed, drawn = sign_flips(np.array([[1.0], [2.0], [3.0]]), 4000, np.random.default_rng(0))
    assert corrected(observed, drawn)[0] == pytest.approx(0.25, abs=0.03)


def test_swapping_clusters_of_pairs_is_flipping_their_differences() -> None:
    """Where all clusters hold both classes in equal number, both tests ask the same question."""
    data = simulate(np.random.default_rng(7), people=12, shift=1.0)
    differences = pair_differences(data["energies"], data["fake"], data["person"], data["pairs"])
    assert differences is not None
    flips = corrected(*sign_flips(differences.sums, 4000, np.random.default_rng(0)))
    parts = Parts.of(data["energies"], data["fake"], data["person"])
    swaps = corrected(*label_swaps(parts, 4000, np.random.default_rng(1)))
    np.testing.assert_allclose(flips, swaps, atol=0.04)


def test_nothing_that_varies_is_nothing_found() -> None:
    data = simulate(np.random.default_rng(8))
    data["energies"] = np.ones_like(data["energies"])
    for pairs in (data["pairs"], None):
        found = compare(data | {"pairs": pairs}, resamples=30)
        assert all(band.p_corrected == 1.0 for band in found.bands)
        assert all(band.g.value is None for band in found.bands)


def test_fakes_without_a_counterpart_are_left_out_and_counted() -> None:
    data = simulate(np.random.default_rng(9), people=10, per=2)
    data["pairs"][20:24] = None  # the fakes of the first two people
    found = compare(data)
    assert found.test["design"] == PAIRED
    assert found.test["faces_left_out"] == 8
    assert found.test["clusters"] == 8
    data["pairs"][20:32] = None
    assert compare(data).test["design"] == UNPAIRED


def test_several_reals_of_a_pair_are_averaged_and_tied_clusters_are_one() -> None:
    energies = np.array([[1.0], [3.0], [10.0], [20.0]])
    fake = np.array([False, False, True, True])
    pairs = np.array(["a", "a", "a", "b"], dtype=object)
    found = pair_differences(energies, fake, np.array([0, 1, 2, 3]), pairs)
    assert found is not None
    assert found.sums.tolist() == [[8.0]]
    assert found.faces == 3


def test_pairs_are_known_by_data_set_compression_and_frame(make_table: Callable[..., ScoreTable]) -> None:
    plain = pair_keys(make_table(4, per=2).table)
    assert len(set(plain)) == 4 and (plain[:4] == plain[4:]).all()
    framed = pair_keys(make_table(4, per=2, frame=[str(i) for i in range(8)]).table)
    assert len(set(framed)) == 8
    none = pair_keys(make_table(4, per=2, pair=[None] * 8).table)
    assert none.shape == (8,) and all(key is None for key in none)


def test_the_same_arguments_give_the_same_result() -> None:
    data = simulate(np.random.default_rng(10))
    first, again = compare(data, resamples=40).to_dict(), compare(data, resamples=40).to_dict()
    assert first == again
    assert first["interval"]["cluster"] == "identity"
    assert first["faces"] == {"real": 96, "fake": 96}


def test_what_is_explained_is_taken_away() -> None:
    rng = np.random.default_rng(11)
    controls, known = rng.normal(size=(50, 2)), rng.normal(size=(60, 2))

    def energy(part: np.ndarray) -> np.ndarray:
        return np.c_[2 + part @ [1.0, -3.0], part[:, 0] ** 2]

    left = unexplained(
        energy(controls) + np.array([0.0, 0.7]), controls, real_energies=energy(known), real_controls=known
    )
    np.testing.assert_allclose(left, np.tile([0.0, 0.7], (50, 1)), atol=1e-9)
    with pytest.raises(InputError, match="too few"):
        unexplained(controls, controls, real_energies=known[:7], real_controls=known[:7])


def test_the_verdict_names_bands_direction_and_strength() -> None:
    found = compare(simulate(np.random.default_rng(12), people=80, shift=-2.5, at=4), resamples=100)
    none = compare(simulate(np.random.default_rng(13)), resamples=100)
    assert not none.differing and len(found.differing) == 1
    words = verdict(found)
    assert "fakes hold less power at 0.33-0.42 cycles/pixel" in words
    assert f"g {found.bands[4].g.value:+.2f}" in words and found.bands[4].strength in words
    assert "80 clusters" in words
    assert "no proof" in verdict(none)
    assert verdict(found, image=found, given=none).endswith("show nothing that the images' own do not.")
    most = f"{abs(found.bands[4].decibel.value):.2g} dB"
    assert verdict(found, image=none, given=found).endswith(
        f"what the images' own explain by {most} at most."
    )
    assert verdict(none, image=none, given=none).endswith("do not support the conjecture.")


def test_neighbouring_bands_are_told_as_one() -> None:
    data = simulate(np.random.default_rng(14), people=80)
    data["energies"][data["fake"]] += np.array([3.0, 3.0, 0.0, -4.0, -4.0, 3.0])
    words = verdict(compare(data, resamples=50, permutations=999))
    assert "more power at 0-0.17, 0.42-0.5 cycles" in words
    assert "less power at 0.25-0.42 cycles" in words
    assert "5 of 6 bands" in words


def test_what_cannot_be_compared_is_refused() -> None:
    data = simulate(np.random.default_rng(15), people=4)
    with pytest.raises(InputError, match="edges"):
        compare_bands(data["energies"], data["fake"], edges=(0, 0.5), resamples=people_of(data, 0))
    with pytest.raises(InputError, match="do not fit"):
        compare(data | {"energies": data["energies"][1:]})
    with pytest.raises(InputError, match="finite"):
        compare(data | {"energies": data["energies"] * np.nan})
    with pytest.raises(DataError, match="real and fake"):
        compare(data | {"fake": np.zeros(len(data["fake"]), dtype=bool)})
    with pytest.raises(DataError, match="all faces are of one identity"):
        compare(data | {"person": np.zeros(len(data["fake"]), dtype=int)})
