"""A strict fake of SEMS 2.1's `ivr` module with the traps that were met in a real one, each of them fatal here.

    with FakeSems(tmp_path, config={"home": …}) as sems:            # loads the script as SEMS does
        call = sems.invite("X-KS-Arg: tenant=1;queue=7\\r\\n")
        assert call.status == 200 and call.playing == ["…/jazz.wav"]
        call.dtmf(9); call.callee_replies(200); call.bye()

Reproduced: `__init__` never runs; a default happens only on the literal True, and an exception counts as not True; a
session's callbacks come one after the other, messages among them; queued audio that Python lets go of crashes the
server; so does any use of a session after the reaper took it, five seconds after its end; connectCallee raises
SystemError after it has worked; setTimer(0) raises SystemError; CANCEL is told by onSipRequest only; bye() does not
end a session; flush() brings no onEmptyQueue; the same audio object plays once; getHeader keeps trailing blanks and
knows no compact names; `config` is there during the import only; createThread later does nothing; messages for
unknown tags are lost; extra headers of invite_req leak to the callee.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

REAP_SECONDS = 5.0
AUDIO_READ, AUDIO_WRITE = 1, 2


class ServerCrash(BaseException):
    """SEMS would have died here, with every call on it."""


class IvrAudioFile:
    """A file that SEMS plays; the C object dies with this one."""

    def __init__(self) -> None:
        self.path = ""
        self.loop: bool = False
        self.ended = False

    def open(self, path: str, mode: int) -> None:
        if mode == AUDIO_READ and not Path(path).is_file():
            raise OSError
        self.path = path

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "loop" and value is not True and value is not False:
            raise TypeError("loop must be exactly True or False")
        super().__setattr__(name, value)


class _Dialog:
    def __init__(self, tag: str, callid: str) -> None:
        self.local_tag, self.callid, self.domain, self.user = tag, callid, "kalibri.internal", "queue"


class _Request:
    def __init__(self, method: str, hdrs: str) -> None:
        self.method, self.hdrs = method, hdrs


class _Reply:
    def __init__(self, code: int, hdrs: str) -> None:
        self.code, self.hdrs, self.reason = code, hdrs, ""


class IvrDialogBase:
    """What scripts subclass; everything that a reaped session does crashes."""

    _server: Any = None

    def _call(self) -> FakeCall:
        call: FakeCall | None = self.__dict__.get("_fake")
        if call is None or call.reaped:
            raise ServerCrash("a session was used after its end")
        return call

    @property
    def dialog(self) -> _Dialog:
        return self._call().dialog

    @property
    def invite_req(self) -> _Request:
        return self._call().request

    def sendReply(self, code: int, reason: str, hdrs: str) -> None:
        self._call().reply(code, reason)

    def stopSession(self) -> None:
        self._call().stop()

    def bye(self, hdrs: str = "") -> None:
        self._call().sent.append("BYE")

    def enqueue(self, play: IvrAudioFile | None, record: Any) -> None:
        self._call().enqueue(play)

    def flush(self) -> None:
        self._call().flush()

    def disconnectMedia(self) -> None:
        self._call().media = False

    def connectMedia(self) -> None:
        self._call().media = True

    def setTimer(self, number: int, seconds: float) -> None:
        if number <= 0:
            raise SystemError("setTimer")
        self._call().timers[number] = seconds

    def removeTimer(self, number: int) -> None:
        self._call().timers.pop(number, None)

    def connectCallee(self, *arguments: str) -> None:
        self._call().connect(arguments)
        raise SystemError("connectCallee returned a result with an error set")

    def terminateOtherLeg(self) -> None:
        self._call().terminate_other()


class FakeCall:
    """One session as the server sees it."""

    def __init__(self, server: FakeSems, tag: str, hdrs: str) -> None:
        self.server = server
        self.dialog, self.request = _Dialog(tag, f"{tag}@sems"), _Request("INVITE", hdrs)
        self.status = 0
        #: What was sent to the caller, in order: "180", "200", "BYE".
        self.sent: list[str] = []
        self.media = True
        self.timers: dict[int, float] = {}
        self.stopped = self.reaped = False
        self._queue: list[weakref.ref[IvrAudioFile]] = []
        #: "", "trying", "up": the callee leg.
        self.callee = ""
        self.callee_uri = ""
        self.callee_headers = ""
        #: What was sent to the callee.
        self.callee_sent: list[str] = []
        self._died_at: float | None = None
        self._depth = 0
        self._messages: list[str] = []
        self.session: Any = None
        #: Made by dialout: nobody called us.
        self.originated = False
        self.up = False

    # ---- done by the script

    def reply(self, code: int, reason: str) -> None:
        assert "\r" not in reason
        assert "\n" not in reason
        assert self.status < 200, "a second final response"
        self.status = code
        self.sent.append(str(code))
        if code == 200:
            self.callback("onSessionStart")

    def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = True
        self._died_at = self.server.now
        if self.originated:
            self._stop_originated()
        elif self.status < 200:
            self.sent.append("487")
        elif self.status == 200 and "BYE" not in self.sent:
            self.sent.append("BYE")
        if self.callee:
            self.terminate_other()

    def _stop_originated(self) -> None:
        """End what we called: CANCEL while it rings, BYE once it is up, nothing after a refusal."""
        self.sent = [word for word in self.sent if word != "BYE"]  # bye() before the answer sends nothing
        if self.status < 300:
            self.sent.append("BYE" if self.up else "CANCEL")

    def replies(self, code: int, headers: str = "") -> None:
        """The person whom we called answers, or not: 200 is told after the session has started."""
        if self.stopped:
            return
        self.status = code
        if code == 200:
            self.up = True
            self.callback("onSessionStart")
        if not self.stopped or code != 200:
            self.callback("onSipReply", _Request("INVITE", ""), _Reply(code, headers))

    def enqueue(self, play: IvrAudioFile | None) -> None:
        if play is not None and not play.ended:
            self._queue.append(weakref.ref(play))

    def flush(self) -> None:
        self._queue.clear()

    def connect(self, arguments: tuple[str, ...]) -> None:
        assert not self.callee, "one callee at a time"
        self.callee, self.callee_uri, self.callee_headers = "trying", arguments[1], self.request.hdrs
        self.callee_sent = ["INVITE"]

    def terminate_other(self) -> None:
        if self.callee:
            self.callee_sent.append("BYE" if self.callee == "up" else "CANCEL")
        self.callee = ""

    # ---- seen

    @property
    def playing(self) -> list[str]:
        """Files in the queue; audio that was let go of crashes the server."""
        self.check()
        return [file.path for reference in self._queue if (file := reference()) is not None]

    def check(self) -> None:
        """What the media thread would find."""
        if any(reference() is None for reference in self._queue):
            raise ServerCrash("queued audio was garbage-collected")

    # ---- happening

    def callback(self, name: str, *arguments: Any) -> bool:
        """Run a callback if the script has it; True: the default is to happen."""
        if self.reaped:
            raise ServerCrash(f"{name} on a reaped session")
        self._depth += 1
        try:
            handler = getattr(self.session, name, None)
            result = handler(*arguments) if handler is not None else True
        except Exception as error:
            self.server.errors.append(error)
            result = False
        finally:
            self._depth -= 1
        self.check()
        while self._messages and not self._depth and not self.stopped:
            self.callback("onIvrMessage", self._messages.pop(0))
        return result is True

    def message(self, text: str) -> None:
        """Deliver a message, after the callback that runs."""
        self._messages.append(text)
        if not self._depth:
            self.callback("onIvrMessage", self._messages.pop(0))

    def dtmf(self, key: int) -> None:
        self.callback("onDtmf", key, 280)

    def fire(self, seconds: float) -> None:
        """Fire the one timer that was set for so long."""
        [number] = [number for number, set_for in self.timers.items() if set_for == seconds]
        del self.timers[number]
        self.callback("onTimer", number)

    def play_out(self) -> None:
        """Let what plays come to its end."""
        self.check()
        files = [file for reference in self._queue if (file := reference()) is not None]
        assert files
        assert not any(file.loop for file in files), "music has no end"
        for file in files:
            file.ended = True
        self._queue.clear()
        del files
        self.callback("onEmptyQueue")

    def callee_replies(self, code: int, reason: str = "") -> None:
        """The callee answers, or not."""
        if not self.callee:
            return  # after terminateOtherLeg no reply is told
        if code == 200:
            self.callee = "up"
        default = self.callback("onOtherReply", code, reason)
        if code >= 300:
            self.callee = ""
            if default:
                self.stop()

    def callee_bye(self) -> None:
        """The callee hangs up; only the default answers him."""
        self.callee = ""
        if self.callback("onOtherBye"):
            self.callee_sent.append("200")
            if not self.stopped:
                self.sent.append("BYE")
                self.stop()

    def bye(self) -> None:
        """The caller hangs up."""
        self.callback("onSipRequest", _Request("BYE", ""))
        if self.callback("onBye"):
            self.sent.append("200 to BYE")
            if "BYE" not in self.sent:
                self.sent.append("BYE")  # none is sent: the dialog is over
                self.sent.remove("BYE")
            self.stopped, self._died_at = True, self.server.now
            if self.callee:
                self.terminate_other()

    def cancel(self) -> None:
        """The caller gives up: one callback, then the object goes."""
        self.callback("onSipRequest", _Request("CANCEL", ""))
        if not self.stopped:
            self.sent.append("487")
            self.stopped, self._died_at = True, self.server.now

    def reap_if_due(self) -> None:
        """Destroy the session five seconds after its end."""
        if self._died_at is not None and self.server.now - self._died_at >= REAP_SECONDS:
            self.reaped = True


class FakeSems:
    """A SEMS with one script."""

    def __init__(self, script: Path, config: dict[str, str]) -> None:
        self.now = 0.0
        self.errors: list[Exception] = []
        self.logged: list[str] = []
        self.threads: list[Callable[[], None]] = []
        self.calls: dict[str, FakeCall] = {}
        self._loaded = False
        self._serial = 0
        self._before = sys.modules.get("ivr")
        self.ivr = self._module(config)
        sys.modules["ivr"] = self.ivr
        self.module = self._load(script, config)

    def __enter__(self) -> FakeSems:
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            sys.modules.pop("ivr", None)
        else:
            sys.modules["ivr"] = self._before

    def _module(self, config: dict[str, str]) -> Any:
        module: Any = types.ModuleType("ivr")
        module.IvrDialogBase, module.IvrAudioFile = IvrDialogBase, IvrAudioFile
        module.AUDIO_READ, module.AUDIO_WRITE = AUDIO_READ, AUDIO_WRITE
        module.IvrUAC = lambda: types.SimpleNamespace(dialout=self.dialout)
        module.log = lambda level, text: self.logged.append(text)
        module.getHeader = get_header
        module.createThread = lambda run: None if self._loaded else self.threads.append(run)
        module.sendMessage = self.send_message
        module.config = config
        return module

    def _load(self, script: Path, config: dict[str, str]) -> Any:
        spec = importlib.util.spec_from_file_location(script.stem, script)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dialog = getattr(module, "IvrDialog", None)
        assert isinstance(dialog, type), "SEMS does not register a script without a class IvrDialog"
        assert issubclass(dialog, IvrDialogBase)
        del self.ivr.config
        module.config = config
        self._loaded = True
        return module

    def invite(self, hdrs: str) -> FakeCall:
        """Let a call come in."""
        self._serial += 1
        call = FakeCall(self, f"tag{self._serial}", hdrs)
        self.calls[call.dialog.local_tag] = call
        call.session = self.module.IvrDialog.__new__(self.module.IvrDialog)  # and never __init__
        call.session.__dict__["_fake"] = call
        call.callback("onSipRequest", call.request)
        if call.callback("onInvite", hdrs) and call.status < 200:
            call.reply(200, "OK")
        return call

    def dialout(self, user: str, app: str, uri: str, *words: Any) -> None:
        """IvrUAC().dialout: returns nothing, and a tag that is taken or an unsendable URI is silent."""
        _from, _from_uri, _to, tag, headers, _params = words
        if tag in self.calls or not uri.startswith("sip:"):
            return
        call = FakeCall(self, tag, "")
        call.originated, call.callee_uri, call.callee_headers = True, uri, headers
        self.calls[tag] = call
        call.session = self.module.IvrDialog.__new__(self.module.IvrDialog)
        call.session.__dict__["_fake"] = call

    def reinvite(self, call: FakeCall) -> bool:
        """Let the caller send re-INVITE; True: SEMS answers it."""
        return call.callback("onInvite", "")

    def send_message(self, tag: str, text: str) -> None:
        """ivr.sendMessage: an unknown tag is lost silently."""
        call = self.calls.get(tag)
        if call is not None and not call.stopped and not call.reaped:
            call.message(text)

    def advance(self, seconds: float) -> None:
        """Let time go by for the reaper."""
        self.now += seconds
        for call in self.calls.values():
            call.reap_if_due()

    def shut_down(self) -> None:
        """SIGINT: every session is told."""
        for call in list(self.calls.values()):
            if not call.stopped:
                call.callback("onServerShutdown")


def get_header(hdrs: str, name: str) -> str:
    """ivr.getHeader: the first match, trailing blanks kept, no compact names."""
    for line in hdrs.split("\r\n"):
        found, colon, value = line.partition(":")
        if colon and found.strip().lower() == name.lower():
            return value.lstrip()
    return ""
