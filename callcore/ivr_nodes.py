"""What each node of a scenario does: when it is entered, and with what happens while the call waits there. Pure.

Every function returns where to go at once, or None: the call waits here, or has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callcore import ivr_events as ev
from callcore.ivr_call import Call, Stage, Way
from callcore.ivr_condition import Facts, QueueIs
from callcore.ivr_events import Event
from callcore.ivr_http import picked, request_of
from callcore.ivr_model import (
    DEEPEST,
    Branch,
    Callback,
    Collect,
    Hangup,
    Http,
    Lookup,
    Mailbox,
    Menu,
    NodeKind,
    Play,
    Queue,
    Record,
    Return,
    Set,
    Sub,
    Transfer,
)
from callcore.ivr_say import SayItem
from callcore.ivr_values import clean, fill, is_dialable

#: Beyond the time that a look-up was given: then its answer is not waited for.
ASK_GRACE_SECONDS = 1.0
#: The database answers in milliseconds, or the branch goes on without it.
FACTS_SECONDS = 2.5
LONGEST_BUFFER = 32
#: After the last words: a prompt is over when it should have been heard, and media come a little later than that.
LAST_WORDS_SECONDS = 0.3
BEEP = "beep"
RINGBACK = "ringback"

# ------------------------------------------------------------------------------------------- play


def _play(call: Call, node: Play) -> Way:
    call.stage = Stage.SAYING
    call.say(node.say)
    return None


def _said(call: Call, event: ev.Said) -> Way:
    return call.next() if call.is_current(event.token) else None


def _key_in_play(call: Call, event: ev.Key) -> Way:
    if not (isinstance(call.node, Play) and call.node.barge_in):
        return None
    call.buffer = (call.buffer + event.key)[:LONGEST_BUFFER]
    call.do(ev.BeQuiet())
    return call.next()


# ------------------------------------------------------------------------------------------- menu


def _menu(call: Call, node: Menu) -> Way:
    call.stage = Stage.MENU
    call.tries = 1
    if node.barge_in and call.buffer:
        key, call.buffer = call.buffer[0], call.buffer[1:]
        return _choose(call, node, key)
    call.buffer = ""
    call.say(node.say)
    return None


def _choose(call: Call, node: Menu, key: str) -> Way:
    """Go where a key leads, or say that it leads nowhere."""
    found = node.keys.get(key)
    if found is not None:
        return found[0], key
    return _again(call, node, node.say_invalid, "not a key of this menu")


def _again(call: Call, node: Menu | Collect, before: tuple[SayItem, ...], reason: str) -> Way:
    """Ask once more, if there is a try left."""
    call.tries += 1
    call.typed = ""
    if call.tries > node.tries:
        return call.failed(reason)
    call.stage = Stage.MENU if isinstance(node, Menu) else Stage.COLLECT
    call.buffer = ""
    call.do(ev.ClearTimer())
    call.say((*before, *node.say))
    return None


def _menu_said(call: Call, event: ev.Said) -> Way:
    assert isinstance(call.node, Menu)
    if call.is_current(event.token):
        call.said_all = True
        call.timer(call.node.wait_seconds)
    return None


def _menu_key(call: Call, event: ev.Key) -> Way:
    assert isinstance(call.node, Menu)
    if not (call.said_all or call.node.barge_in):
        return None
    call.hush()
    return _choose(call, call.node, event.key)


def _menu_silent(call: Call, event: ev.TimeUp) -> Way:
    assert isinstance(call.node, Menu)
    return _again(call, call.node, call.node.say_timeout, "no key") if call.is_current(event.token) else None


# ------------------------------------------------------------------------------------------- collect


def _collect(call: Call, node: Collect) -> Way:
    call.stage = Stage.COLLECT
    call.tries = 1
    call.typed = ""
    early, call.buffer = (call.buffer, "") if node.barge_in else ("", "")
    for key in early:
        done, way = _type(call, node, key)
        if done:
            return way
    if call.typed:
        call.said_all = True
        call.timer(node.digit_seconds)
        return None
    call.say(node.say)
    return None


def _type(call: Call, node: Collect, key: str) -> tuple[bool, Way]:
    """Take a key; whether the digits are complete, and where that leads."""
    if key == node.terminator:
        return True, _typed(call, node)
    if key.isdigit():
        call.typed += key
        if len(call.typed) >= node.max_digits:
            return True, _typed(call, node)
    return False, None


def _typed(call: Call, node: Collect) -> Way:
    """Take the digits if there are enough of them; read them back where that is wanted."""
    if len(call.typed) < node.min_digits:
        return _again(call, node, node.say_invalid, "too few digits")
    call.variables[node.into] = call.typed
    if node.confirm is None:
        return call.next()
    call.stage = Stage.CONFIRM
    call.do(ev.ClearTimer())
    call.say(node.confirm.say)
    return None


def _collect_said(call: Call, event: ev.Said) -> Way:
    assert isinstance(call.node, Collect)
    if call.is_current(event.token):
        call.said_all = True
        call.timer(call.node.wait_seconds)
    return None


def _collect_key(call: Call, event: ev.Key) -> Way:
    node = call.node
    assert isinstance(node, Collect)
    if not (call.said_all or node.barge_in):
        return None
    call.hush()
    done, way = _type(call, node, event.key)
    if not done:
        call.timer(node.digit_seconds)
    return way


def _collect_silent(call: Call, event: ev.TimeUp) -> Way:
    node = call.node
    assert isinstance(node, Collect)
    if not call.is_current(event.token):
        return None
    if len(call.typed) >= node.min_digits:
        return _typed(call, node)
    return _again(call, node, node.say_invalid, "too few digits" if call.typed else "no digits")


def _confirm_key(call: Call, event: ev.Key) -> Way:
    node = call.node
    assert isinstance(node, Collect)
    assert node.confirm is not None
    if not (call.said_all or node.barge_in):
        return None
    call.hush()
    if event.key == node.confirm.yes:
        return call.next()
    if event.key == node.confirm.no:
        return _again(call, node, (), "not confirmed")
    return _confirm_again(call, node)


def _confirm_again(call: Call, node: Collect) -> Way:
    assert node.confirm is not None
    call.tries += 1
    if call.tries > node.tries:
        return call.failed("not confirmed")
    call.do(ev.ClearTimer())
    call.say(node.confirm.say)
    return None


def _confirm_silent(call: Call, event: ev.TimeUp) -> Way:
    assert isinstance(call.node, Collect)
    return _confirm_again(call, call.node) if call.is_current(event.token) else None


# ------------------------------------------------------------------------------------------- branch, set


def _branch(call: Call, node: Branch) -> Way:
    """Ask for what is not known, or decide at once."""
    queues = tuple(dict.fromkeys(one.queue for one in node.conditions() if isinstance(one, QueueIs)))
    numbers = node.region_numbers(call.readable())
    if not queues and not numbers:
        return _decide(call, node, ev.Known())
    call.stage = Stage.ASKING
    call.timer(FACTS_SECONDS)
    call.do(ev.AskFacts(call.token, queues, numbers))
    return None


def _decide(call: Call, node: Branch, known: ev.Known) -> Way:
    facts = Facts(
        variables=call.readable(),
        now=call.now,
        schedules=call.bundle.schedules,
        queues=known.queues,
        regions=known.regions,
        zone=call.zone,
    )
    for number, arm in enumerate(node.arms, 1):
        if arm.condition.holds(facts):
            return arm.to, f"if {number}"
    return node.otherwise, "otherwise"


def _set(call: Call, node: Set) -> Way:
    before = call.readable()
    for name, template in node.values.items():
        value = clean(fill(template, before))
        if name != "language" or value in ("ru", "en"):
            call.variables[name] = value
    return call.next()


# ------------------------------------------------------------------------------------------- look-ups


def _http(call: Call, node: Http) -> Way:
    request = request_of(node, call.readable())
    call.stage = Stage.ASKING
    if node.say:
        call.say(node.say)
    call.timer(node.timeout_seconds * (node.retries + 1) + ASK_GRACE_SECONDS)
    call.do(ev.AskHttp(call.token, request))
    return None


def _lookup(call: Call, node: Lookup) -> Way:
    call.stage = Stage.ASKING
    call.timer(FACTS_SECONDS)
    call.do(ev.AskRow(call.token, node.table, call.fill(node.key)))
    return None


def _callback(call: Call, node: Callback) -> Way:
    number = call.fill(node.number)
    if not number.removeprefix("+").isdigit():
        return call.failed("no number to call back")
    call.stage = Stage.ASKING
    call.timer(FACTS_SECONDS)
    call.do(ev.AskCallback(call.token, node.queue, number))
    return None


def _told(call: Call, event: ev.Answered) -> Way:
    """Take an answer, unless it comes too late."""
    return _answer(call, event.value, event.reason) if call.is_current(event.token) else None


def _not_told(call: Call, event: ev.TimeUp) -> Way:
    return _answer(call, None, "no answer in time") if call.is_current(event.token) else None


def _answer(call: Call, value: object, reason: str) -> Way:
    node = call.node
    if isinstance(node, Branch):
        return _decide(call, node, value if isinstance(value, ev.Known) else ev.Known())
    if value is None:
        return call.failed(reason or "no answer")
    if isinstance(node, Http):
        found = picked(value, node.into)
        if isinstance(found, str):
            return call.failed(found)
        call.variables |= found
    elif isinstance(node, Lookup):
        row = value if isinstance(value, Mapping) else {}
        missing = [column for column in node.into.values() if column not in row]
        if missing:
            return call.failed(f"the table has no column {missing[0]}")
        call.variables |= {name: clean(str(row[column])) for name, column in node.into.items()}
    return call.next()


# ------------------------------------------------------------------------------------------- other people


def _queue(call: Call, node: Queue) -> Way:
    call.stage = Stage.QUEUED
    call.do(ev.EnterQueue(node.queue))
    return None


def _queue_left(call: Call, event: ev.QueueLeft) -> Way:
    return _after_talk(call) if event.served else call.failed(event.reason or "left the queue")


def _after_talk(call: Call) -> Way:
    """Go on after a conversation, or end as a call ends."""
    assert call.node is not None
    if call.node.next:
        return call.next()
    call.end(0, "done")
    return None


def _transfer(call: Call, node: Transfer) -> Way:
    to = call.fill(node.to)
    if not to:
        return call.failed("nobody to call")
    if not is_dialable(to):  # variables come from web servers and tables, too
        return call.failed(f'"{clean(to)}" cannot be called')
    shown = call.fill(node.caller_id)
    call.stage = Stage.DIALLING
    call.do(ev.PlayMusic(node.music or RINGBACK))
    call.do(ev.DialOut(node.to_kind, to, shown if is_dialable(shown) else call.variables.get("caller", "")))
    call.timer(node.ring_seconds)
    return None


def _reached(call: Call, event: ev.Reached) -> Way:
    call.do(ev.ClearTimer())
    call.tell("ivr.reached")
    call.stage = Stage.TALKING
    return None


def _not_reached(call: Call, event: ev.NotReached) -> Way:
    call.do(ev.BeQuiet())
    call.stage = Stage.NEW  # nobody is called any more who would have to be given up
    return call.failed(f"not reached: {event.code}")


def _rang_too_long(call: Call, event: ev.TimeUp) -> Way:
    if not call.is_current(event.token):
        return None
    call.do(ev.GiveUpDial(), ev.BeQuiet())
    call.stage = Stage.NEW  # nobody is called any more who would have to be given up
    return call.failed("no answer")


def _other_left(call: Call, event: ev.OtherLeft) -> Way:
    return _after_talk(call)


# ------------------------------------------------------------------------------------------- message


def _record(call: Call, node: Record) -> Way:
    call.stage = Stage.BEEPING
    call.say(node.say, BEEP)
    return None


def _beeped(call: Call, event: ev.Said) -> Way:
    assert isinstance(call.node, Record)
    if call.is_current(event.token):
        call.stage = Stage.RECORDING
        call.recording_since = call.now
        call.do(ev.StartMessage(call.fill(call.node.mailbox)))
        call.timer(call.node.max_seconds)
    return None


def _message_key(call: Call, event: ev.Key) -> Way:
    assert isinstance(call.node, Record)
    return _message_over(call) if event.key in call.node.terminators else None


def _message_full(call: Call, event: ev.TimeUp) -> Way:
    return _message_over(call) if call.is_current(event.token) else None


def _message_over(call: Call) -> Way:
    kept = call.end_message()
    call.stage = Stage.NEW  # nothing is being recorded any more that would have to be ended
    return call.next() if kept else call.failed("the message is too short")


def _message_failed(call: Call, event: ev.RecordingFailed) -> Way:
    call.do(ev.ClearTimer())
    call.stage = Stage.NEW  # nothing is being recorded that must be ended
    return call.failed("cannot record")


def _mailbox(call: Call, node: Mailbox) -> Way:
    mailbox = call.fill(node.mailbox)
    if not is_dialable(mailbox):  # variables come from web servers and tables, too
        return call.failed(f'"{clean(mailbox)}" is no mailbox')
    call.stage = Stage.LISTENING
    call.do(ev.EnterMailbox(mailbox))
    return None


def _mailbox_left(call: Call, event: ev.MailboxLeft) -> Way:
    return call.failed(event.failure) if event.failure else _after_talk(call)


# ------------------------------------------------------------------------------------------- ends


def _hangup(call: Call, node: Hangup) -> Way:
    if not node.say:
        call.end(node.code, "hang up")
        return None
    call.stage = Stage.LEAVING
    call.say(node.say)
    return None


def _last_words_said(call: Call, event: ev.Said) -> Way:
    if call.is_current(event.token):
        call.timer(LAST_WORDS_SECONDS)
    return None


def _last_words_heard(call: Call, event: ev.TimeUp) -> Way:
    if call.is_current(event.token):
        call.end(0, "hang up")
    return None


def _sub(call: Call, node: Sub) -> Way:
    target = call.bundle.scenarios.get(node.scenario)
    if target is None:
        return call.failed(f"there is no scenario {node.scenario}")
    if len(call.frames) >= DEEPEST:
        return call.failed("scenarios are nested too deep")
    call.frames.append((call.at, node.name))
    call.at = target
    call.set_initial()
    return target.scenario.start, "start"


def _return(call: Call, node: Return) -> Way:
    if not call.frames:
        call.end(0, "return of the first scenario")
        return None
    call.at, name = call.frames.pop()
    call.node = call.at.scenario.nodes[name]
    return call.node.next, "next"


def _begin(call: Call, event: ev.Begun) -> Way:
    call.tell("ivr.begin")
    return call.at.scenario.start, "start"


_Enter = Callable[[Call, Any], Way]
_On = Callable[[Call, Any], Way]

#: What a node does when it is entered.
ENTER: Mapping[NodeKind, _Enter] = {
    NodeKind.PLAY: _play,
    NodeKind.MENU: _menu,
    NodeKind.COLLECT: _collect,
    NodeKind.BRANCH: _branch,
    NodeKind.SET: _set,
    NodeKind.HTTP: _http,
    NodeKind.LOOKUP: _lookup,
    NodeKind.QUEUE: _queue,
    NodeKind.TRANSFER: _transfer,
    NodeKind.RECORD: _record,
    NodeKind.MAILBOX: _mailbox,
    NodeKind.CALLBACK: _callback,
    NodeKind.HANGUP: _hangup,
    NodeKind.SCENARIO: _sub,
    NodeKind.RETURN: _return,
}

#: What an event does in a stage; a pair that is not here is ignored (too late, or meaningless there).
ON: Mapping[tuple[Stage, type[Event]], _On] = {
    (Stage.NEW, ev.Begun): _begin,
    (Stage.SAYING, ev.Said): _said,
    (Stage.SAYING, ev.Key): _key_in_play,
    (Stage.MENU, ev.Said): _menu_said,
    (Stage.MENU, ev.Key): _menu_key,
    (Stage.MENU, ev.TimeUp): _menu_silent,
    (Stage.COLLECT, ev.Said): _collect_said,
    (Stage.COLLECT, ev.Key): _collect_key,
    (Stage.COLLECT, ev.TimeUp): _collect_silent,
    (Stage.CONFIRM, ev.Said): _collect_said,
    (Stage.CONFIRM, ev.Key): _confirm_key,
    (Stage.CONFIRM, ev.TimeUp): _confirm_silent,
    (Stage.ASKING, ev.Answered): _told,
    (Stage.ASKING, ev.TimeUp): _not_told,
    (Stage.QUEUED, ev.QueueLeft): _queue_left,
    (Stage.LISTENING, ev.MailboxLeft): _mailbox_left,
    (Stage.DIALLING, ev.Reached): _reached,
    (Stage.DIALLING, ev.NotReached): _not_reached,
    (Stage.DIALLING, ev.TimeUp): _rang_too_long,
    (Stage.TALKING, ev.OtherLeft): _other_left,
    (Stage.BEEPING, ev.Said): _beeped,
    (Stage.RECORDING, ev.Key): _message_key,
    (Stage.RECORDING, ev.TimeUp): _message_full,
    (Stage.RECORDING, ev.RecordingFailed): _message_failed,
    (Stage.LEAVING, ev.Said): _last_words_said,
    (Stage.LEAVING, ev.TimeUp): _last_words_heard,
}
