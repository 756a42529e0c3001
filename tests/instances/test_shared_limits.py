"""Several nodes of one account divide what the account may ask a minute."""

import pytest

from vk_provider.cloud.eci.limits import LIMITS


def test_one_node_has_all_of_it():
    assert LIMITS.shared_by(1) == LIMITS


@pytest.mark.parametrize("nodes", [2, 10, 100])
def test_several_have_a_share_each(nodes):
    share = LIMITS.shared_by(nodes)
    assert share.changes_at_once == LIMITS.changes_at_once
    assert share.updates_per_minute * nodes <= LIMITS.updates_per_minute
    assert share.usage_per_minute * nodes <= LIMITS.usage_per_minute + nodes
    assert share.listed_per_minute >= share.per_page
    assert share.changes_per_minute >= 20
