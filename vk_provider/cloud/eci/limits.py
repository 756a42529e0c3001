"""How ECI lets itself be read (eci.md 1.4, 2.5): one account's limits, of which several nodes may have a share."""

from __future__ import annotations

from vk_provider.cloud.eci.calls import IDS_PER_CALL, MAX_SINCE_S, MIN_SINCE_S, STATUSES_PER_PAGE
from vk_provider.model.poll_limits import PollLimits

LIMITS = PollLimits(
    ids_per_call=IDS_PER_CALL,
    per_page=STATUSES_PER_PAGE,
    window_s=(MIN_SINCE_S, MAX_SINCE_S),
    # With full listings they have to go into the 500 a minute that we allow ourselves of a call whose limit is not
    # published: where that is met, all of them wait for a good part of a minute.
    changes_per_minute=270,
    changes_at_once=200,
    listed_per_minute=2000,  # ten calls, at 200 a page
    usage_per_minute=250.0,
    updates_per_minute=400,  # of the 500 that ECI takes: retries count too
    events_apart=True,
)
