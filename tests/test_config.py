"""Settings: three sources, one precedence, every fault at once."""

import pytest

from vk_provider import config
from vk_provider.errors import ConfigError

REGION = {"ECI_REGION": "cn-hangzhou"}


def parse(flags=None, env=None, toml=None):
    return config.parse(flags=flags or {}, env=REGION if env is None else env, toml=toml, toml_name="vk.toml")


def faults(**sources):
    with pytest.raises(ConfigError) as caught:
        parse(**sources)
    return caught.value.faults


def test_defaults_are_the_ones_existing_manifests_rely_on():
    settings = parse()
    assert settings.node_name == "virtual-kubelet"
    assert settings.taints == ({"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"},)
    assert settings.kubelet_port == 10250


def test_a_flag_beats_the_environment_which_beats_the_file():
    toml = 'node_name = "from-file"\nquota_pods = 7\nkubelet_port = 1'
    env = {**REGION, "VK_NODE_NAME": "from-env", "VK_QUOTA_PODS": "8"}
    settings = parse(flags={"node_name": "from-flag"}, env=env, toml=toml)
    assert (settings.node_name, settings.quota_pods, settings.kubelet_port) == ("from-flag", 8, 1)


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("ECI_REGION", "cn-beijing", "eci_region", "cn-beijing"),
        ("ECI_SECURITY_GROUP", "sg-1", "eci_security_group", "sg-1"),
        ("ECI_VSWITCH", "vsw-1, vsw-2", "eci_vswitch", ("vsw-1", "vsw-2")),
        ("ECI_CLUSTER_NAME", "prod", "cluster_name", "prod"),
        ("ECI_QUOTA_CPU", "20", "quota_cpu", "20"),
        ("ECI_QUOTA_MEMORY", "40Gi", "quota_memory", "40Gi"),
        ("ECI_QUOTA_POD", "50", "quota_pods", 50),
        ("VKUBELET_TAINT_KEY", "alibabacloud.com/eci", "taint_key", "alibabacloud.com/eci"),
        ("VKUBELET_TAINT_VALUE", "x", "taint_value", "x"),
        ("VKUBELET_TAINT_EFFECT", "NoExecute", "taint_effect", "NoExecute"),
        ("KUBELET_PORT", "10251", "kubelet_port", 10251),
    ],
)
def test_the_old_providers_variables_work(variable, text, name, value):
    assert getattr(parse(env={**REGION, variable: text}), name) == value


def test_both_halves_of_the_old_key_variables():
    settings = parse(env={**REGION, "ECI_ACCESS_KEY": "id", "ECI_SECRET_KEY": "secret"})
    assert (settings.eci_access_key, settings.eci_secret_key) == ("id", "secret")
    assert "secret" not in repr(settings).replace("eci_secret_key", "")


def test_every_fault_is_told_at_once_and_names_its_place():
    found = faults(
        flags={"kubelet_port": "70000", "node_name": "Not_A_Name"},
        env={"VK_POLL_INTERVAL_S": "soon", "ECI_ACCESS_KEY": "id"},
        toml='quota_cpu = "much"\nnode_nmae = "x"\ntaint_effect = "Never"',
    )
    text = "\n".join(found)
    for part in (
        "--kubelet-port = '70000'",
        "--node-name = 'Not_A_Name'",
        "environment variable VK_POLL_INTERVAL_S = 'soon'",
        "--eci-secret-key",
        "vk.toml: quota_cpu = 'much'",
        "vk.toml: unknown key node_nmae; did you mean node_name?",
        "vk.toml: taint_effect",
        "--eci-region",
    ):
        assert part in text
    assert len(found) == 8


def test_one_serving_certificate_is_asked_for():
    files = {"tls_cert_file": "tls.crt", "tls_key_file": "tls.key"}
    assert parse().serving_certificate == "csr"
    assert not parse().approve_own_certificate
    assert parse(flags=files).tls_cert_file == "tls.crt"
    [fault] = faults(flags={**files, "serving_certificate": "self-signed"})
    assert fault.startswith("--serving-certificate: --tls-cert-file says what to serve with")


def test_a_secret_is_not_repeated_in_a_fault():
    assert "hunter2" not in "\n".join(faults(toml="eci_secret_key = 12345\neci_access_key = 'hunter2'"))


def test_a_file_that_is_no_toml_is_one_fault_among_others():
    found = faults(flags={"kubelet_port": "x"}, toml="node_name = ")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://eci.cn-beijing.aliyuncs.com", "cn-beijing"),
        ("https://eci-vpc.ap-southeast-1.aliyuncs.com/", "ap-southeast-1"),
        ("http://127.0.0.1:8080", "cn-hangzhou"),
    ],
)
def test_the_region_follows_from_the_endpoint(endpoint, region):
    settings = parse(env={}, flags={"eci_endpoint": endpoint})
    assert settings.eci_region == region
    assert settings.eci_endpoint == endpoint.rstrip("/")


def test_the_endpoint_follows_from_the_region():
    assert parse().eci_endpoint == "https://eci.cn-hangzhou.aliyuncs.com"


def test_a_list_and_a_table_may_stand_in_the_file():
    settings = parse(toml='eci_vswitch = ["a", "b"]\nnode_labels = { zone = "z1" }\ninsecure_kubelet_api = true')
    assert (settings.eci_vswitch, settings.node_labels) == (("a", "b"), {"zone": "z1"})
    assert settings.insecure_kubelet_api is True


def test_every_setting_has_a_flag_a_variable_and_a_text():
    for name, about in config.settings().items():
        assert config.flag_of(name).startswith("--")
        assert about["env"][0] == f"VK_{name.upper()}"
        assert len(about["text"]) > 4


def test_limits_of_the_account_that_a_ticket_has_raised():
    text = "CreateContainerGroup=3000, DeleteContainerGroup=2500"
    wanted = {"CreateContainerGroup": 3000, "DeleteContainerGroup": 2500}
    assert parse(env={**REGION, "VK_ECI_CALLS_PER_MINUTE": text}).eci_calls_per_minute == wanted
    assert parse(toml="[eci_calls_per_minute]\nCreateContainerGroup = 3000").eci_calls_per_minute == {
        "CreateContainerGroup": 3000
    }
    for wrong in ("create=3", "CreateContainerGroup=0", "CreateContainerGroup"):
        (fault,) = faults(flags={"eci_calls_per_minute": wrong})
        assert "--eci-calls-per-minute" in fault
