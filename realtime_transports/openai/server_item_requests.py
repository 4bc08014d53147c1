"""What clients ask about the conversation's items."""

from __future__ import annotations

from realtime_transports.openai.server_answers import Answers
from realtime_transports.openai.server_conversation import Conversation
from realtime_transports.openai.server_items import parse_item
from realtime_transports.openai.server_outputs import JsonObject, Outbox
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.server_strict import require_api_item
from realtime_transports.openai.server_transcripts import Transcripts

__all__ = ["ItemRequests"]


class ItemRequests:
    """The four conversation.item events; each method raises ClientEventError where it refuses."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        config: SessionConfig,
        answers: Answers,
        transcripts: Transcripts,
    ) -> None:
        """Join what they are about."""
        self._outbox = outbox
        self._conversation = conversation
        self._config = config
        self._answers = answers
        self._transcripts = transcripts

    def create(self, event: JsonObject) -> None:
        """Add an item where the client wants it."""
        stored = parse_item(event["item"], self._outbox.make_id, self._config.formats)
        if self._config.is_strict:
            require_api_item(stored.item, self._conversation.call_ids())
        previous = self._conversation.insert(stored, event.get("previous_item_id"))
        self._outbox.send_item(stored.to_dict(), previous)

    def retrieve(self, event: JsonObject) -> None:
        """Send an item with all its audio; a link that cannot carry that may leave it out."""
        stored = self._conversation.find(event["item_id"], "retrieve")
        audio_format = self._config.formats.get(stored.item.get("role", ""), {})
        item = stored.to_dict_with_audio(audio_format)
        self._outbox.send("conversation.item.retrieved", item=item)

    def truncate(self, event: JsonObject) -> None:
        """Cut the audio of an answer."""
        self._answers.truncate(event["item_id"], event["content_index"], event["audio_end_ms"])

    def delete(self, event: JsonObject) -> None:
        """Remove an item, and stop asking for its words."""
        item_id = event["item_id"]
        self._conversation.delete(item_id)
        self._outbox.send("conversation.item.deleted", item_id=item_id)
        self._transcripts.forget(item_id)
        self._answers.ask_responder()
