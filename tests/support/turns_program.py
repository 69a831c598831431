"""A program that loads two models by turns, with room for one, and prints the resident bytes after each turn as JSON.

It has a process of its own, because the resident size of the tests' process moves by itself.
"""

import asyncio
import json
import math
import sys
from pathlib import Path

import structlog
from resprobe_server.config import Config
from resprobe_server.memory import give_back, resident
from resprobe_server.models.registry import Models
from resprobe_server.scheduling.worker import Device

TURNS = 20


async def main(root: Path) -> list[int]:
    async def show(_name: str, _serving: bool) -> None:
        pass

    sizes = []
    async with Device() as device:
        models = Models(Config(root, mode="once", max_models=1, threads=1), device, show)
        await models.start()
        for turn in range(2 * TURNS):
            await models.on_demand.bring(("one", "two")[turn % 2], math.inf)
            if turn % 2:
                give_back()
                sizes.append(resident())
        models.close()
    return sizes


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
