from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from mmsdk.builtin.declarations.modalities import FeaturesConfig
from mmsdk.builtin.modalities.features import Features
from mmsdk.builtin.modalities.standardization import Standardization
from mmsdk.errors import DataError, DecodeError
from mmsdk.formats import Format

RAW = np.random.default_rng(0).normal(5, 3, (40, 4))


def fitted(**options: object) -> Features:
    features = Features(**options)  # type: ignore[arg-type]
    features.fit(list(RAW))
    return features


def test_every_form_gives_the_same_numbers(tmp_path: Path) -> None:
    raw = RAW[:6].astype(np.float32)
    np.save(tmp_path / "a.npy", raw)
    save_file({"only": torch.from_numpy(raw)}, tmp_path / "a.safetensors")
    features = fitted()
    forms = [raw, raw.tolist(), tuple(raw.tolist()), torch.from_numpy(raw), tmp_path / "a.npy"]
    forms += [tmp_path / "a.safetensors", str(tmp_path / "a.npy"), np.asfortranarray(raw)]
    items = [features.prepare(form) for form in forms]
    assert all(item.dtype == np.float32 and np.array_equal(item, items[0]) for item in items)
    assert items[0].shape == (6, 4)
    assert features.prepare(raw[2]).tolist() == items[0][2:3].tolist()  # a vector is one step


def test_numbers_are_standardized_on_the_training_values() -> None:
    features = fitted()
    rows = np.concatenate([features.prepare(value) for value in RAW])
    assert np.allclose(rows.mean(axis=0), 0, atol=1e-6) and np.allclose(rows.std(axis=0), 1, atol=1e-6)
    assert np.array_equal(fitted(standardize=False).prepare(RAW[0])[0], RAW[0].astype(np.float32))


def test_one_pass_is_as_good_as_two_even_far_from_zero() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (500, 3)) * [1, 1e-3, 50] + [1e6, 3, -4e5]
    learned = Standardization.learn(3, (rows[start : start + 7] for start in range(0, 500, 7)))
    assert np.allclose(learned.center, rows.mean(axis=0), rtol=1e-12)
    assert np.allclose(learned.scale, rows.std(axis=0), rtol=1e-9)


