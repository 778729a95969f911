"""Puts the parts of ks-api together, starts and stops them."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from api import openrpc
from api.cards import CardMaker
from api.connections import Connections
from api.events.feed import Feed
from api.events.http import PollResource, StreamResource
from api.events.socket import socket_resource
from api.execution import Executor
from api.http import HealthResource, LimitedSite, RpcResource, tree
from api.pages import Pages
from api.phone_book import PhoneBookResource
from api.registry import all_methods
from api.rpc import RpcServer
from api.webhooks import WebhookSender
from kalibri.config import Config

log = logging.getLogger("ks-api")


class App:
    """One ks-api."""

    def __init__(self, config: Config, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._pool = ThreadPool(1, config.api.threads, name="api")
        self._connections = Connections(config)
        methods = all_methods()
        self.server = RpcServer(
            config.api,
            self._connections,
            Executor(config, self._connections, methods),
            self._pool,
            reactor,
            json.dumps(openrpc.document(methods)),
        )
        self.feed = Feed(config)
        api, server, feed = config.api, self.server, self.feed
        self.site = LimitedSite(
            tree(
                {
                    "health": HealthResource(self.state),
                    "v1/rpc": RpcResource(api, server),
                    "v1/events": StreamResource(api, server, feed),
                    "v1/events/poll": PollResource(api, server, feed, reactor),
                    "v1/addressbook": PhoneBookResource(api, server),
                    "v1/socket": socket_resource(api, server, feed),
                    "agent": Pages("agent"),
                }
            ),
            api,
        )
        self.webhooks = WebhookSender(config)
        self.cards = CardMaker(config)
        self.port: Any = None

    def start(self) -> None:
        """Listen; port 0 (tests) takes any."""
        self._pool.start()
        self.feed.start()
        self.webhooks.start()
        self.cards.start()
        api = self._config.api
        self.port = self._reactor.listenTCP(api.port, self.site, interface=api.listen_address, backlog=511)
        log.info("answers on http://%s:%d", api.listen_address, self.port.getHost().port)

    def state(self) -> dict[str, Any]:
        """Say how it goes, for /health."""
        return {
            "status": "ok",
            "served": self.server.served,
            "connections": self.site.connections,
            "listeners": self.feed.listeners,
            "last_event": self.feed.head,
            "events_sent": self.feed.sent,
            "webhooks_sent": self.webhooks.sent,
            "webhooks_failed": self.webhooks.failed,
            "database": "ok" if self.feed.connected else "away",
        }

    def stop(self) -> Deferred[None]:
        """Stop listening and end what runs; requests that are being answered are finished."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self.port is not None:
            await self.port.stopListening()
        await Deferred.fromFuture(asyncio.ensure_future(self.feed.stop()))
        await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self.webhooks.stop)
        await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self.cards.stop)
        await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._pool.stop)
        self._connections.close()
