"""What comes next after an error, its class says: of each a row."""

import pytest

from vk_provider import errors
from vk_provider.errors import ProviderError

# Whether the very same call may be sent again in a moment; else the least and the most seconds until the next look.
ROWS = {
    "PodNotReady": (True, (0.5, 60.0)),
    "KubeUnavailable": (True, (0.5, 60.0)),
    "MalformedAnswer": (True, (0.5, 60.0)),
    "VersionsWentBack": (True, (0.5, 60.0)),
    "AnswerTooLong": (False, (0.5, 60.0)),
    "CloudUnavailable": (True, (0.5, 60.0)),
    "CloudAnswerTooLong": (False, (0.5, 60.0)),
    "Throttled": (True, (0.5, 60.0)),
    "OutOfCapacity": (False, (2.0, 120.0)),
    "CloudDenied": (False, (2.0, 120.0)),
    "CloudRefused": (False, (10.0, 300.0)),
    "InstanceGone": (False, (0.5, 60.0)),
    "CloudError": (False, (0.5, 60.0)),
    "KubeError": (False, (0.5, 60.0)),
    "NotFound": (False, (0.5, 60.0)),
    "Conflict": (False, (0.5, 60.0)),
    "Gone": (False, (0.5, 60.0)),
    "UnsupportedPod": (False, (0.5, 60.0)),
    "ConfigError": (False, (0.5, 60.0)),
    "ManifestError": (False, (0.5, 60.0)),
    "LeadershipLost": (False, (0.5, 60.0)),
    "ProviderError": (False, (0.5, 60.0)),
}
KINDS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ProviderError)
}


def test_there_is_a_row_for_each():
    assert ROWS.keys() == KINDS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    assert (KINDS[name].retryable, KINDS[name].again_s) == ROWS[name]
