"""The stand-in cloud and the provider's own driver in one process and one clock: calls go over no wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fakes.cloud import lifecycle, scenario
from fakes.cloud.clock import Clock, Timers
from fakes.cloud.errors import ApiError
from fakes.cloud.faults import Faults
from fakes.cloud.limits import RateLimits
from fakes.cloud.parameters import first_values
from fakes.cloud.runtime_simulated import SimulatedRuntime
from fakes.cloud.server import Server
from fakes.cloud.service import Service
from fakes.cloud.signature import Credential, Verifier
from vk_provider.cloud.eci import client
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import Credentials, FixedCredentials
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest

Json = dict[str, Any]


class StandIn:
    """calls: what it was asked, action and parameters, those it refused included."""

    def __init__(self, clock: Clock, played: scenario.Scenario) -> None:
        self.timers = Timers(clock)
        self.service = Service(
            self.timers,
            SimulatedRuntime(self.timers, played),
            settings=lifecycle.Settings(start_delay_s=1.0),
        )
        self.calls: list[tuple[str, Mapping[str, str]]] = []
        verifier = Verifier([Credential("testid", "testsecret")])
        self._server = Server(self.service, verifier, limits=RateLimits(enabled=False), faults=Faults())

    def asked(self, action: str) -> list[Mapping[str, str]]:
        return [parameters for name, parameters in self.calls if name == action]

    def answer(self, action: str, parameters: Mapping[str, str]) -> tuple[int, Json]:
        """HTTP status and body."""
        self.timers.run_due()
        self.calls.append((action, parameters))
        flat = first_values(parameters.items())
        try:
            return 200, {"RequestId": "req", **self._server._actions[action](flat)}
        except ApiError as error:
            return error.status, {"RequestId": "req", "Code": error.code, "Message": error.message}


class InProcessClient(EciClient):
    """The provider's client with everything but the wire: limits, retries, signatures, errors."""

    def __init__(self, settings: EciSettings, cloud: StandIn, **options: Any) -> None:
        super().__init__(settings, FixedCredentials(Credentials("testid", "testsecret")), **options)
        self._cloud = cloud

    async def _send(self, request: EciRequest, query: str, body: str) -> Mapping[str, Any]:
        parameters = dict(parse_qsl(f"{query}&{body}", keep_blank_values=True, separator="&"))
        status, answer = self._cloud.answer(request.action, parameters)
        return client._judge(request, status, {}, json.dumps(answer).encode())
