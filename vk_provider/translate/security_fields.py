"""The rules for a pod's security settings (contract S35): which are carried, which only harden, which cannot be.

Every instance is a virtual machine of one pod, so nothing inside it stands between one pod and another. Therefore:
what asks for more rights than an instance gives is refused, for the pod would not work; what takes rights away inside
the instance, and cannot be taken, lets the pod run and is told by one event (`security.notices`): nearly every modern
chart sets these, and the machine's own wall stands instead.

Of capabilities to be added there are three kinds:

| kind     | which                                   | why                                                           |
|----------|-----------------------------------------|---------------------------------------------------------------|
| given    | what runtimes give, NET_ADMIN, NET_RAW  | an instance can be given the last two                         |
| optional | SYS_PTRACE, SYSLOG, PERFMON, AUDIT_READ | they only let somebody look on: `kubectl debug` adds one      |
|          | IPC_LOCK, SYS_NICE, SYS_RESOURCE,       | programs ask for better service of the kernel: memory that is |
|          | WAKE_ALARM, BLOCK_SUSPEND, LEASE        | not swapped, priority, higher limits; without they go on, or  |
|          |                                         | say themselves which setting does without (`disable_mlock`)   |
| refused  | all others, as SYS_ADMIN, SYS_TIME, BPF | to change the machine is what such a pod is for               |

An optional one lets the pod run without, and the same event names it.
"""

from __future__ import annotations

from collections.abc import Mapping

from vk_provider.translate.field_rules import EMPTY, Ignored, ListOf, ObjectOf, Rejected, Rule, Scalar, Type, one_of

# What container runtimes leave to root without being asked. Without NET_RAW, which this cloud gives by ticket only.
GIVEN_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
ADDABLE_CAPABILITIES = frozenset({"NET_ADMIN", "NET_RAW"})
OPTIONAL_CAPABILITIES = frozenset(
    {
        "AUDIT_READ",
        "BLOCK_SUSPEND",
        "IPC_LOCK",
        "LEASE",
        "PERFMON",
        "SYSLOG",
        "SYS_NICE",
        "SYS_PTRACE",
        "SYS_RESOURCE",
        "WAKE_ALARM",
    }
)
_MAX_ID = 2**31 - 1

_FLAG = Scalar(Type.FLAG)
_TEXT = Scalar(Type.TEXT)


def capability(name: str) -> str:
    """As the table spells it: upper case, without `CAP_`."""
    return name.upper().removeprefix("CAP_")


def _can_be_added(value: object) -> str:
    if capability(str(value)) in GIVEN_CAPABILITIES | ADDABLE_CAPABILITIES | OPTIONAL_CAPABILITIES:
        return ""
    return f"{value} cannot be had, only {', '.join(sorted(ADDABLE_CAPABILITIES))} beside the usual ones; leave it out"


_ID = Scalar(
    Type.WHOLE,
    lambda value: "" if isinstance(value, int) and 0 <= value <= _MAX_ID else f"must be between 0 and {_MAX_ID}",
)
_PROFILE = ObjectOf(
    {
        "type": Scalar(
            Type.TEXT,
            one_of("RuntimeDefault", "Unconfined", instead="there is no host on which a profile's file could lie"),
        ),
        "localhostProfile": Rejected("there is no host on which a profile's file could lie; leave it out"),
    }
)
_SHARED: Mapping[str, Rule] = {
    "appArmorProfile": _PROFILE,
    "runAsGroup": _ID,
    "runAsNonRoot": _FLAG,
    "runAsUser": _ID,
    "seLinuxOptions": ObjectOf(dict.fromkeys(("level", "role", "type", "user"), _TEXT)),
    "seccompProfile": _PROFILE,
    "windowsOptions": Ignored("says something of Windows only, and the virtual node runs Linux"),
}
CONTAINER_SECURITY = ObjectOf(
    {
        **_SHARED,
        "allowPrivilegeEscalation": _FLAG,
        "capabilities": ObjectOf({"add": ListOf(Scalar(Type.TEXT, _can_be_added)), "drop": ListOf(_TEXT)}),
        "privileged": Rejected("an instance gives no host to have privileges on; leave it out"),
        "procMount": Rejected("only Default is carried; leave it out", unless=(*EMPTY, "Default")),
        "readOnlyRootFilesystem": _FLAG,
    }
)
POD_SECURITY = ObjectOf(
    {
        **_SHARED,
        "fsGroup": _ID,
        "fsGroupChangePolicy": Ignored("says when owners of files are changed, and here they never are"),
        "seLinuxChangePolicy": Ignored("acts only where SELinux does"),
        "supplementalGroups": ListOf(_ID),
        # A kubelet whose runtime cannot do it refuses the pod too.
        "supplementalGroupsPolicy": Rejected("only Merge is carried; leave it out", unless=(*EMPTY, "Merge")),
        "sysctls": ListOf(ObjectOf({"name": _TEXT, "value": _TEXT}, required=("name",))),
    }
)
HOST_USERS = Ignored("the only host an instance has is a machine of its own, so nobody else's users are on it")
