"""What holds for requests for responses whatever happens: none is lost, doubled or stuck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.errors import ResponseError
from realtime_core.handles import ResponseHandle
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.sequencer import ResponseCreateSequencer
from tests.transports.response_server import Event, ResponseServer, request_name

CREATE = "response.create"
LONG_S = 100.0
"""Longer than the client waits for anything."""

ACTIONS = (
    ["automatic"] * 3
    + ["manual"] * 3
    + ["beside"] * 2
    + ["up"] * 4
    + ["down"] * 4
    + ["vad"] * 2
    + ["end"] * 2
    + ["end_beside", "lose", "refuse", "interrupt", "interrupt", "second", "long"]
    + ["foreign_beside"]
)


class Client(Protocol):
    def request(self, kind: str, name: str) -> ResponseHandle: ...
    def receive(self, event: Event) -> None: ...
    def interrupt(self) -> None: ...
    def advance(self, now: float) -> None: ...
    def take_sends(self) -> list[Event]: ...
    def is_idle(self) -> bool: ...


def creation(kind: str, name: str) -> Event:
    response: Event = {"metadata": {"n": name}}
    if kind == "beside":
        response["conversation"] = "none"
    return {"type": CREATE} if kind == "automatic" else {"type": CREATE, "response": response}


class SequencerAlone:
    def __init__(self) -> None:
        self.sequencer = ResponseCreateSequencer()
        self.cancels: list[Event] = []

    def request(self, kind: str, name: str) -> ResponseHandle:
        event = creation(kind, name) | {"event_id": f"e_{name}"}
        return self.sequencer.request_response_create(event, manual=kind != "automatic").handle

    def receive(self, event: Event) -> None:
        if event["type"] == "error":
            self.sequencer.handle_response_create_error(event)
            return
        response = event["response"]
        says = "conversation_id" in response
        in_conversation = response["conversation_id"] is not None if says else None
        mark = {
            "response.created": self.sequencer.mark_response_created,
            "response.done": self.sequencer.mark_response_done,
        }[event["type"]]
        mark(response["id"], in_conversation=in_conversation)

    def interrupt(self) -> None:
        if self.sequencer.begin_cancel_response():
            self.cancels.append({"type": "response.cancel"})

    def advance(self, now: float) -> None:
        self.sequencer.expire(now)

    def take_sends(self) -> list[Event]:
        cancels, self.cancels = self.cancels, []
        return cancels + self.sequencer.take_sends()

    def is_idle(self) -> bool:
        return self.sequencer.next_deadline is None


class WholeProtocol:
    def __init__(self) -> None:
        self.protocol = ClientProtocol()
        self.protocol.link_opened(None)
        self.protocol.take_sends()

    def request(self, kind: str, name: str) -> ResponseHandle:
        return self.protocol.request_response(creation(kind, name).get("response"))

    def receive(self, event: Event) -> None:
        self.protocol.receive(event)

    def interrupt(self) -> None:
        self.protocol.interrupt()

    def advance(self, now: float) -> None:
        self.protocol.advance(now)

    def take_sends(self) -> list[Event]:
        return self.protocol.take_sends()

    def is_idle(self) -> bool:
        return self.protocol.next_deadline is None


class Conversation:
    """A client and the server, and what was asked for."""

    def __init__(self, client: Client, server: ResponseServer) -> None:
        self.client = client
        self.server = server
        self.kinds: dict[str, str] = {}
        self.handles: dict[str, ResponseHandle] = {}
        self.made: dict[str, int] = {}
        self.left: list[tuple[int, str, bool]] = []
        """When each left, which it was, and whether it was automatic."""
        self.interrupted: set[str] = set()
        """What had left when the program interrupted, and so need not be executed any more."""
        self._back: set[str] = set()
        """What the server sent back since it left, so that it waits and survives interruptions."""
        self.now = 0.0
        self.step = 0
        self._has_named_a_conversation = False

    def do(self, action: str) -> None:
        self.step += 1
        self._actions()[action]()
        self._send()

    def come_to_rest(self) -> None:
        """Let everything end, with nothing lost any more."""
        for _ in range(4 * len(self.kinds) + 8):
            self._pass_all()
            if self._is_at_rest():
                return
            while self.server.running or self.server.beside:
                self.server.end()
                self.server.end_beside()
                self._pass_all()
            if not self._is_at_rest():
                self._let_time_pass(LONG_S)
        raise AssertionError(f"stuck; these are still open: {self.open()}")

    def open(self) -> list[str]:
        return [name for name, handle in self.handles.items() if not handle.is_settled]

    def has_failed(self, name: str) -> bool:
        return isinstance(self.handles[name].error, ResponseError)

    def _is_at_rest(self) -> bool:
        server = self.server
        return self.client.is_idle() and not (server.running or server.beside or self.open())

    def _actions(self) -> dict[str, Callable[[], object]]:
        server = self.server
        requests = {kind: lambda k=kind: self._ask(k) for kind in ("automatic", "manual", "beside")}
        return {
            **requests,
            "up": server.handle_next,
            "down": self._receive_next,
            "lose": server.lose_next,
            "vad": server.begin_by_itself,
            "foreign_beside": server.begin_beside_by_itself,
            "end": server.end,
            "end_beside": server.end_beside,
            "refuse": lambda: setattr(server, "refuses_next", True),
            "interrupt": self._interrupt,
            "second": lambda: self._let_time_pass(1),
            "long": lambda: self._let_time_pass(LONG_S),
        }

    def _ask(self, kind: str) -> None:
        name = str(len(self.kinds) + 1)
        self.kinds[name], self.made[name] = kind, self.step
        self.handles[name] = self.client.request(kind, name)

    def _send(self) -> None:
        for event in self.client.take_sends():
            self.server.up.append(event)
            if event["type"] == CREATE:
                self.left.append((self.step, request_name(event), "response" not in event))
                self._back.discard(request_name(event))

    def _interrupt(self) -> None:
        self.interrupted.update({name for _, name, _ in self.left} - self._back)
        self.client.interrupt()

    def _receive_next(self) -> None:
        if self.server.down:
            event, refused = self.server.down.popleft()
            if refused is not None:
                self._back.add(refused)
            inside = [name for name in self.open() if self.kinds[name] != "beside"]
            self.client.receive(event)
            self._check_who_is_answered(event, inside)
            self._send()

    def _check_who_is_answered(self, event: Event, inside: list[str]) -> None:
        """What a server says of conversations is believed, once it has named one."""
        if event["type"] != "response.created" or "conversation_id" not in event["response"]:
            return
        if event["response"]["conversation_id"] is not None:
            self._has_named_a_conversation = True
        elif self._has_named_a_conversation:
            answered = [name for name in inside if self.handles[name].is_settled]
            assert not answered, f"a response beside the conversation answers {answered}"

    def _pass_all(self) -> None:
        self._send()
        while self.server.up or self.server.down:
            self.server.handle_next()
            self._receive_next()

    def _let_time_pass(self, seconds: float) -> None:
        self._pass_all()  # nothing is under way for seconds
        self.now += seconds
        self.client.advance(self.now)
        self._send()


def check_manual(conversation: Conversation) -> None:
    """Each was executed once, or refused, or has failed.

    That it was refused the client cannot know if the refusal was lost.
    """
    server = conversation.server
    for name, kind in conversation.kinds.items():
        if kind == "automatic":
            continue
        times = server.executed.count(name)
        assert times <= 1, f"request {name} was executed {times} times"
        is_refused = name in server.refused | server.refusals_lost | conversation.interrupted
        assert times or is_refused or conversation.has_failed(name), f"request {name} is lost"


def check_automatic(conversation: Conversation) -> None:
    """Each was answered by a response that was asked for after it, or refused, or has failed."""
    server = conversation.server
    answered = {*server.executed, *server.refusals_lost, *conversation.interrupted}
    if server.is_vague:
        # Once something has begun, such a refusal is about nothing, and those that were merged
        # into the request count as answered.
        answered |= server.refused
    asked = [step for step, name, is_auto in conversation.left if is_auto and name in answered]
    for name, kind in conversation.kinds.items():
        if kind != "automatic":
            continue
        own = f"e_{name}"
        assert server.executed.count(own) <= 1, f"request {name} was executed twice"
        is_answered = any(step >= conversation.made[name] for step in asked)
        is_refused = own in server.refused | conversation.interrupted
        assert is_answered or is_refused or conversation.has_failed(name), f"{name} is lost"


SERVERS = st.builds(
    ResponseServer, tells_conversation=st.booleans(), says_null=st.booleans()
) | st.builds(ResponseServer, links=st.sampled_from(["sometimes", "never"]), loses=st.booleans())
SCRIPTS = st.lists(st.sampled_from(ACTIONS), max_size=40)


def play(client: Client, server: ResponseServer, script: list[str]) -> Conversation:
    conversation = Conversation(client, server)
    for action in script:
        conversation.do(action)
    conversation.come_to_rest()
    return conversation


@settings(max_examples=5000)
@given(SERVERS, SCRIPTS)
def test_no_request_is_lost_or_doubled_or_stuck_whatever_happens(
    server: ResponseServer, script: list[str]
):
    conversation = play(SequencerAlone(), server, script)
    check_manual(conversation)
    check_automatic(conversation)


@settings(max_examples=5000)
@given(SERVERS, SCRIPTS)
def test_every_handle_is_settled_in_the_end_whatever_happens(
    server: ResponseServer, script: list[str]
):
    conversation = play(WholeProtocol(), server, script)
    assert conversation.open() == []
    check_manual(conversation)
