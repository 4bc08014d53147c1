"""Plays cases of transport ``sip`` on `OpenAIRealtimeSIP`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from realtime_transports.sip import OpenAIRealtimeSIP
from tests.conformance.names import from_config
from tests.conformance.stage import Stage, UnknownStepError
from tests.conformance.values import Agent, without_undefined
from tests.conformance.virtual_loop import VirtualLoop
from tests.conformance.websocket_driver import SocketPlayer

__all__ = ["play_sip"]


async def play_sip(stage: Stage, loop: VirtualLoop) -> None:
    """Play a case on a new transport with fakes all around it."""
    await _Player(stage, loop, OpenAIRealtimeSIP).play()


class _Player(SocketPlayer):
    def options(self) -> dict[str, Any]:
        return {**super().options(), "http": self.world.http}

    def steps(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        return {**super().steps(), "static": self._static}

    def _static(self, step: Mapping[str, Any]) -> None:
        if step["static"] != "buildInitialConfig":
            raise UnknownStepError(f"unknown method {step['static']}")
        agent, *rest = without_undefined(self.stage.decode(step["args"]))
        options = rest[0] if rest else {}
        overrides = from_config(rest[1]) if len(rest) > 1 else None
        built = OpenAIRealtimeSIP.build_initial_config(
            self._agent(agent),
            from_config(options.get("config")),
            overrides,
            model=options.get("model"),
            tracing=_tracing(options),
        )
        self.recorder.watch("buildInitialConfig", built)

    def _agent(self, agent: Agent) -> SimpleNamespace:
        """The agent in the shape that openai-agents gives it in Python."""
        members = dict(agent.members)
        prompt = members.get("prompt")
        if prompt is not None:
            members["prompt"] = from_config({"prompt": prompt})["prompt"]
        members["instructions"] = self.value(members.get("instructions"))
        members["tools"] = [_tool(tool) for tool in members.get("tools", ())]
        return SimpleNamespace(**members)


def _tool(tool: Mapping[str, Any]) -> SimpleNamespace:
    if tool.get("type") == "hosted_mcp":
        return SimpleNamespace(name="mcp", tool_config={"type": "mcp", **tool["options"]})
    return SimpleNamespace(
        name=tool["name"], description=tool["description"], params_json_schema=tool["parameters"]
    )


def _tracing(options: Mapping[str, Any]) -> dict[str, Any] | None:
    names = {
        "workflowName": "workflow_name",
        "groupId": "group_id",
        "traceMetadata": "metadata",
    }
    if "workflowName" not in options or options.get("tracingDisabled"):
        return None
    return {python: options[js] for js, python in names.items() if js in options}
