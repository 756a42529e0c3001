"""A refusal is one, however harmed what tells of it is."""

from __future__ import annotations

import pytest

from vk_provider.errors import Conflict, Gone, KubeError, NotFound
from vk_provider.kube.api_errors import error_from_response, from_status


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ({"code": 410, "reason": "Expired", "message": "too old"}, Gone, 410),
        ({"code": "Expired", "reason": "Expired"}, Gone, 0),  # the fuzzer's find of an hour: a code in letters
        ({"code": "404"}, KubeError, 0),
        ({"code": 404.0}, KubeError, 0),
        ({"code": True}, KubeError, 0),
        ({"code": None}, KubeError, 0),
        ({"code": [410]}, KubeError, 0),
        ({"code": 404, "details": ["pods"]}, NotFound, 404),
        ({"code": 409, "details": {"causes": "many"}}, Conflict, 409),
        ({"code": 409, "details": {"causes": ["one", None, {"reason": 7}]}}, Conflict, 409),
        ({"code": 429, "details": {"retryAfterSeconds": {}}}, KubeError, 429),
        ({"code": 422, "details": {"causes": [{"field": "metadata.uid"}]}}, Conflict, 422),
        ([], KubeError, 0),
        (None, KubeError, 0),
    ],
)
def test_a_status_of_any_shape_is_an_error_of_its_class(status, kind, code):
    error = from_status(status, call="watch /api/v1/pods")
    assert isinstance(error, kind)
    assert error.status == code
    assert str(error).startswith("watch /api/v1/pods")


def test_the_answers_own_code_counts_for_more():
    assert isinstance(error_from_response(404, b'{"kind":"Status","code":"none"}'), NotFound)
