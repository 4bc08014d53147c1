"""The history as it is kept while events come: each costs the same, however long it is.

The tuple that a program sees is made when it asks for it. The server's conversation holds items
that a history does not show: calls of functions that are being written, their outputs (shown with
the call), lists of tools. Their places are kept too, as other items come after them.

Rules: The server says where an item is when it is added, and that holds for good; an update that
comes before goes to the end until then. An item that was deleted comes back only when it is added
again: what a response still says of it is of no item any more. What a response says beside the
conversation is no part of it, but an item that is added always is one, for some servers say of
every response that it is beside. After a reconnection the server's conversation is empty, so what
is then its first item comes after all that was before, and so does an item of the old conversation
that is added to the new one.
"""

from __future__ import annotations

from typing import Any

from realtime_core.events import Emit, FunctionCall
from realtime_core.history import (
    TRANSCRIPTION_COMPLETED,
    merged_item,
    remove_audio_from_content,
    transcribed_item,
    truncated_item,
)
from realtime_core.items import FunctionCallItem, RealtimeItem
from realtime_transports.openai.item_order import ItemOrder

__all__ = ["HISTORY_EVENTS", "REMEMBERED_EVENTS", "HistoryStore"]

JsonObject = dict[str, Any]

HISTORY_EVENTS = frozenset(
    {
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.deleted",
        "conversation.item.truncated",
        "response.created",
        "response.done",
        "response.output_item.added",
        "response.output_item.done",
        TRANSCRIPTION_COMPLETED,
    }
)
"""Server events that `HistoryStore.receive` is for."""

REMEMBERED_EVENTS = frozenset({"function_call", "item_update"})
"""Events of our own that `HistoryStore.remember` is for."""


