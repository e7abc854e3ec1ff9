"""``cloudllm models PROVIDER``: the models that a provider's API lists."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from typing import ClassVar

from cloudllm_core import Command, Provider, hookimpl

EPILOG = """\
Each name may follow "PROVIDER:" wherever a model is named. The key comes from the environment, as
it does for a run.

exit status: 0 listed, 1 the provider could not be asked, 2 something is set up wrongly, 130 Ctrl-C"""


class Models(Command):
    """Lists the models of one provider."""

    name: ClassVar[str] = "models"
    help: ClassVar[str] = "list the models that a provider's API reports"

    def configure(self, parser: ArgumentParser) -> None:
        parser.epilog = EPILOG
        parser.add_argument("provider", metavar="PROVIDER", help="a provider's name, such as openai")
        parser.add_argument("--base-url", metavar="URL", help="where its server is, if not at home")
        parser.add_argument(
            "--api-key-env", metavar="NAME", help="the variable that holds the key, if not the usual one"
        )
        parser.add_argument("--json", action="store_true", help="as a JSON list")

    def run(self, arguments: Namespace) -> int:
        name = arguments.provider.partition(":")[0]  # a whole "provider:model" is understood, too
        given = {"base_url": arguments.base_url, "api_key_env": arguments.api_key_env}
        settings = {"name": name} | {key: value for key, value in given.items() if value}
        found = asyncio.run(_listed(arguments.registry.build("provider", settings, name)))
        if arguments.json:
            print(json.dumps(found, indent=2, ensure_ascii=False))
        elif found:
            print(*found, sep="\n")
        else:
            print(f"cloudllm: {name} lists no models.", file=sys.stderr)
        return 0


async def _listed(provider: Provider) -> tuple[str, ...]:
    try:
        return await provider.models()
    finally:
        await provider.aclose()


@hookimpl
def cloudllm_register_command() -> type[Models]:
    return Models
