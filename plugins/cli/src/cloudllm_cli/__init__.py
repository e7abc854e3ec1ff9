"""
The command line of CloudLLM: ``cloudllm run``, ``demo``, ``replay``, ``plugins`` and ``models``.

`main.main` finds the word after ``cloudllm`` in the registry, so a plugin of yours may add one:
offer a `Command` under ``cloudllm.command``.
"""

__all__: list[str] = []
