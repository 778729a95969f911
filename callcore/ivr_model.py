"""A scenario as a checked value: nodes, their fields and where each leads. Pure; ivr_scenario.py reads it from YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from callcore.ivr_condition import Condition, InRegion
from callcore.ivr_say import SayItem
from callcore.ivr_values import OUTCOMES, names_in

#: Sub-scenarios within sub-scenarios.
DEEPEST = 5
#: Nodes that a call may pass through at most, unless the scenario says less.
MOST_STEPS = 1000


class NodeKind(StrEnum):
    """What a node does."""

    #: Say something.
    PLAY = "play"
    #: Say something and go where a key leads.
    MENU = "menu"
    #: Take digits into a variable.
    COLLECT = "collect"
    #: Go where the first condition that holds leads.
    BRANCH = "branch"
    #: Set variables.
    SET = "set"
    #: Ask a web server.
    HTTP = "http"
    #: Find a row of an uploaded table.
    LOOKUP = "lookup"
    #: Wait for an agent.
    QUEUE = "queue"
    #: Connect with somebody.
    TRANSFER = "transfer"
    #: Take a message.
    RECORD = "record"
    #: Let the caller listen to the messages of a mailbox.
    MAILBOX = "mailbox"
    #: Have the caller called back by a queue.
    CALLBACK = "callback"
    #: End the call.
    HANGUP = "hangup"
    #: Go through another scenario and come back.
    SCENARIO = "scenario"
    #: Go back to the scenario that led here; ends the call in the first one.
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Exit:
    """Where a node leads, and when."""

    label: str
    #: Name of a node, "" for none.
    to: str
    line: int
    #: It is taken only when the caller did something.
    by_input: bool = False


@dataclass(frozen=True, kw_only=True)
class Node:
    """Base of all nodes."""

    kind: ClassVar[NodeKind]
    #: Whether a failure branch must be given.
    may_fail: ClassVar[bool] = False

    name: str
    line: int
    next: str = ""
    on_failure: str = ""
    #: Field to line, for exits.
    lines: Mapping[str, int] = field(default_factory=dict)

    def exits(self) -> Iterator[Exit]:
        """Yield where it leads, one exit for each way."""
        if self.next:
            yield self._exit("next", self.next)
        if self.on_failure:
            yield self._exit("on_failure", self.on_failure)

    def _exit(self, label: str, to: str, *, by_input: bool = False) -> Exit:
        return Exit(label, to, self.lines.get(label, self.line), by_input)

    @property
    def says(self) -> tuple[SayItem, ...]:
        """Everything that it may say."""
        return ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Variables that it needs."""
        return tuple(name for item in self.says for name in item.variables)

    @property
    def sets(self) -> tuple[str, ...]:
        """Variables that it sets."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Play(Node):
    """Say something, then go on."""

    kind = NodeKind.PLAY
    say: tuple[SayItem, ...]
    #: A key ends it, and counts for what comes next.
    barge_in: bool = False

    @property
    def says(self) -> tuple[SayItem, ...]:
        """What it says."""
        return self.say


@dataclass(frozen=True, kw_only=True)
class Menu(Node):
    """Go where a key leads."""

    kind = NodeKind.MENU
    may_fail = True
    say: tuple[SayItem, ...]
    #: Key → (node, line).
    keys: Mapping[str, tuple[str, int]]
    wait_seconds: float
    #: How often the menu is said before it fails.
    tries: int
    say_invalid: tuple[SayItem, ...] = ()
    say_timeout: tuple[SayItem, ...] = ()
    barge_in: bool = True

    def exits(self) -> Iterator[Exit]:
        """Yield an exit for each key, and the failure branch."""
        for key, (to, line) in self.keys.items():
            yield Exit(key, to, line, by_input=True)
        yield from Node.exits(self)

    @property
    def says(self) -> tuple[SayItem, ...]:
        """Everything that it may say."""
        return (*self.say, *self.say_invalid, *self.say_timeout)


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read back what was typed, and ask whether it is right."""

    say: tuple[SayItem, ...]
    yes: str = "1"
    no: str = "2"


