"""Several nodes in one file: each as if it were the only one, and every fault with its section and field."""

from __future__ import annotations

import pytest

from vk_provider import config
from vk_provider.errors import ConfigError

BASE = """
leader_lease = "vk/vk"
quota_cpu = "100"
node_labels = {team = "a"}
{process}
[eci]
region = "cn-hangzhou"
vswitch = ["vsw-bp1abc"]
"""


def parsed(text: str, *, process: str = "", flags: dict[str, str] | None = None) -> config.Config:
    toml = BASE.replace("{process}", process) + text
    return config.parse(flags=flags or {}, env={}, toml=toml, toml_name="vk.toml")


def faults(text: str, **more: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parsed(text, **more)
    return list(error.value.faults)


def test_without_sections_there_is_one_node_as_ever():
    one = parsed("")
    assert one.for_nodes == (one,)
    assert (one.node_name, one.leader_lease) == ("virtual-kubelet", "vk/vk")


def test_a_section_says_what_differs_and_has_the_rest_of_the_process():
    found = parsed(
        """
        [[nodes]]
        node_name = "vk-arm"
        quota_cpu = "50"
        taint_value = "arm"
        [nodes.eci]
        zone = "cn-hangzhou-i"
        vswitch = "vsw-bp1xyz"
        cpu_architecture = "arm64"
        [[nodes]]
        node_name = "vk-gpu"
        quota_gpus = 8
        node_labels = {pool = "gpu"}
        node_taints = ["nvidia.com/gpu=yes:NoSchedule", "spot:PreferNoSchedule"]
        [nodes.eci]
        gpu_instance_type = ["ecs.gn6i-c4g1.xlarge"]
        spot_strategy = "SpotAsPriceGo"
        """
    )
    arm, gpu = found.for_nodes
    assert (arm.node_name, arm.quota_cpu, arm.node_labels) == ("vk-arm", "50", {"team": "a"})
    assert (arm.eci.zone, arm.eci.vswitch, arm.eci.cpu_architecture) == ("cn-hangzhou-i", ("vsw-bp1xyz",), "arm64")
    assert arm.taints == ({"key": "virtual-kubelet.io/provider", "value": "arm", "effect": "NoSchedule"},)
    assert (gpu.quota_cpu, gpu.quota_gpus, gpu.node_labels) == ("100", 8, {"pool": "gpu"})
    assert (gpu.eci.zone, gpu.eci.vswitch, gpu.eci.region) == ("", ("vsw-bp1abc",), "cn-hangzhou")
    assert [each["effect"] for each in gpu.taints] == ["NoSchedule", "NoSchedule", "PreferNoSchedule"]
    assert [each.leader_lease for each in found.for_nodes] == ["vk/vk-vk-arm", "vk/vk-vk-gpu"]
    assert [each.kubelet_port for each in found.for_nodes] == [10250, 10251]
    assert found.leader_lease == "vk/vk"


@pytest.mark.parametrize(
    ("first", "own", "ports"),
    [
        ("", ("", "", ""), [10250, 10251, 10252]),
        ("kubelet_port = 0", ("", "", ""), [0, 0, 0]),
        ("", ("", "kubelet_port = 10250", ""), [10251, 10250, 10252]),
        ("kubelet_port = 9000", ("kubelet_port = 0", "", "kubelet_port = 10250"), [0, 9000, 10250]),
    ],
)
def test_each_node_has_a_port_of_its_own(first, own, ports):
    sections = "".join(f'[[nodes]]\nnode_name = "n{place}"\n{text}\n' for place, text in enumerate(own))
    assert [each.kubelet_port for each in parsed(sections, process=first).for_nodes] == ports


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[nodes]]\nnode_labels = "a=b"', "vk.toml: [[nodes]] 1: node_name is missing: say what this node is called"),
        (
            '[[nodes]]\nnode_name = "a"\ntaint_effect = "X"',
            "vk.toml: [[nodes]] 1 (a): taint_effect = 'X': expected one of NoSchedule, PreferNoSchedule, NoExecute",
        ),
        (
            '[[nodes]]\nnode_name = "a"\nnode_taints = "x"',
            "vk.toml: [[nodes]] 1 (a): node_taints = 'x': x is not a taint; write key=value:effect, with an effect …",
        ),
        (
            '[[nodes]]\nnode_name = "a"\n[nodes.eci]\nzone = "cn-beijing-a"',
            "vk.toml: [[nodes]] 1 (a): --eci-zone: cn-beijing-a is not in cn-hangzhou, whose zones are named …",
        ),
        (
            '[[nodes]]\nnode_name = "a"\n[nodes.eci]\nregion = "cn-beijing"',
            "vk.toml: [[nodes]] 1 (a): [eci] region is the same for all nodes; write it below [eci]",
        ),
        (
            '[[nodes]]\nnode_name = "a"\n[nodes.eci]\nvswitch = "vsw-xxx"',
            "vk.toml: [[nodes]] 1 (a): [eci] vswitch = 'vsw-xxx': this is a placeholder; write the ids …",
        ),
        (
            '[[nodes]]\nnode_name = "a"\nworkers = 3',
            "vk.toml: [[nodes]] 1 (a): workers is the same for all nodes; write it above the first [[nodes]]",
        ),
        (
            '[[nodes]]\nnode_name = "a"\nquota_cpus = 3',
            "vk.toml: [[nodes]] 1 (a): unknown key quota_cpus; did you mean quota_cpu?",
        ),
        (
            '[[nodes]]\nnode_name = "a"\n[nodes.local]\naddress = "10.0.0.1"',
            "vk.toml: [[nodes]] 1 (a): [local]: pods run in eci; leave it out",
        ),
        (
            '[[nodes]]\nnode_name = "a"\n[[nodes]]\nnode_name = "a"',
            "vk.toml: [[nodes]] 2 (a): node_name = 'a': [[nodes]] 1 (a) has it already",
        ),
        ("[nodes]\nnode_name = 'a'", "vk.toml: nodes: write a section [[nodes]] for each node"),
    ],
)
def test_a_fault_names_its_section_and_field(text, fault):
    (found,) = faults(text)
    assert found.startswith(fault.removesuffix("…"))
    assert fault.endswith("…") or found == fault


def test_a_fault_of_the_process_is_told_once():
    found = faults('[[nodes]]\nnode_name = "a"\n[[nodes]]\nnode_name = "b"', process="workers = 0")
    assert len(found) == 1


def test_the_name_of_the_only_node_has_no_place_beside_sections():
    found = faults('[[nodes]]\nnode_name = "a"', process='node_name = "b"')
    assert found == ["vk.toml: node_name: the sections [[nodes]] say what the nodes are called; leave it out"]


def test_what_a_section_says_goes_before_flags():
    found = parsed('[[nodes]]\nnode_name = "a"\nquota_pods = 7\n[[nodes]]\nnode_name = "b"', flags={"quota_pods": "9"})
    assert [each.quota_pods for each in found.for_nodes] == [7, 9]
