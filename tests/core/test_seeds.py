"""Named random streams."""

from __future__ import annotations

from makeweight.core import seeds


def test_streams_differ_by_seed_by_name_and_by_replicate() -> None:
    names: list[tuple[int, *tuple[str | int, ...]]] = [
        (0, "a", 1),
        (0, "a", 2),
        (0, "b", 1),
        (1, "a", 1),
        (1, "a", 0),
        (0, "a/1"),
        (0, "a", 1, 1),
    ]
    derived = [seeds.derive(*name) for name in names]
    assert len(set(derived)) == len(names) - 1  # "a", 1 and "a/1" are one name
    assert all(0 <= seed < 2**63 for seed in derived)


def test_a_stream_starts_anew_each_time() -> None:
    first, second = (seeds.stream(0, "a").random(3).tolist() for _ in range(2))
    assert first == second
