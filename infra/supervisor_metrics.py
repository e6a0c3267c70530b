"""The supervisor's own page of figures: every part's state, restarts, memory and CPU.

It stands in for the parts without a page of their own: the JVMs (broker, Spark) and Airflow's processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from infra import process_tree
from infra.run_state import RunState
from infra.settings import Settings


class PartsCollector:
    """Looks at the processes when the page is asked for."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def collect(self) -> Iterator[Any]:
        """One family a figure, one sample a part."""
        up = GaugeMetricFamily("playlake_part_up", "1 when the part is healthy or done", labels=["part", "state"])
        restarts = CounterMetricFamily("playlake_part_restarts", "Starts after the first", labels=["part"])
        memory = GaugeMetricFamily(
            "playlake_part_resident_bytes", "Resident memory, shared pages by share", labels=["part"]
        )
        cpu = CounterMetricFamily("playlake_part_cpu_seconds", "CPU time of its living processes", labels=["part"])
        count = GaugeMetricFamily("playlake_part_processes", "Processes of the part", labels=["part"])
        started = GaugeMetricFamily("playlake_part_start_time_seconds", "Start of its process", labels=["part"])
        for part in list(self._state.parts):
            up.add_metric([part.name, part.state], float(part.state in ("healthy", "done")))
            restarts.add_metric([part.name], part.restarts)
            processes = process_tree.tree(part.pid) if part.pid else []
            if processes:
                memory.add_metric([part.name], process_tree.resident_bytes(processes))
                cpu.add_metric([part.name], process_tree.cpu_seconds(processes))
                count.add_metric([part.name], len(processes))
                started.add_metric([part.name], part.started)
        yield from (up, restarts, memory, cpu, count, started)


def serve(settings: Settings, state: RunState) -> None:
    """Answer on `supervisor_port` until the process ends."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PartsCollector(state))
    start_http_server(settings.supervisor_port, addr=settings.host, registry=registry)
