"""Rounding to the sizes on sale."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider.cloud.eci import sizes
from vk_provider.cloud.eci.sizes import Size
from vk_provider.errors import UnsupportedPod

HANGZHOU, SMALLER = "cn-hangzhou", "eu-west-1"


@pytest.mark.parametrize(
    ("cpu", "memory_gib", "region", "expected"),
    [
        pytest.param(None, None, HANGZHOU, Size(2, 4), id="nothing asked"),
        pytest.param(16, 32, HANGZHOU, Size(16, 32), id="the founding job"),
        pytest.param(7, 13, HANGZHOU, Size(8, 14), id="vendor: 7c13g"),
        pytest.param(3, 6, HANGZHOU, Size(4, 6), id="vendor: 3c6g"),
        pytest.param(4.25, 8.5, HANGZHOU, Size(6, 10), id="vendor: 2 x 2c4g and 0.25c0.5g"),
        pytest.param(7, 13, SMALLER, Size(8, 16), id="7c13g elsewhere"),
        pytest.param(4.25, 8.5, SMALLER, Size(8, 16), id="no row of 6 elsewhere"),
        pytest.param(0.1, 0.1, SMALLER, Size(0.25, 0.5), id="smallest"),
        pytest.param(0.25, 1.5, SMALLER, Size(0.5, 2), id="next row when the row has too little memory"),
        pytest.param(1, 1, SMALLER, Size(1, 2), id="a row's own least memory"),
        pytest.param(2, 1, SMALLER, Size(2, 1), id="more vcpu than memory"),
        pytest.param(32, 300, SMALLER, Size(52, 384), id="skips to the row that holds it"),
        pytest.param(0.5, None, SMALLER, Size(0.5, 1), id="only cpu asked"),
        pytest.param(None, 16, SMALLER, Size(2, 16), id="only memory asked"),
        pytest.param(0, 0, SMALLER, Size(0.25, 0.5), id="zero is something said"),
        pytest.param(64, 512, SMALLER, Size(64, 512), id="largest"),
    ],
)
def test_fit(cpu, memory_gib, region, expected):
    assert sizes.fit(cpu, memory_gib, region) == expected


def test_spot_may_not_have_the_larger_regions_pairs():
    assert sizes.fit(4.25, 8.5, HANGZHOU, standard_only=True) == Size(8, 16)


@pytest.mark.parametrize(
    ("cpu", "memory_gib", "named"),
    [
        pytest.param(65, 4, "(cpu over the limit)", id="cpu"),
        pytest.param(1, 513, "(memory over the limit)", id="memory"),
        pytest.param(65, 513, "(cpu and memory over the limit)", id="both"),
    ],
)
def test_nothing_fits(cpu, memory_gib, named):
    with pytest.raises(UnsupportedPod) as caught:
        sizes.fit(cpu, memory_gib, HANGZHOU)
    (refusal,) = caught.value.refusals
    assert refusal.field == "spec.containers[*].resources"
    assert named in refusal.reason
    assert "64 vCPU and 512 GiB" in refusal.reason


def test_the_cheaper_of_two_is_taken_though_it_has_more_vcpu():
    assert sizes.fit(40, 200, SMALLER) == Size(64, 256), "52 vCPU come with 384 GiB only, which cost more"


@settings(deadline=None)  # the machine may be busy
@given(st.floats(0, 64), st.floats(0, 512), st.sampled_from([HANGZHOU, SMALLER]), st.booleans())
def test_a_fit_holds_the_need_is_on_sale_and_nothing_cheaper_does(cpu, memory_gib, region, standard_only):
    rows = sizes.rows(region, standard_only=standard_only)
    size = sizes.fit(cpu, memory_gib, region, standard_only=standard_only)
    assert size.cpu >= cpu
    assert size.memory_gib >= memory_gib
    assert size.memory_gib in rows[size.cpu]
    price = sizes.price(region).per_second
    holding = [Size(row, gib) for row in rows for gib in rows[row] if row >= cpu and gib >= memory_gib]
    assert price(size) == min(price(one) for one in holding)


def test_price_per_second():
    assert sizes.price(HANGZHOU).per_second(Size(2, 4)) == 0.00012252
    assert sizes.price(HANGZHOU).currency == "CNY"
