"""The order of samples: a pure function, the same for any number of processes."""

from __future__ import annotations

from itertools import groupby

import pytest

from mmsdk.data.sampling import FILLER, batches, share, shuffled, step_seed

GROUPS = ["a", "b", None, "a", None, "c", "b", "a", 1, 1.5]


def test_an_epoch_has_each_sample_once_in_an_order_of_its_own() -> None:
    orders = [shuffled(50, seed, stage, epoch) for seed in (0, 1) for stage in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


def test_the_order_is_the_same_in_every_version() -> None:
    assert shuffled(8, 3, 1, 2) == shuffled(8, 3, 1, 2) == [5, 6, 3, 4, 7, 0, 2, 1]


def test_samples_of_a_group_follow_each_other() -> None:
    orders = [shuffled(len(GROUPS), 0, 0, epoch, GROUPS) for epoch in range(5)]
    for order in orders:
        assert sorted(order) == list(range(len(GROUPS)))
        runs = [name for name, _ in groupby(GROUPS[place] for place in order) if name is not None]
        assert sorted(map(str, runs)) == ["1", "1.5", "a", "b", "c"]
    assert len({tuple(order) for order in orders}) > 1


def test_samples_without_a_group_are_no_group() -> None:
    orders = [shuffled(6, 0, 0, epoch, [None, None, None, "a", "a", "a"]) for epoch in range(20)]
    assert any(order[0] < 3 <= order[1] for order in orders), "those without a group never part"


def test_batches_leave_nothing_out() -> None:
    assert list(batches([3, 1, 4, 1, 5], 2)) == [[3, 1], [4, 1], [5]]
    assert list(batches([], 2)) == []


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("count", range(1, 14))
def test_any_number_of_processes_sees_the_same_parts(count: int, parts: int) -> None:
    batch = list(range(100, 100 + count))
    alone = share(batch, 0, 1, parts)
    assert [place for part in alone for place in part] == batch
    assert len(alone) == min(parts, count)
    assert max(map(len, alone)) - min(map(len, alone)) <= 1
    for processes in (2, 3, 4):
        shares = [share(batch, rank, processes, parts) for rank in range(processes)]
        for number, part in enumerate(alone):
            own = [each[number] for each in shares]
            assert len({len(each) for each in own}) == 1, "gather needs equal shapes"
            assert [place for each in own for place in each if place != FILLER] == part


def test_fillers_are_few() -> None:
    assert share([7, 8, 9], 1, 2) == [[9, FILLER]]
    assert share([7], 1, 2) == [[FILLER]]


def test_each_step_of_each_process_has_its_own_randomness() -> None:
    seeds = [step_seed(seed, step, rank) for seed in range(3) for step in range(20) for rank in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 2, 3) == step_seed(1, 2, 3)
