"""Settings of the ports that the process serves: the kubelet API, probes, the live page. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.settings import address, flag, integer, listening, loopback, object_name, one_of, setting, text_value


@dataclass(frozen=True, kw_only=True)
class KubeletApiSettings:
    """Addresses, certificates, and who may call."""

    kubelet_port: int = setting(
        10250,
        integer(0, 65535),
        "port of the kubelet API; 0 = any free one. Metrics tools expect 10250. Each section [[nodes]] has its own: "
        "the next ones from here on, unless it names another",
        short="port of the kubelet API; 0 = any free one",
        env=("KUBELET_PORT",),
        section="The kubelet API",
    )
    kubelet_bind: str = setting("0.0.0.0", address, "address that the kubelet API listens on")
    tls_cert_file: str = setting(
        "",
        text_value,
        "serving certificate of the kubelet API, PEM, read again when it changes; empty = see serving_certificate",
        env=("APISERVER_CERT_LOCATION",),
        metavar="FILE",
    )
    tls_key_file: str = setting("", text_value, "its private key, PEM", env=("APISERVER_KEY_LOCATION",), metavar="FILE")
    serving_certificate: str = setting(
        "csr",
        one_of("csr", "self-signed"),
        "without a file: csr = signed by the cluster for kubernetes.io/kubelet-serving and renewed, self-signed until "
        "somebody approves the request (kubectl certificate approve); self-signed = never asked for",
        short="how it is signed where there is no file",
    )
    serving_certificate_secret: str = setting(
        "",
        object_name,
        "Secret, namespace/name, that keeps signed certificates with their keys, for each node and address, so that "
        "nobody has to approve one again after a restart; made when it is needed. Empty = they live in memory only",
        short="Secret that keeps them over restarts; empty = none",
    )
    approve_own_certificate: bool = setting(
        False,
        flag,
        "approve our own certificate requests. Off, since who may do that can be given a certificate in the name of "
        "any node; needs the rights that deploy/base/vk-provider.yaml shows as comments",
    )
    client_ca_file: str = setting(
        "", text_value, "CA of client certificates, PEM; empty = the cluster's, read from its ConfigMap", metavar="FILE"
    )
    insecure_kubelet_api: bool = setting(
        False, flag, "answer everybody without asking who it is. For a laptop only: it gives away logs"
    )

    health_address: str = setting(
        "",
        listening,
        "host:port at which /livez and /readyz answer probes over plain HTTP, without credentials; empty = nowhere, so "
        "that several providers on one machine need not share a port out",
        short="/livez and /readyz for probes; empty = off",
    )

    dashboard_address: str = setting(
        "",
        loopback,
        "host:port of the loopback interface at which a live page shows what the provider does; read-only, without a "
        "login, and reached from elsewhere by kubectl port-forward. Empty = none",
        short="live page on the loopback interface; empty = none",
    )
