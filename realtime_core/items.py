"""The items of a conversation, as a program sees them.

Fields are those of OpenAI Agents JS in Python's spelling. A field that the server did not send is
not set: `model_dump(exclude_unset=True)` gives what came, and ``previous_item_id=None`` (it is the
first) differs from a `previous_item_id` that was never set (nothing is known about its place).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, TypeAdapter

__all__ = [
    "AssistantMessageItem",
    "FunctionCallItem",
    "InputAudioContent",
    "InputImageContent",
    "InputTextContent",
    "ItemStatus",
    "McpApprovalRequestItem",
    "McpCallItem",
    "MessageItem",
    "OutputAudioContent",
    "OutputTextContent",
    "RealtimeItem",
    "SystemMessageItem",
    "UserMessageItem",
    "parse_item",
]

# pydantic refuses strings with a lone surrogate, which JSON may hold (RFC 8259, section 8.2) and a
# transcript cut in the middle of a character does; an instance check lets them through untouched.
Text: TypeAlias = InstanceOf[str]

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class _Model(BaseModel):
    # Built when first used: importing this package must stay cheap.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    _said: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what the thing is."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        cls._said = frozenset({"type", "role"} & cls.model_fields.keys())

    def model_post_init(self, _context: Any) -> None:
        # They belong to what is dumped even when left to default.
        self.__pydantic_fields_set__.update(self._said)


class InputTextContent(_Model):
    """Text of the user or of the system."""

    type: Literal["input_text"] = "input_text"
    text: Text


class InputAudioContent(_Model):
    """Speech of the user."""

    type: Literal["input_audio"] = "input_audio"
    audio: Text | None = None
    """base64; None where the history keeps no audio."""
    transcript: Text | None = None
    """None until the speech has been transcribed."""


class InputImageContent(_Model):
    """An image of the user."""

    type: Literal["input_image"] = "input_image"
    image_url: Text
    """A `data:` or `https:` URL."""
    detail: Text | None = None


class OutputTextContent(_Model):
    """Text of the model."""

    type: Literal["output_text"] = "output_text"
    text: Text


class OutputAudioContent(_Model):
    """Speech of the model."""

    type: Literal["output_audio"] = "output_audio"
    audio: Text | None = None
    """base64; None where the history keeps no audio."""
    transcript: Text | None = None
    """What the model said, also where not all of it was heard."""
    audio_end_ms: int | float | None = None
    """Up to where the user heard it, where the server cut it; None where it was not cut."""


class _Item(_Model):
    item_id: Text
    previous_item_id: Text | None = None
    """The item it follows; None when it is the first, unset when the server did not say."""


class SystemMessageItem(_Item):
    """A message of the system."""

    type: Literal["message"] = "message"
    role: Literal["system"] = "system"
    content: list[InputTextContent]


class UserMessageItem(_Item):
    """A message of the user."""

    type: Literal["message"] = "message"
    role: Literal["user"] = "user"
    status: ItemStatus
    content: list[
        Annotated[
            InputTextContent | InputAudioContent | InputImageContent, Field(discriminator="type")
        ]
    ]


class AssistantMessageItem(_Item):
    """A message of the model."""

    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: list[Annotated[OutputTextContent | OutputAudioContent, Field(discriminator="type")]]


class FunctionCallItem(_Item):
    """A call of a function, with its output once that was sent."""

    type: Literal["function_call"] = "function_call"
    status: ItemStatus
    arguments: Text
    """JSON, as the model wrote it."""
    name: Text
    output: Text | None = None
    call_id: Text | None = None
    """What the output names to say that it is of this call; events leave it out, a transport's
    `history` has it."""


class McpCallItem(_Item):
    """A call of a tool on an MCP server, made by the Realtime server."""

    type: Literal["mcp_call", "mcp_tool_call"] = "mcp_call"
    status: ItemStatus | Literal["failed"]
    arguments: Text
    """JSON, as the model wrote it."""
    name: Text
    output: Text | None = None
    error: Any = None
    """Why it failed, as the server tells it; None where it did not fail."""


class McpApprovalRequestItem(_Model):
    """The server asks whether it may call a tool; answer with `send_mcp_response`."""

    item_id: Text
    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    server_label: Text
    name: Text
    arguments: dict[str, Any]
    approved: bool | None = None


MessageItem: TypeAlias = Annotated[
    SystemMessageItem | UserMessageItem | AssistantMessageItem, Field(discriminator="role")
]

RealtimeItem: TypeAlias = (
    SystemMessageItem
    | UserMessageItem
    | AssistantMessageItem
    | FunctionCallItem
    | McpCallItem
    | McpApprovalRequestItem
)
"""Any item; tell them apart by `type`, and messages by `role`."""


def parse_item(data: object) -> RealtimeItem:
    """The item that `data` describes; unknown fields are left out.

    Args:
        data: A mapping with the fields of one of the items above.

    Raises:
        pydantic.ValidationError: A field is missing or has another form.
    """
    return _validation()(data)


@functools.cache
def _validation() -> Callable[[object], RealtimeItem]:
    adapter = TypeAdapter(
        Annotated[
            MessageItem | FunctionCallItem | McpCallItem | McpApprovalRequestItem,
            Field(discriminator="type"),
        ]
    )
    return adapter.validator.validate_python  # the adapter's own takes a fifth longer