class HistoryStore:
    """The conversation, as far as the server told it."""

    def __init__(self) -> None:
        self._order = ItemOrder()
        self._items: dict[str, RealtimeItem] = {}
        """Those that are shown."""
        self._shown: tuple[RealtimeItem, ...] | None = None
        self._placed: set[str] = set()
        """Of which the server said where they are."""
        self._front = ItemOrder.FRONT
        """What comes before the first item of this connection."""
        self._former: set[str] = set()
        """Items of connections before, which the server has not."""
        self._gone: set[str] = set()
        self._deleted: set[str] = set()
        """Those that are gone, and those that were created again since."""
        self._beside: set[str] = set()
        """Responses that are no part of the conversation."""
        self._outside: set[str] = set()
        """Items of theirs."""
        self._call_ids: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        """Function calls by `call_id`."""
        self._outputs: dict[str, str] = {}
        """Items with the output of a function call, by `call_id`."""
        self._answered: dict[str, tuple[str, str | None]] = {}
        """The `call_id` and the output of each of those."""
        self._calls_told: set[str] = set()
        """Items of which the program was told that a function is called."""

    # What is asked

    @property
    def items(self) -> tuple[RealtimeItem, ...]:
        """The items that are shown, in order. Made anew after a change only."""
        if self._shown is None:
            self._shown = tuple(self._items[i] for i in self._order if i in self._items)
        return self._shown

    def get(self, item_id: str) -> RealtimeItem | None:
        """The item, if it is shown."""
        return self._items.get(item_id)

    def is_gone(self, item_id: str) -> bool:
        """Whether the server has said that it deleted the item."""
        return item_id in self._gone

    def is_former(self, item_id: str) -> bool:
        """Whether the item is of a connection before, and not of this one."""
        return item_id in self._former

    def call_id_of(self, item_id: str) -> str | None:
        """What the output of a function call names; None where that was not told."""
        return self._call_ids.get(item_id)

    def output_id_of(self, item_id: str) -> str | None:
        """The item with the output of a function call; None where there is none."""
        return self._outputs.get(self._call_ids.get(item_id, ""))

    def hidden_after(self, item_id: str) -> list[str]:
        """The items right behind one that are not shown."""
        hidden: list[str] = []
        if item_id not in self._order:
            return hidden
        item_id = self._order.after(item_id)
        while item_id != ItemOrder.FRONT and item_id not in self._items:
            hidden.append(item_id)
            item_id = self._order.after(item_id)
        return hidden

    # What comes

    def receive(self, event: JsonObject) -> RealtimeItem | None:
        """Take in a server event of a known form, apart from the items it tells.

        Returns:
            An item that has changed by it, though no event tells it otherwise.
        """
        match event["type"]:
            case "conversation.item.added" | "conversation.item.done":
                return self._receive_item(event)
            case "conversation.item.deleted":
                self._delete(event["item_id"])
            case "conversation.item.truncated":
                if item := self._items.get(event["item_id"]):
                    end_ms = event["audio_end_ms"]
                    self._show(truncated_item(item, event["content_index"], end_ms))
            case _ if event["type"] == TRANSCRIPTION_COMPLETED:
                if item := self._items.get(event["item_id"]):
                    part = event.get("content_index")
                    self._show(transcribed_item(item, event["transcript"], part))
            case _:
                self._receive_response(event)
        return None

    def remember(self, emit: Emit, event: JsonObject) -> bool:
        """Take in what the program is about to be told as a server event says it.

        Returns:
            Whether it is to be told: servers may tell of a call when it is added and when it is
            done.
        """
        is_kept = not self._is_about_others(event)
        match emit.args:
            case (FunctionCall(id=str(item_id), call_id=call_id),):
                if is_kept:
                    self.note_call(item_id, call_id)
                if item_id in self._calls_told:
                    return False
                self._calls_told.add(item_id)
            case (item,) if emit.type == "item_update" and is_kept:
                self.put(item)
        return True

    def put(self, item: RealtimeItem) -> None:
        """An item came or changed; of one that was deleted, or is beside, nothing is kept."""
        item_id = item.item_id
        if item_id in self._gone or item_id in self._outside or item_id == ItemOrder.FRONT:
            return
        self._place(item_id)
        if "previous_item_id" in item.model_fields_set:
            self._place_after(item_id, getattr(item, "previous_item_id", None))
        item = remove_audio_from_content(item)
        known = self._items.get(item_id)
        if known is not None:
            item = merged_item(known, item)
        self._show(self._completed(item))

    def put_output(self, item: FunctionCallItem) -> None:
        """The program has answered a call. It may not have been told how that has changed since."""
        known = self._items.get(item.item_id)
        if isinstance(known, FunctionCallItem):
            answered = {"output": item.output, "status": item.status}
            self._show(known.model_copy(update=answered))
        else:
            self.put(item)

    def set_back(self, item_id: str, item: RealtimeItem | None) -> None:
        """Show an item as it was before; None takes it out."""
        if item is not None:
            self._show(item)
        elif item_id in self._order:
            self._remove(item_id)

    def forget_former(self, item_id: str) -> bool:
        """Take out an item of a connection before; whether it was one."""
        if item_id not in self._former:
            return False
        self._remove(item_id)
        return True

    def note_call(self, item_id: str, call_id: str) -> None:
        """What the output of a function call will name."""
        if not call_id or item_id in self._gone:
            return
        self._call_ids[item_id] = call_id
        self._calls[call_id] = item_id
        if item := self._items.get(item_id):
            self._show(self._completed(item))

    def link_closed(self) -> None:
        """The server's conversation has ended with the link. What is shown stays."""
        for item_id in [i for i in self._order if i not in self._items]:
            self._remove(item_id)
        self._gone.clear()
        self._deleted.clear()
        self._beside.clear()
        self._outside.clear()
        self._outputs.clear()
        self._answered.clear()
        self._calls_told.clear()
        self._front = self._order.last
        self._former = set(self._order)

    # Inside

    def _is_about_others(self, event: JsonObject) -> bool:
        """Whether an event is about items that are no part of the conversation.

        These are the items of a response beside it, and those that a response goes on with although
        they were deleted, even if others were created under their ids.
        """
        if not event["type"].startswith("response.output_item."):
            return False
        item_id = event["item"].get("id")
        return item_id in self._outside or item_id in self._deleted

    def _receive_item(self, event: JsonObject) -> RealtimeItem | None:
        item = event["item"]
        item_id = item.get("id")
        is_added = event["type"] == "conversation.item.added"
        if is_added:
            self._gone.discard(item_id)
            self._outside.discard(item_id)
        if not item_id or item_id in self._gone or item_id in self._outside:
            return None
        self._place(item_id)
        if "previous_item_id" in event:
            self._place_after(item_id, event["previous_item_id"])
        if item.get("type") == "function_call":
            self._receive_call(item, is_done=not is_added)
        elif item.get("type") == "function_call_output" and item.get("call_id"):
            return self._receive_output(item)
        return None

    def _receive_response(self, event: JsonObject) -> None:
        match event["type"]:
            case "response.created" if event["response"].get("conversation_id", "") is None:
                self._beside.add(event["response"].get("id") or "")
            case "response.done":
                self._beside.discard(event["response"].get("id") or "")
            case "response.output_item.added" | "response.output_item.done":
                item_id = event["item"].get("id") or ""
                if event.get("response_id") in self._beside and not self._is_here(item_id):
                    self._outside.add(item_id)

    def _receive_call(self, item: JsonObject, *, is_done: bool) -> None:
        self.note_call(item["id"], item.get("call_id") or "")
        is_complete = is_done or item.get("status") == "completed"
        if is_complete and item["id"] not in self._items and {"name", "arguments"} <= item.keys():
            call = FunctionCallItem(
                item_id=item["id"],
                status="in_progress",
                name=item["name"],
                arguments=item["arguments"],
                output=None,
            )
            self._show(self._completed(call))

    def _receive_output(self, item: JsonObject) -> RealtimeItem | None:
        self._outputs[item["call_id"]] = item["id"]
        output = item.get("output")
        self._answered[item["id"]] = (item["call_id"], output)
        call = self._items.get(self._calls.get(item["call_id"], ""))
        if not isinstance(call, FunctionCallItem) or output in (None, call.output):
            return None
        answered = call.model_copy(update={"output": output, "status": "completed"})
        self._show(answered)
        return FunctionCallItem(
            **answered.model_dump(exclude={"call_id", "previous_item_id"}, exclude_unset=True)
        )

    def _completed(self, item: RealtimeItem) -> RealtimeItem:
        """The item; a function call with its id, which events leave out, and with its output."""
        if item.type != "function_call":
            return item
        known: JsonObject = {}
        call_id = item.call_id or self._call_ids.get(item.item_id)
        if call_id and item.call_id is None:
            known["call_id"] = call_id
        _, output = self._answered.get(self._outputs.get(call_id or "", ""), ("", None))
        if output is not None and item.output is None:
            known |= {"output": output, "status": "completed"}
        return item.model_copy(update=known) if known else item

    def _delete(self, item_id: str) -> None:
        self._gone.add(item_id)
        self._deleted.add(item_id)
        if item_id not in self._order or item_id == ItemOrder.FRONT:
            return
        self._remove(item_id)
        call_id, _ = self._answered.pop(item_id, ("", None))
        if self._outputs.get(call_id) == item_id:
            del self._outputs[call_id]
            call = self._items.get(self._calls.get(call_id, ""))
            if isinstance(call, FunctionCallItem):
                without = {"output": None, "status": "in_progress"}
                self._show(call.model_copy(update=without))

    def _show(self, item: RealtimeItem) -> None:
        self._items[item.item_id] = item
        self._shown = None

    def _place(self, item_id: str) -> None:
        """Give an item that is new its place at the end, for now."""
        if item_id in self._former:
            known = self._items.get(item_id)
            self._remove(item_id)
            if known is not None:
                self._show(known)
        if item_id not in self._order:
            self._order.put(item_id, self._order.last)

    def _is_here(self, item_id: str) -> bool:
        return item_id in self._order and item_id not in self._former

    def _place_after(self, item_id: str, previous: str | None) -> None:
        """Put an item where the server says, unless it has said so before."""
        after = self._front if previous is None else previous
        is_known = after in self._order and (previous is None or after != ItemOrder.FRONT)
        if item_id in self._placed or not is_known or after == item_id:
            return
        self._placed.add(item_id)
        if self._order.before(item_id) != after:
            if item_id == self._front:
                self._front = self._order.before(item_id)
            self._order.put(item_id, after)
        self._shown = None

    def _remove(self, item_id: str) -> None:
        if item_id == self._front:
            self._front = self._order.before(item_id)
        self._order.remove(item_id)
        self._placed.discard(item_id)
        self._former.discard(item_id)
        self._items.pop(item_id, None)
        self._shown = None
