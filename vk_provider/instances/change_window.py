"""What an answer to a poll for changes must show: what the one before has shown to change within the window.

One that lacks it is not whole, or the cloud's clock went ahead and its window with it; then what changed in between is
in no answer, not in this and not in a later one. Pure state; times are the loop's clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.model.instance import InstanceReport, InstanceStatus


class ChangeWindow:
    def __init__(self) -> None:
        # By id: the status that was shown, and since when it may have been so at the earliest.
        self._shown: dict[str, tuple[InstanceStatus, float]] = {}

    def lacking(self, reports: Sequence[InstanceReport], *, since: float, oldest: float) -> Sequence[str]:
        """Ids of those that this answer lacks and should have, each once.

        since: when the poll before this one began. oldest: changes from then on are in the answer.
        """
        before, self._shown = self._shown, {}
        for report in reports:
            if report.status is None:
                continue
            status, at = before.get(report.id, (None, since))
            self._shown[report.id] = (report.status, at if status is report.status else since)
        return [id_ for id_, (_, at) in before.items() if at > oldest and id_ not in self._shown]