def test_constant_and_missing_columns_have_scale_one() -> None:
    rows = np.array([[0.1, np.nan, 3.0, 1.0]] * 300 + [[0.1, np.nan, np.nan, 2.0]])
    learned = Standardization.learn(4, (row[None] for row in rows))
    assert learned.scale[:3].tolist() == [1, 1, 1] and 0 < learned.scale[3] < 1
    assert learned.center[:3] == pytest.approx([0.1, 0, 3])
    assert np.isnan(learned.apply(rows[0])[1])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        min_size=1,
    )
)
def test_finite_numbers_stay_finite(rows: list[list[float]]) -> None:
    features = Features()
    features.fit(rows)
    assert all(np.isfinite(features.prepare(row)).all() for row in [*rows, [3e38, -3e38]])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1.0, 2.0, 3.0], "expected 4 features per step, as in training, got 3"),
        ([1.0, "two", 3.0, 4.0], r"got 'two' at \[1\], counted from 0"),
        ([[1.0, 2, 3, 4], [1.0, 2, None, 4]], r"got None at \[1, 2\], counted from 0"),
        ([1.0, float("nan"), 3.0, 4.0], r"expected finite numbers; got nan at \[1\]"),
        ([[1.0, 2, 3, 4], [1.0, 2, 3, float("inf")]], r"got inf at \[1, 3\]"),
        ([1.0, 1e39, 3.0, 4.0], r"got 1e\+39 at \[1\]"),
        ([1, 10**400, 3, 4], "numbers that are too large"),
        ([[1.0, 2], [3.0]], "different lengths"),
        ([], r"got the shape \[0\]"),
        ([[]], r"got the shape \[1, 0\]"),
        (np.zeros((1, 2, 4)), r"got the shape \[1, 2, 4\]"),
        (np.zeros(4, dtype=complex), "got 0j at"),
        (7, "got 7"),
        ({"a": 1}, "got {'a': 1}"),
    ],
)
def test_what_cannot_be_read_is_named(value: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        fitted().prepare(value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    objects, broken = tmp_path / "objects.npy", tmp_path / "broken.npy"
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    broken.write_bytes(b"\x93NUMPY\x01\x00nothing")
    other, damaged = tmp_path / "x.csv", tmp_path / "x.safetensors"
    other.write_text("1,2")
    damaged.write_bytes(b"\xff" * 40)
    huge = tmp_path / "huge.npy"
    np.save(huge, np.zeros(4))
    huge.write_bytes(huge.read_bytes().replace(b"(4,), ", b"(9" + b"0" * 15 + b",), ", 1))
    for path, reason in [
        (tmp_path / "missing.npy", "there is no file '.*missing.npy'"),
        (objects, "cannot read '.*objects.npy': .*allow_pickle=False"),
        (broken, "cannot read '.*broken.npy'"),
        (huge, "cannot read '.*huge.npy'"),
        (damaged, "cannot read '.*x.safetensors'"),
        (other, "expected a .npy or .safetensors file, got '.*x.csv'"),
    ]:
        with pytest.raises(DecodeError, match=reason):
            fitted().prepare(path)


def test_a_tensor_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    save_file({"a": torch.ones(4), "b": torch.zeros(2, 4, dtype=torch.bfloat16)}, path)
    assert fitted(tensor="b").prepare(path).shape == (2, 4)
    with pytest.raises(DecodeError, match="holds 'a', 'b': say which with 'tensor: NAME'"):
        fitted().prepare(path)
    with pytest.raises(DecodeError, match="has no tensor 'c'; it holds 'a', 'b'"):
        fitted(tensor="c").prepare(path)


def test_fitting_passes_over_what_cannot_be_read() -> None:
    features = Features()
    features.fit(["x.txt", None, [1.0, float("nan")], *RAW.tolist(), [1.0], [[2.0], [3.0, 4.0]]])
    assert features.format == Format("sequence", width=4)
    assert np.allclose(features.standard.center, RAW.mean(axis=0))
    with pytest.raises(DataError, match="not one training value can be read as features"):
        Features().fit([None, "x.txt"])


def test_long_sequences_lose_their_end_and_batches_are_padded() -> None:
    features = fitted(max_length=5)
    items = [features.prepare(RAW[:2]), features.prepare(RAW), features.blank()]
    assert np.array_equal(items[1], fitted().prepare(RAW[:5]))
    assert [features.length(item) for item in items] == [2, 5, 1]
    inputs = features.collate(items)
    assert inputs["values"].shape == (3, 5, 4) and inputs["values"].dtype == torch.float32
    assert inputs["mask"].sum(dim=1).tolist() == [2, 5, 1] and inputs["mask"].dtype == torch.bool
    assert inputs["values"][0, 2:].abs().sum() == 0
    assert np.array_equal(inputs["values"][0, :2].numpy(), items[0])


def test_noise_is_reproducible_and_leaves_the_item_alone() -> None:
    features = fitted(noise=0.5)
    item = features.prepare(RAW)
    before: NDArray[np.float32] = item.copy()
    variants = [features.augment(item, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(item, before) and variants[0].dtype == np.float32
    assert np.array_equal(variants[0], variants[1]) and not np.array_equal(variants[0], variants[2])
    assert 0.4 < (variants[0] - item).std() < 0.6
    assert fitted().augment(item, np.random.default_rng(1)) is item


def test_the_config_builds_it() -> None:
    features = FeaturesConfig(tensor="a", standardize=False, max_length=3, noise=0.1).build()
    assert isinstance(features, Features) and features.reads_files and features.fits
    assert (features.tensor, features.standardize, features.max_length, features.noise) == (
        "a",
        False,
        3,
        0.1,
    )


def test_steps_may_be_absent() -> None:
    features = fitted()
    item = features.prepare([None, RAW[1], list(RAW[2]), None])
    inputs = features.collate([item, features.prepare(RAW[:2])])
    assert inputs["mask"].tolist() == [[False, True, True, False], [True, True, False, False]]
    assert not inputs["values"][~inputs["mask"]].any()
    assert torch.equal(inputs["values"][0, 1:3], torch.from_numpy(features.prepare(RAW[1:3])))
    noisy = features.collate([Features.augment(fitted(noise=1.0), item, np.random.default_rng(0))])
    assert noisy["mask"].tolist() == [[False, True, True, False]]


def test_absent_steps_do_not_count_in_the_statistics() -> None:
    whole, gaps = Features(), Features()
    whole.fit([RAW[:4], RAW[4:9]])
    gaps.fit([[None, *RAW[:2], None, *RAW[2:4]], [*RAW[4:9], None]])
    assert np.allclose(whole.standard.center, gaps.standard.center)
    assert np.allclose(whole.standard.scale, gaps.standard.scale)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, None, 2.0, 3.0], "a vector for each step, or None; got 1.0"),
        ([None, None], "a vector for each step, or None; got None"),
        ([None, [1.0, 2.0, 3.0, "x"]], r"got 'x' at \[1, 3\]"),
        ([[1.0, 2.0], None, [1.0]], "lists of different lengths"),
        ([[1.0, 2.0], None], "expected 4 features per step, as in training, got 2"),
        ([[[1.0]], None], "a vector for each step, or None"),
    ],
)
def test_what_stands_beside_absent_steps_is_checked(value: object, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        fitted().prepare(value)
