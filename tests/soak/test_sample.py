"""A sample says what the kernel and the process itself say; and the table names what grows."""

from __future__ import annotations

import os
from dataclasses import replace

from tests.soak.__main__ import table, verdicts
from tests.soak.sample import Sample, points, read
from vk_provider.metrics import Registry, add_process_metrics


async def test_a_sample_of_this_process():
    registry = Registry()
    add_process_metrics(registry)
    sample = Sample.of(os.getpid(), registry.exposition(), at_s=1.0, pods=7)
    assert 10 < sample.memory < 10_000
    assert sample.descriptors >= 3
    assert sample.threads >= 1
    assert sample.tasks >= 1, "this one"
    assert sample.blocks > 10_000
    assert (sample.at_s, sample.pods) == (1.0, 7)


EVEN = Sample(at_s=0.0, memory=80.0, descriptors=90, threads=4, cpu_s=0.0, tasks=197, blocks=330_000, pods=183)


def hour(**changing):
    return [
        replace(EVEN, at_s=n * 10.0, cpu_s=n * 0.6, **{name: at(n) for name, at in changing.items()})
        for n in range(361)
    ]


def test_what_was_written_is_read_again(tmp_path):
    samples = hour(memory=lambda n: 80 + n / 100)
    (tmp_path / "samples.jsonl").write_text("".join(each.line() for each in samples))
    assert read(tmp_path / "samples.jsonl") == samples
    assert {round(share, 6) for _, share in points(samples, "cpu")} == {6.0}


def test_the_table_names_what_grows():
    drawn = table(verdicts(hour(descriptors=lambda n: 90 + n // 10)))
    growing = [line for line in drawn.splitlines() if "GROWS" in line]
    assert len(growing) == 1
    assert growing[0].split()[:7] == ["file", "descriptors", "90", "99", "108", "117", "125"]
    assert sum("flat" in line for line in drawn.splitlines()) == 6
