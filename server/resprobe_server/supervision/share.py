"""Divides what the machine has among the workers: cores and memory. Limits on clients hold for each worker."""

import os
from dataclasses import replace

from resprobe_server.config import Config


def share(config: Config, cores: int | None = None) -> Config:
    """Returns the configuration of one worker.

    Args:
        config: Configuration of the server.
        cores: Cores of the machine. If None, those that this process may use.
    """
    count, cores = config.workers, cores or len(os.sched_getaffinity(0))
    return replace(
        config,
        threads=config.threads or max(1, cores // count),
        decode_threads=_part(config.decode_threads, count),
        max_large_pictures=_part(config.max_large_pictures, count),
        max_waiting=_part(config.max_waiting, count),
        max_decode=_part(config.max_decode, count),
        max_memory=str(_part(config.memory_limit, count)) if config.max_memory else "",
    )


def _part(whole: int, count: int) -> int:
    return -(-whole // count)