@dataclass(frozen=True, kw_only=True)
class Collect(Node):
    """Take digits into a variable."""

    kind = NodeKind.COLLECT
    may_fail = True
    say: tuple[SayItem, ...]
    into: str
    min_digits: int
    max_digits: int
    #: "" for none: only the length or silence ends it.
    terminator: str
    wait_seconds: float
    digit_seconds: float
    tries: int
    say_invalid: tuple[SayItem, ...] = ()
    confirm: Confirm | None = None
    barge_in: bool = True

    def exits(self) -> Iterator[Exit]:
        """Yield the exit of digits, and the failure branch."""
        if self.next:
            yield self._exit("next", self.next, by_input=True)
        if self.on_failure:
            yield self._exit("on_failure", self.on_failure)

    @property
    def says(self) -> tuple[SayItem, ...]:
        """Everything that it may say."""
        return (*self.say, *self.say_invalid, *(self.confirm.say if self.confirm else ()))

    @property
    def sets(self) -> tuple[str, ...]:
        """The variable of the digits."""
        return (self.into,)


@dataclass(frozen=True, slots=True)
class Arm:
    """One condition of a branch and where it leads."""

    condition: Condition
    to: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Branch(Node):
    """Go where the first condition that holds leads."""

    kind = NodeKind.BRANCH
    arms: tuple[Arm, ...]
    otherwise: str

    def exits(self) -> Iterator[Exit]:
        """Yield an exit for each arm, and `otherwise`."""
        for number, arm in enumerate(self.arms, 1):
            yield Exit(f"if {number}", arm.to, arm.line)
        if self.otherwise:
            yield self._exit("otherwise", self.otherwise)

    def conditions(self) -> Iterator[Condition]:
        """Yield every condition, inner ones too."""
        for arm in self.arms:
            yield from arm.condition.parts()

    @property
    def reads(self) -> tuple[str, ...]:
        """What the conditions read."""
        return tuple(name for condition in self.conditions() for name in condition.variables)

    def region_numbers(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Return the numbers whose region must be known, with these variables."""
        found = (one.number(variables) for one in self.conditions() if isinstance(one, InRegion))
        return tuple(dict.fromkeys(number for number in found if number))


@dataclass(frozen=True, kw_only=True)
class Set(Node):
    """Set variables."""

    kind = NodeKind.SET
    values: Mapping[str, str]

    @property
    def reads(self) -> tuple[str, ...]:
        """What the values are made of."""
        return tuple(name for value in self.values.values() for name in names_in(value))

    @property
    def sets(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(self.values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One value that is picked out of an answer."""

    #: "a.b.0" of JSON.
    path: str
    #: Of ivr_values.TYPES: what is of another type fails the look-up.
    type: str = "text"


@dataclass(frozen=True, kw_only=True)
class Http(Node):
    """Ask a web server; what does not answer as expected is a failure."""

    kind = NodeKind.HTTP
    may_fail = True
    method: str
    #: A template; its host has no variables.
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Sent as JSON with POST.
    body: Mapping[str, str] = field(default_factory=dict)
    into: Mapping[str, Wanted]
    timeout_seconds: float
    retries: int
    #: 0: every caller asks anew.
    cache_seconds: float
    #: Heard while the answer is awaited.
    say: tuple[SayItem, ...] = ()

    @property
    def says(self) -> tuple[SayItem, ...]:
        """What is heard meanwhile."""
        return self.say

    @property
    def reads(self) -> tuple[str, ...]:
        """What the request is made of."""
        sent = (self.url, *self.headers.values(), *self.body.values())
        return (*Node.reads.fget(self), *(name for text in sent for name in names_in(text)))  # type: ignore[attr-defined]

    @property
    def sets(self) -> tuple[str, ...]:
        """What is picked out of the answer."""
        return tuple(self.into)


@dataclass(frozen=True, kw_only=True)
class Lookup(Node):
    """Find a row of an uploaded table by its key; none is a failure."""

    kind = NodeKind.LOOKUP
    may_fail = True
    table: str
    key: str
    #: Variable → column.
    into: Mapping[str, str]

    @property
    def reads(self) -> tuple[str, ...]:
        """What the key is made of."""
        return names_in(self.key)

    @property
    def sets(self) -> tuple[str, ...]:
        """The variables of the columns."""
        return tuple(self.into)


@dataclass(frozen=True, kw_only=True)
class Queue(Node):
    """Wait for an agent; afterwards `next`, or the end. Closed, full, nobody came: the failure branch."""

    kind = NodeKind.QUEUE
    may_fail = True
    queue: str


@dataclass(frozen=True, kw_only=True)
class Transfer(Node):
    """Connect with an account, a number or a queue; who does not answer is a failure."""

    kind = NodeKind.TRANSFER
    may_fail = True
    #: account, number or queue.
    to_kind: str
    to: str
    ring_seconds: float
    #: What the callee sees; "": the caller.
    caller_id: str = ""
    #: Tone or music while it rings.
    music: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """What target and caller id are made of."""
        return (*names_in(self.to), *names_in(self.caller_id))


@dataclass(frozen=True, kw_only=True)
class Record(Node):
    """Take a message after a beep."""

    kind = NodeKind.RECORD
    may_fail = True
    say: tuple[SayItem, ...]
    max_seconds: float
    #: A shorter one is a failure.
    min_seconds: float
    #: Keys that end it.
    terminators: str
    #: Whose message it is, for the list of recordings.
    mailbox: str = ""

    @property
    def says(self) -> tuple[SayItem, ...]:
        """What is said before the beep."""
        return self.say

    @property
    def reads(self) -> tuple[str, ...]:
        """What the mailbox is made of, too."""
        return (*names_in(self.mailbox), *(name for item in self.say for name in item.variables))


@dataclass(frozen=True, kw_only=True)
class Mailbox(Node):
    """Let the caller listen to a mailbox, with its PIN; who is not let in is a failure."""

    kind = NodeKind.MAILBOX
    may_fail = True
    mailbox: str

    @property
    def reads(self) -> tuple[str, ...]:
        """What the name of the mailbox is made of."""
        return names_in(self.mailbox)


@dataclass(frozen=True, kw_only=True)
class Callback(Node):
    """Have a number called back by a queue; one that the queue does not take is a failure."""

    kind = NodeKind.CALLBACK
    may_fail = True
    queue: str
    number: str

    @property
    def reads(self) -> tuple[str, ...]:
        """What the number is made of."""
        return names_in(self.number)


@dataclass(frozen=True, kw_only=True)
class Hangup(Node):
    """Say something, then end the call; before anything was heard the code is the answer to the call."""

    kind = NodeKind.HANGUP
    say: tuple[SayItem, ...] = ()
    code: int = 0

    @property
    def says(self) -> tuple[SayItem, ...]:
        """The last words."""
        return self.say


@dataclass(frozen=True, kw_only=True)
class Sub(Node):
    """Go through another scenario with the same variables; too deep is a failure."""

    kind = NodeKind.SCENARIO
    may_fail = True
    scenario: str


@dataclass(frozen=True, kw_only=True)
class Return(Node):
    """Go back."""

    kind = NodeKind.RETURN


#: Nodes behind which nothing comes.
ENDS = frozenset({NodeKind.HANGUP, NodeKind.RETURN})
#: Nodes whose call may end without a next one.
MAY_END = frozenset({NodeKind.QUEUE, NodeKind.TRANSFER, NodeKind.MAILBOX})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A whole scenario."""

    start: str
    nodes: Mapping[str, Node]
    language: str = "ru"
    #: IANA name; "": the tenant's.
    time_zone: str = ""
    #: Initial values.
    variables: Mapping[str, str] = field(default_factory=dict)
    most_steps: int = MOST_STEPS
    #: Seconds in the scenario, conversations not counted.
    most_seconds: float = 1800.0

    def sub_scenarios(self) -> tuple[str, ...]:
        """Return the scenarios that it leads through."""
        return tuple(dict.fromkeys(node.scenario for node in self.nodes.values() if isinstance(node, Sub)))

    def known_variables(self) -> frozenset[str]:
        """Return every variable that something sets."""
        found = {*self.variables, *OUTCOMES, "language"}
        for node in self.nodes.values():
            found.update(node.sets)
        return frozenset(found)
