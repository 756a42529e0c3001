"""What is built out of Debian's source package says which Kubernetes it is: Helm refuses v0.0.0."""

import pytest

from tests.e2e import debian
from tests.e2e.building import CannotBuild

CHANGELOG = "kubernetes ({}) bookworm; urgency=medium\n\n  * A change of 1.19.7.\n\n"


@pytest.mark.parametrize("package", ["1.20.5+really1.20.2-1.1+deb12u1", "1.20.2-1", "1.20.2"])
def test_the_version_is_that_of_kubernetes(package: str) -> None:
    assert debian.version_of(CHANGELOG.format(package)) == "1.20.2"


def test_the_linker_is_told_it_for_every_package_that_states_it() -> None:
    flags = debian.linker_flags("1.20.2").split(" -X ")
    assert flags[0] == "-s -w"
    assert "k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v1.20.2" in flags
    assert "k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitMinor=20" in flags


def test_a_changelog_that_names_none_is_an_error() -> None:
    with pytest.raises(CannotBuild):
        debian.version_of("what is this?\n")
