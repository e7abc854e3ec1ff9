"""The official SDKs, used as their documentation shows: what `providers` measures ours against."""

from __future__ import annotations

import json
from typing import Any

from cloudllm_core import tool

from .model_server import ARGUMENTS

PROMPT = "What is there to know?"
SAID_BEFORE = ("word " * 80).strip()  # 400 characters
KEY = "no-key-needed"


@tool(effect="read")
def look_up(what: str) -> str:
    """Look something up.

    Args:
        what: what to look up
    """
    return "sunny, with a little wind"


DEFINITION = look_up.definition
PARAMETERS: dict[str, Any] = dict(DEFINITION.parameters)


def looked_up(arguments: Any) -> str:
    assert arguments == ARGUMENTS
    return "sunny, with a little wind"


def conversation(count: int) -> list[tuple[str, str]]:
    """A conversation of *count* messages, an odd number of them, that ends with the user's prompt."""
    before = [(("user", "assistant")[nth % 2], f"{nth} {SAID_BEFORE}") for nth in range(count - 1)]
    return [*before, ("user", PROMPT)]


class SDK:
    """A provider's own SDK; `said` is the conversation in its terms."""

    def __init__(self, address: str) -> None:
        raise NotImplementedError

    def history(self, count: int) -> list[Any]:
        raise NotImplementedError

    async def turn(self, said: list[Any]) -> str:
        raise NotImplementedError

    async def round_trip(self) -> str:
        raise NotImplementedError

    async def streamed(self) -> str:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


class OpenAISDK(SDK):
    """``chat.completions.create``."""

    def __init__(self, address: str) -> None:
        from openai import AsyncOpenAI

        self.client = AsyncOpenAI(api_key=KEY, base_url=f"{address}/v1", max_retries=0)

    def history(self, count: int) -> list[Any]:
        return [{"role": role, "content": text} for role, text in conversation(count)]

    async def turn(self, said: list[Any]) -> str:
        answer = await self.client.chat.completions.create(model="m", messages=said)
        return answer.choices[0].message.content or ""

    async def round_trip(self) -> str:
        function: Any = {"name": "look_up", "description": DEFINITION.description, "parameters": PARAMETERS}
        tools: Any = [{"type": "function", "function": function}]
        said = self.history(1)
        answer = await self.client.chat.completions.create(model="m", messages=said, tools=tools)
        calls: Any = answer.choices[0].message.tool_calls
        (call,) = calls
        result = looked_up(json.loads(call.function.arguments))
        said += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": result}]
        answer = await self.client.chat.completions.create(model="m", messages=said, tools=tools)
        return answer.choices[0].message.content or ""

    async def streamed(self) -> str:
        stream = await self.client.chat.completions.create(model="m", messages=self.history(1), stream=True)
        return "".join([part.choices[0].delta.content or "" async for part in stream])

    async def aclose(self) -> None:
        await self.client.close()


class AnthropicSDK(SDK):
    """``messages.create``."""

    def __init__(self, address: str) -> None:
        from anthropic import AsyncAnthropic

        self.client = AsyncAnthropic(api_key=KEY, base_url=address, max_retries=0)

    def history(self, count: int) -> list[Any]:
        return [{"role": role, "content": text} for role, text in conversation(count)]

    async def turn(self, said: list[Any]) -> str:
        answer = await self.client.messages.create(model="m", max_tokens=1000, messages=said)
        return "".join([part.text for part in answer.content if part.type == "text"])

    async def round_trip(self) -> str:
        tools: Any = [{"name": "look_up", "description": DEFINITION.description, "input_schema": PARAMETERS}]
        said = self.history(1)
        answer = await self.client.messages.create(model="m", max_tokens=1000, messages=said, tools=tools)
        (call,) = [part for part in answer.content if part.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": looked_up(call.input)}
        said += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        answer = await self.client.messages.create(model="m", max_tokens=1000, messages=said, tools=tools)
        return "".join([part.text for part in answer.content if part.type == "text"])

    async def streamed(self) -> str:
        stream = await self.client.messages.create(model="m", max_tokens=1000, messages=self.history(1), stream=True)
        deltas = [event.delta async for event in stream if event.type == "content_block_delta"]
        return "".join([delta.text for delta in deltas if delta.type == "text_delta"])

    async def aclose(self) -> None:
        await self.client.close()


class GeminiSDK(SDK):
    """``aio.models.generate_content``."""

    def __init__(self, address: str) -> None:
        from google.genai import Client

        self.client = Client(api_key=KEY, vertexai=False, http_options={"base_url": address})

    def history(self, count: int) -> list[Any]:
        roles = {"user": "user", "assistant": "model"}
        return [{"role": roles[role], "parts": [{"text": text}]} for role, text in conversation(count)]

    async def turn(self, said: list[Any]) -> str:
        return (await self.client.aio.models.generate_content(model="m", contents=said)).text or ""

    async def round_trip(self) -> str:
        function = {"name": "look_up", "description": DEFINITION.description, "parameters_json_schema": PARAMETERS}
        config: Any = {"tools": [{"function_declarations": [function]}]}
        said = self.history(1)
        answer = await self.client.aio.models.generate_content(model="m", contents=said, config=config)
        calls: Any = answer.function_calls
        (call,) = calls
        result = {"name": call.name, "response": {"result": looked_up(call.args)}}
        assert answer.candidates
        said += [answer.candidates[0].content, {"role": "user", "parts": [{"function_response": result}]}]
        return (await self.client.aio.models.generate_content(model="m", contents=said, config=config)).text or ""

    async def streamed(self) -> str:
        stream = await self.client.aio.models.generate_content_stream(model="m", contents=self.history(1))
        return "".join([part.text or "" async for part in stream])

    async def aclose(self) -> None:
        await self.client.aio.aclose()
        self.client.close()


SDKS: dict[str, type[SDK]] = {"openai": OpenAISDK, "anthropic": AnthropicSDK, "gemini": GeminiSDK}
