"""What the servers of each wire insist on, as strict as the strictest; an assert says what they would refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

UNSIGNED = "skip_thought_signature_validator"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@attrs.define
class Heard:
    """What a server hears of a conversation."""

    texts: list[str] = attrs.Factory(list)
    calls: list[tuple[str, Any]] = attrs.Factory(list)
    results: list[str] = attrs.Factory(list)
    images: list[str] = attrs.Factory(list)

    def everything(self) -> str:
        """All of it; a text may have been split where its seal begins, or its sources do."""
        return "\n".join([*self.texts, *self.results, "".join(self.texts)])


def judged(rules: str, content: bytes) -> Heard:
    """What *content* says, if it is legal by *rules*."""
    text = content.decode("utf-8", "strict")
    body = json.loads(text, parse_constant=lambda word: refuse(f"{word} is not JSON"))
    return {"chat": chat, "responses": responses, "messages": messages, "generate": generate}[rules](body)


def refuse(why: str) -> None:
    raise AssertionError(why)


def only(body: dict[str, Any], *names: str) -> None:
    assert set(body) <= set(names), f"no such fields: {sorted(set(body) - set(names))} in {body}"


def an_object(text: str) -> Any:
    assert isinstance(text, str)
    value = json.loads(text)
    assert isinstance(value, dict), f"arguments that are no object: {text}"
    return value


def a_picture(url: str) -> str:
    assert re.match(r"https?://|data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$", url), url
    return url


# -- Chat Completions ---------------------------------------------------------

THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")


def chat(body: dict[str, Any]) -> Heard:
    """System first; users and assistants take turns; each call is answered at once, in order."""
    heard, open_calls, previous = Heard(), [], ""
    assert body["model"]
    said = body["messages"]
    if said and said[0]["role"] == "system":
        only(said[0], "role", "content")
        assert said[0]["content"].strip()
        said = said[1:]
    assert said, "nobody says anything"
    assert "user" == said[0]["role"]
    for message in said:
        role = message["role"]
        assert bool(open_calls) == (role == "tool"), f"{role} while {open_calls} wait for results"
        if role == "tool":
            only(message, "role", "tool_call_id", "content")
            assert open_calls.pop(0) == message["tool_call_id"]
            assert isinstance(message["content"], str)
            heard.results.append(message["content"])
        else:
            assert role != previous, f"two messages of {role} in a row"
            open_calls = _chat_user(message, heard) if role == "user" else _chat_assistant(message, heard)
        previous = role
    assert not open_calls
    _functions([tool["function"] for tool in body.get("tools", ())], "parameters")
    return heard


def _chat_user(message: dict[str, Any], heard: Heard) -> list[str]:
    only(message, "role", "content")
    content = message["content"]
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if part["type"] == "text":
            only(part, "type", "text")
            assert part["text"].strip()
            heard.texts.append(part["text"])
        else:
            assert {"type", "image_url"} == set(part)
            heard.images.append(a_picture(part["image_url"]["url"]))
    assert content
    return []


def _chat_assistant(message: dict[str, Any], heard: Heard) -> list[str]:
    assert "assistant" == message["role"]
    only(message, "role", "content", "tool_calls", "refusal", *THOUGHTS)
    calls = message.get("tool_calls", [])
    assert isinstance(message["content"], str) or ((calls or message.get("refusal")) and message["content"] is None)
    assert calls or "tool_calls" not in message, "an empty list of calls is refused"
    heard.texts.append(message["content"] or "")
    for call in calls:
        assert {"id", "type", "function"} == set(call)
        assert {"name", "arguments"} == set(call["function"])
        assert 0 < len(call["id"]) <= 40
        assert NAME.fullmatch(call["function"]["name"])
        heard.calls.append((call["function"]["name"], an_object(call["function"]["arguments"])))
    ids = [call["id"] for call in calls]
    assert len(ids) == len(set(ids))
    return ids


def _functions(tools: list[dict[str, Any]], schema: str) -> None:
    names = [tool["name"] for tool in tools]
    assert len(names) == len(set(names))
    for tool in tools:
        assert NAME.fullmatch(tool["name"])
        assert "object" == tool[schema]["type"]


# -- Responses ----------------------------------------------------------------


def responses(body: dict[str, Any]) -> Heard:
    """Nothing is kept at the server; calls are answered before anybody else speaks; a thought has its consequence."""
    heard, open_calls, asking, thinking = Heard(), [], False, False
    assert body["model"]
    assert body["store"] is False
    assert body["input"]
    assert "user" == body["input"][0]["role"]
    for item in body["input"]:
        kind = item.get("type", "message")
        assert not (thinking and (kind == "function_call_output" or item.get("role") == "user")), (
            "a thought with no end"
        )
        if kind == "function_call_output":
            asking = False
            only(item, "type", "call_id", "output")
            assert open_calls.pop(0) == item["call_id"]
            heard.results.append(item["output"])
            continue
        assert asking or not open_calls, f"{item} while {open_calls} wait for results"
        thinking = kind == "reasoning"
        if kind == "function_call":
            asking = True
            only(item, "type", "call_id", "name", "arguments")
            assert 0 < len(item["call_id"]) <= 64
            assert item["call_id"] not in open_calls
            assert NAME.fullmatch(item["name"])
            open_calls.append(item["call_id"])
            heard.calls.append((item["name"], an_object(item["arguments"])))
        elif kind == "reasoning":
            only(item, "type", "id", "summary", "content", "encrypted_content", "status")
            assert item.get("encrypted_content"), "the server kept nothing, so the thought must be whole"
        else:
            _responses_message(item, heard, bool(open_calls))
    assert not open_calls
    assert not thinking
    _functions(body.get("tools", []), "parameters")
    return heard


def _responses_message(item: dict[str, Any], heard: Heard, open_calls: bool) -> None:
    only(item, "role", "content", "phase")
    assert item["role"] in ("user", "assistant")
    assert not (open_calls and item["role"] == "user")
    content = item["content"]
    assert content
    if isinstance(content, str):
        assert content.strip()
        heard.texts.append(content)
        return
    for part in content:
        if part["type"] == "input_text":
            assert part["text"].strip()
            heard.texts.append(part["text"])
        else:
            assert {"type", "image_url"} == set(part)
            assert "input_image" == part["type"]
            heard.images.append(a_picture(part["image_url"]))


# -- Messages -----------------------------------------------------------------


def messages(body: dict[str, Any]) -> Heard:
    """Roles take turns, results come first and complete, ids are unique for good, nothing is blank."""
    heard, open_calls, seen = Heard(), [], set[str]()
    assert body["model"]
    assert body["max_tokens"] >= 1
    said = body["messages"]
    assert ["user", "assistant"] * (len(said) // 2) + ["user"] == [message["role"] for message in said]
    for message in said:
        only(message, "role", "content")
        assert message["content"]
        if message["role"] == "user":
            _messages_user(message["content"], open_calls, heard)
            open_calls = []
        else:
            open_calls = [*_messages_assistant(message["content"], heard)]
            assert not seen & set(open_calls), "an id that was taken"
            assert len(open_calls) == len(set(open_calls))
            seen |= set(open_calls)
    marks = json.dumps(body).count('"cache_control"')
    assert marks <= 4
    assert body.get("tools") or not seen, "calls, and no tools"
    for tool in body.get("tools", ()):
        assert "object" == tool["input_schema"]["type"]
    return heard


def _messages_user(blocks: list[dict[str, Any]], open_calls: list[str], heard: Heard) -> None:
    kinds = [block["type"] for block in blocks]
    assert sorted(kinds, key=lambda kind: kind != "tool_result") == kinds, "results come first"
    results = [block for block in blocks if block["type"] == "tool_result"]
    assert open_calls == [block["tool_use_id"] for block in results]
    for block in results:
        only(block, "type", "tool_use_id", "content", "is_error", "cache_control")
        assert block["content"] or not block.get("is_error")
        heard.results.append(block["content"])
    for block in blocks[len(results) :]:
        if block["type"] == "text":
            heard.texts.append(_a_text(block))
        else:
            source = block["source"]
            if source["type"] == "url":
                heard.images.append(a_picture(source["url"]))
            else:
                heard.images.append(a_picture(f"data:{source['media_type']};base64,{source['data']}"))


def _messages_assistant(blocks: list[dict[str, Any]], heard: Heard) -> Iterator[str]:
    for block in blocks:
        if block["type"] == "tool_use":
            assert {"type", "id", "name", "input"} == set(block)
            assert re.fullmatch(r"[A-Za-z0-9_-]+", block["id"])
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", block["name"])
            assert isinstance(block["input"], dict)
            heard.calls.append((block["name"], block["input"]))
            yield block["id"]
        elif block["type"] == "thinking":
            assert {"type", "thinking", "signature"} == set(block)
            assert block["signature"]
        elif block["type"] == "redacted_thinking":
            assert block["data"]
        else:
            heard.texts.append(_a_text(block))


def _a_text(block: dict[str, Any]) -> str:
    only(block, "type", "text", "cache_control", "citations")
    assert "text" == block["type"]
    assert block["text"].strip()
    return str(block["text"])


# -- generateContent ----------------------------------------------------------


def generate(body: dict[str, Any]) -> Heard:
    """The user begins; a turn of calls is followed by a turn of as many results and nothing else."""
    heard, open_calls, previous = Heard(), [], ""
    contents = body["contents"]
    assert contents
    assert ("user", "user") == (contents[0]["role"], contents[-1]["role"])
    for content in contents:
        only(content, "role", "parts")
        role, parts = content["role"], content["parts"]
        assert parts
        assert role in ("user", "model")
        assert not (role == previous == "model")
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        assert open_calls == [(result["id"], result["name"]) for result in results]
        assert not results or (role == "user" and len(results) == len(parts)), "results stand alone"
        open_calls = []
        for part in parts:
            open_calls += _part(part, role, heard)
        previous = role
    assert not open_calls
    for tool in body.get("tools", ()):
        _functions(tool["functionDeclarations"], "parametersJsonSchema")
    return heard


def _part(part: dict[str, Any], role: str, heard: Heard) -> Iterator[tuple[str, str]]:
    only(part, "text", "thought", "thoughtSignature", "functionCall", "functionResponse", "inlineData", "fileData")
    assert 1 == len({"text", "functionCall", "functionResponse", "inlineData", "fileData"} & set(part))
    assert "thoughtSignature" not in part or role == "model"
    if "text" in part:
        assert part["text"] or "thoughtSignature" in part
        if not part.get("thought"):
            heard.texts.append(part["text"])
    elif "functionCall" in part:
        call = part["functionCall"]
        assert "model" == role
        assert {"id", "name", "args"} == set(call)
        assert re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", call["name"])
        assert isinstance(call["args"], dict)
        heard.calls.append((call["name"], call["args"]))
        yield call["id"], call["name"]
    elif "functionResponse" in part:
        response = part["functionResponse"]["response"]
        assert isinstance(response, dict)
        heard.results += response.values()
    elif "inlineData" in part:
        blob = part["inlineData"]
        heard.images.append(a_picture(f"data:{blob['mimeType']};base64,{blob['data']}"))
    else:
        heard.images.append(a_picture(part["fileData"]["fileUri"]))
