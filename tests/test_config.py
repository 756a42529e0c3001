"""Settings: three sources, one precedence, every fault at once."""

import contextlib
from operator import attrgetter

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
        ("ECI_REGION", "cn-beijing", "eci.region", "cn-beijing"),
        ("ECI_SECURITY_GROUP", "sg-1", "eci.security_group", "sg-1"),
        ("ECI_VSWITCH", "vsw-1, vsw-2", "eci.vswitch", ("vsw-1", "vsw-2")),
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
    assert attrgetter(name)(parse(env={**REGION, variable: text})) == value


def test_both_halves_of_the_old_key_variables():
    settings = parse(env={**REGION, "ECI_ACCESS_KEY": "id", "ECI_SECRET_KEY": "secret"})
    assert (settings.eci.access_key, settings.eci.secret_key) == ("id", "secret")
    assert "secret" not in repr(settings).replace("secret_key", "").replace("certificate_secret", "")


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
    assert settings.eci.region == region
    assert settings.eci.endpoint == endpoint.rstrip("/")


def test_the_endpoint_follows_from_the_region():
    assert parse().eci.endpoint == "https://eci.cn-hangzhou.aliyuncs.com"


def test_a_list_and_a_table_may_stand_in_the_file():
    settings = parse(
        toml='node_labels = { zone = "z1" }\ninsecure_kubelet_api = true\n[eci]\nvswitch = ["vsw-a", "vsw-b"]'
    )
    assert (settings.eci.vswitch, settings.node_labels) == (("vsw-a", "vsw-b"), {"zone": "z1"})
    assert settings.insecure_kubelet_api is True


def test_every_setting_has_a_flag_a_variable_and_a_text():
    for name, about in config.settings().items():
        assert config.flag_of(name).startswith("--")
        assert about["env"][0] == f"VK_{name.upper()}"
        assert len(about["text"]) > 4


def test_limits_of_the_account_that_a_ticket_has_raised():
    text = "CreateContainerGroup=3000, DeleteContainerGroup=2500"
    wanted = {"CreateContainerGroup": 3000, "DeleteContainerGroup": 2500}
    assert parse(env={**REGION, "VK_ECI_CALLS_PER_MINUTE": text}).eci.calls_per_minute == wanted
    assert parse(toml="[eci.calls_per_minute]\nCreateContainerGroup = 3000").eci.calls_per_minute == {
        "CreateContainerGroup": 3000
    }
    for wrong in ("create=3", "CreateContainerGroup=0", "CreateContainerGroup"):
        (fault,) = faults(flags={"eci_calls_per_minute": wrong})
        assert "--eci-calls-per-minute" in fault


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("eci_vswitch", "vsw-..."),
        ("eci_vswitch", "vsw-…"),
        ("eci_vswitch", "vsw-bp1,vsw-xxx"),
        ("eci_vswitch", "vsw-bp1xxxxxxxxxxx"),
        ("eci_vswitch", "your-vswitch"),
        ("eci_vswitch", "${VSWITCH}"),
        ("eci_vswitch", "{{ .Values.vswitch }}"),
        ("eci_security_group", "sg-..."),
        ("eci_security_group", "<security group>"),
        ("eci_security_group", "xxx"),
        ("eci_region", "<region>"),
        ("eci_region", "cn-xxx"),
        ("eci_zone", "..."),
        ("cluster_name", "<cluster>"),
        ("cluster_name", "CHANGEME"),
        ("eci_resource_group", "rg-..."),
        ("eci_ram_role", "<role>"),
    ],
)
def test_a_placeholder_is_refused_with_its_place(setting, value):
    [fault] = faults(flags={setting: value}, env={"ECI_ENDPOINT": "http://127.0.0.1:1"})
    assert fault.startswith(f"{config.flag_of(setting)} = {value!r}: this is a placeholder; write ")


@pytest.mark.parametrize("name", ["virtual-kubelet", "todo-app", "axxb", "vsw-bp1oqxxl", "my-cluster", "a.b..c"])
def test_what_is_no_placeholder_stays(name):
    assert parse(flags={"cluster_name": name}).cluster_name == name


def test_placeholders_of_an_access_key_are_refused_without_repeating_it():
    found = faults(flags={"eci_access_key": "<hunter2>", "eci_secret_key": "<hunter3>"})
    assert len(found) == 2
    assert "hunter" not in "".join(found)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("eci_vswitch", "sg-bp1", "sg-bp1 is not an id; one begins with vsw-"),
        ("eci_vswitch", "vsw-bp1 sg-bp1", "is not an id"),
        ("eci_vswitch", ",".join(f"vsw-{n}" for n in range(11)), "ECI takes at most 10"),
        ("eci_security_group", "vsw-bp1", "one begins with sg-"),
        ("eci_security_group", ",".join(f"sg-{n}" for n in range(6)), "ECI takes at most 5"),
        ("eci_resource_group", "default", "one begins with rg-"),
        ("eci_zone", "cn-beijing-a", "is not in cn-hangzhou"),
        ("cluster_name", "", "must not be empty"),
        ("cluster_name", "http://x", "choose a plain name"),
    ],
)
def test_an_id_of_another_kind_is_refused(setting, value, words):
    [fault] = faults(flags={setting: value})
    assert config.flag_of(setting) in fault
    assert words in fault


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("cn-hangzou", "did you mean cn-hangzhou"),
        ("CN-Hangzhou", "did you mean cn-hangzhou"),
        ("cn-hangzhou-i", "did you mean cn-hangzhou"),
        ("mars", "known are ap-northeast-1, "),
    ],
)
def test_an_unknown_region_is_refused_unless_it_is_allowed(region, words):
    [fault] = faults(env={"ECI_REGION": region})
    assert fault.startswith(f"--eci-region: {region} is not a region that this version knows; ")
    assert words in fault
    assert "--eci-allow-unknown-region" in fault
    assert parse(env={"ECI_REGION": region, "VK_ECI_ALLOW_UNKNOWN_REGION": "1"}).eci.region == region


def test_a_misspelt_variable_is_told_and_other_peoples_are_not():
    others = {"VK_ICD_FILENAMES": "a", "VK_E2E_KUBECONFIG": "b", "VK_SERVICE_HOST": "c", "VK_PORT_443_TCP": "d"}
    assert parse(env={**REGION, **others, "VK_CONFIG": "e"})
    assert faults(env={**REGION, **others, "VK_NODE_NMAE": "x"}) == (
        "environment variable VK_NODE_NMAE: unknown; did you mean VK_NODE_NAME?",
    )


VALUES = [
    None,
    True,
    5,
    -1.5,
    "x",
    "",
    [],
    [5],
    {},
    {"a": 5},
    {"a": {"b": [None]}},
    float("nan"),
    "\x1b[31m",
    "é" * 300,
]


@pytest.mark.parametrize("name", sorted(config.settings()))
def test_a_value_of_any_type_is_taken_or_refused_in_words(name):
    for value in VALUES:
        with contextlib.suppress(ConfigError):
            parse(flags={name: value})
            continue
        found = faults(flags={name: value})
        assert all(config.flag_of(name) in fault or "two halves" in fault for fault in found)
