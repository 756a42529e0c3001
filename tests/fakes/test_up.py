"""What `make up` says when all of it runs."""

from pathlib import Path

import pytest

from fakes import up
from fakes.cloud.isolation import Isolation


@pytest.mark.parametrize("kind", ["root", "user", "plain"])
def test_it_says_how_pods_commands_run(kind):
    isolation = Isolation(kind, Path("/"), why_plain="no namespaces can be made here")
    settings = up.Settings(directory=Path("/x"), kubeconfig=Path("/x/kubeconfig"))
    local = up.Local(settings, None, None, None, "http://cloud", "https://server", isolation.describe())
    told = up.welcome(local)
    assert f"How pods' commands run here: {isolation.describe()}\n" in told
    assert ("NO SANDBOX" in told) == (kind == "plain")
