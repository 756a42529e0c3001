"""What ECI's error codes mean for us, as data: which class of error, and for the operator's mistakes what to mend.

Pure. Source: eci.md 1.8. Codes nobody has written down are judged by the HTTP status alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.cloud.eci.options import EciOptions
from vk_provider.errors import (
    CloudDenied,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    InstanceGone,
    OutOfCapacity,
    Throttled,
)

_KEY_SETTING, _SECRET_SETTING = EciOptions.named("access_key"), EciOptions.named("secret_key")
_ENDPOINT_FLAG = EciOptions.flag_of("endpoint")

ErrorClass = type[CloudError]

# A dry run that would have worked is reported as an error.
SUCCESSES = frozenset({"DryRunOperation", "DryRun.Success"})

NONCE_USED = "SignatureNonceUsed"
TOKEN_EXPIRED = "InvalidSecurityToken.Expired"  # noqa: S105 - a code, no secret
# With others it might have been taken: those that we know may have been rotated meanwhile.
KEY_REFUSED = ("InvalidSecurityToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden.AccessKeyDisabled")
IDEMPOTENT_MISMATCH = "IdempotentParameterMismatch"
NO_NEED = "NoNeedUpdate"
NOT_FOUND = "NotFound"  # the end of every code that says so

# Of every call that we make, whether it is about one group by id: only there does "not found" speak of the group.
CALLS: Mapping[str, bool] = {
    "CreateContainerGroup": False,
    "DeleteContainerGroup": True,
    "UpdateContainerGroup": True,
    "RestartContainerGroup": True,
    "ExecContainerCommand": True,
    "DescribeContainerLog": True,
    "DescribeContainerGroups": False,
    "DescribeContainerGroupStatus": False,
    "DescribeContainerGroupEvents": False,
    "DescribeContainerGroupPrice": False,
    "DescribeMultiContainerGroupMetric": False,
    "DescribeAvailableResource": False,
    "ListUsage": False,
}

_EXACT: Mapping[str, ErrorClass] = {
    NONCE_USED: CloudUnavailable,  # the next try brings a new nonce
    "InternalError": CloudUnavailable,
    "ServiceUnavailable": CloudUnavailable,
    "ServiceUnavailableTemporary": CloudUnavailable,
    "UnknownError": CloudUnavailable,
    "EipPurchaseFlowControl": Throttled,
    "Throttling.Vcpu.PerDay": OutOfCapacity,  # a quota of the day, no matter how slowly one asks
    "OperationDenied.NoStock": OutOfCapacity,
    "Spot.NotMatched": OutOfCapacity,
    "Zone.NotOnSale": OutOfCapacity,
    "RecommendEmpty.InstanceTypeFamilyNotMatched": OutOfCapacity,
    "InvalidVSwitchId.IpNotEnough": OutOfCapacity,
    "InvalidAction.NotFound": CloudDenied,
    "InvalidVersion": CloudDenied,
    "InvalidTimeStamp.Expired": CloudDenied,
    "SignatureDoesNotMatch": CloudDenied,
    "IncompleteSignature": CloudDenied,
    "ServiceNotEnabled": CloudDenied,
    "NoPermission": CloudDenied,
    "OperationFailed.RiskControl": CloudDenied,
    "CreateServiceLinkedRole.Denied": CloudDenied,
    "InvalidUser.PassRoleForbidden": CloudDenied,
    "SecurityRisk.3DVerification": CloudDenied,
    "Forbidden.OnlyForInvitedTest": CloudRefused,  # this pod asks for what this account has not; others go on
}

# Of what is out of capacity: what another size, type or place may have.
_STOCK = ("OperationDenied.NoStock", "ContainerGroup.NoStock", "Spot.NotMatched", "Zone.NotOnSale", "RecommendEmpty")

# Looked at in this order, after _EXACT.
_BY_PREFIX: Sequence[tuple[str, ErrorClass]] = (
    ("Throttling", Throttled),
    ("Rejected.Throttling", Throttled),
    ("Quota", OutOfCapacity),
    ("ContainerGroup.NoStock", OutOfCapacity),
    ("InvalidAccessKeyId", CloudDenied),
    ("InvalidSecurityToken", CloudDenied),
    ("MissingSecurityToken", CloudDenied),
    ("Forbidden", CloudDenied),
    ("Account.", CloudDenied),
    ("InvalidPaymentMethod", CloudDenied),
    ("Payfor.", CloudDenied),
)

# Codes whose meaning depends on the call.
_BY_ACTION: Mapping[tuple[str, str], ErrorClass] = {
    ("DeleteContainerGroup", "IncorrectStatus"): CloudUnavailable,  # a change is under way: again in a moment
    ("DeleteContainerGroup", "OperationConflict"): CloudUnavailable,
    ("UpdateContainerGroup", "IncorrectStatus"): CloudUnavailable,  # a change is under way, or it has ended: look again
    ("UpdateContainerGroup", "OperationConflict"): CloudUnavailable,
    ("RestartContainerGroup", "OperationConflict"): CloudUnavailable,
}

# What a person can do about it; first match by prefix.
_HINTS: Sequence[tuple[str, str]] = (
    (
        "InvalidAccessKeyId.NotFound",
        f"the access key id is unknown to the cloud: check {_KEY_SETTING}, and {_ENDPOINT_FLAG}",
    ),
    (
        "InvalidAccessKeyId",
        f"the access key is not active: enable it or set another with {EciOptions.flag_of('access_key')}",
    ),
    (
        "SignatureDoesNotMatch",
        f"the access key's secret is wrong: check {_SECRET_SETTING}; it must belong to the access key id",
    ),
    ("IncompleteSignature", "the cloud could not read our signature: check --eci-endpoint"),
    ("InvalidTimeStamp", "this machine's clock is off by more than 15 minutes: set it right (NTP)"),
    ("InvalidSecurityToken", "the temporary credentials are expired or do not belong together: renew them"),
    ("MissingSecurityToken", "the access key is a temporary one and needs its security token"),
    ("InvalidAction", "the address does not know this call: check --eci-endpoint"),
    ("InvalidVersion", "the address does not know this version of the API: check --eci-endpoint"),
    ("CreateServiceLinkedRole.Denied", "the first use of ECI creates a role: allow ram:CreateServiceLinkedRole once"),
    ("InvalidUser.PassRoleForbidden", "the account may not pass on the RAM role: allow ram:PassRole"),
    ("Forbidden.AccountClosed", "the account is closed"),
    ("Forbidden", "the account may not do this: grant it the eci: actions listed in the documentation"),
    ("NoPermission", "the account may not do this: grant it the eci: actions listed in the documentation"),
    ("Account.Arrearage", "the account has unpaid bills: settle them"),
    ("InvalidPaymentMethod", "the account cannot pay: mend its payment method or balance"),
    ("Payfor.", "the account cannot pay: mend its payment method or balance"),
    ("ServiceNotEnabled", "ECI is not enabled for the account: enable it in the console"),
    ("OperationFailed.RiskControl", "the account is held by risk control: contact the cloud's support"),
    ("SecurityRisk", "the account must be verified in the console first"),
)


def error_class(action: str, code: str, http_status: int) -> ErrorClass:
    """code: empty when the answer had none, that is, when something other than ECI answered."""
    if not code:
        return Throttled if http_status == 429 else CloudUnavailable
    if (action, code) in _BY_ACTION:
        return _BY_ACTION[action, code]
    if code in _EXACT:
        return _EXACT[code]
    for prefix, known in _BY_PREFIX:
        if code.startswith(prefix):
            return known
    if _is_gone(action, code):
        return InstanceGone
    if http_status == 429:
        return Throttled
    return CloudUnavailable if http_status >= 500 else CloudRefused


def is_about_stock(code: str) -> bool:
    return code.startswith(_STOCK)


def _is_gone(action: str, code: str) -> bool:
    if not CALLS.get(action, False):
        return False
    return code == "InvalidParameter.NotFound" or ("ContainerGroup" in code and code.endswith("NotFound"))


def hint(code: str) -> str:
    return next((text for prefix, text in _HINTS if code.startswith(prefix)), "")
