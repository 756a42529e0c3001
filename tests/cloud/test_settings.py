"""What the driver has to be told, and what it says when that is wrong."""

from __future__ import annotations

import pytest

from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.errors import ConfigError

RIGHT = {"region": "cn-hangzhou", "cluster": "c", "node": "n"}


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", "https://eci.cn-hangzhou.aliyuncs.com"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://eci-vpc.cn-hangzhou.aliyuncs.com", "https://eci-vpc.cn-hangzhou.aliyuncs.com"),
    ],
)
def test_base_url(endpoint, url):
    assert EciSettings(**RIGHT, endpoint=endpoint).base_url == url


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"region": ""}, "ECI_REGION"),
        ({"cluster": ""}, "uid of the namespace kube-system"),
        ({"node": ""}, "--node-name"),
        ({"endpoint": "eci.aliyuncs.com"}, "write it as https://"),
        ({"vswitch_ids": ("v",) * 11}, "at most 10"),
        ({"cluster": "http://x"}, "choose a plain name"),
        ({"cluster_name": "http://x"}, "choose a plain name"),
    ],
)
def test_faults_say_what_to_mend(wrong, words):
    with pytest.raises(ConfigError, match=words):
        EciSettings(**{**RIGHT, **wrong})


def test_every_fault_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        EciSettings(region="", cluster="", node="", endpoint="nonsense")
    assert len(caught.value.faults) == 4
