"""The ports that an instance needs, and for which of its processes. It opens none."""

from __future__ import annotations

from dataclasses import dataclass

from kalibri.config import Config
from tools.instance.processes import rtp_control


@dataclass(frozen=True)
class WantedPort:
    """A port on which a process of the instance listens."""

    #: Name of the process in ksinit status.
    process: str
    #: The key of the configuration that says so.
    key: str
    address: str
    port: int
    #: udp or tcp.
    protocol: str

    def __str__(self) -> str:
        return f"{self.key}: port {self.port}/{self.protocol} of {self.address}"


def wanted_ports(config: Config) -> list[WantedPort]:
    """Return the ports that an instance needs, those for media apart."""
    proxy = config.proxy
    wanted = [
        WantedPort("kamailio", "proxy.sip_port", proxy.listen_address, proxy.sip_port, "udp"),
        WantedPort("kamailio", "proxy.sip_port", proxy.listen_address, proxy.sip_port, "tcp"),
        WantedPort("kamailio", "proxy.tls_port", proxy.listen_address, proxy.tls_port, "tcp"),
        WantedPort("kamailio", "proxy.internal_port", proxy.listen_address, proxy.internal_port, "udp"),
    ]
    for number in range(1, config.rtp_nodes + 1):
        address, port = rtp_control(config, number)
        wanted.append(WantedPort(f"rtp-{number}", "rtp.control_base_port", address, port, "udp"))
    for number, name in enumerate(config.rtp_controllers, 1):
        ports = config.rtp_controller_ports(number)
        for protocol, port in (
            ("udp", ports.control),
            ("tcp", ports.control),
            ("tcp", ports.notify),
            ("tcp", ports.metrics),
        ):
            wanted.append(WantedPort(name, "rtp.controller_base_port", ports.address, port, protocol))
    if config.private_database:
        wanted.append(WantedPort("postgres", "database.port", "127.0.0.1", config.database.port, "tcp"))
    if config.api.enabled:
        wanted.append(WantedPort("ks-api", "api.port", config.api.listen_address, config.api.port, "tcp"))
    if config.stun.enabled:
        wanted.append(WantedPort("stun", "stun.port", proxy.listen_address, config.stun.port, "udp"))
    return wanted
