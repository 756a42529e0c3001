"""What every replica does for the placement of pods."""

from vk_provider import admission_service
from vk_provider.config import Config


def test_pods_that_are_sent_here_tolerate_the_node_s_own_taint_whatever_further_ones_it_has() -> None:
    further = ({"key": "gpu", "value": "", "effect": "NoSchedule"}, {"key": "arm", "value": "", "effect": "NoExecute"})
    own = admission_service.target_of(Config(taint_key="own", taint_value="v", node_taints=further))
    assert (own.taint_key, own.taint_value, own.taint_effect) == ("own", "v", "NoSchedule")
    assert admission_service.target_of(Config(taint_key="", node_taints=further)).taint_key == ""
