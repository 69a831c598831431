"""Threads may share a client: each gets the results of its own images."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import resprobe

THREADS = 8


def test_threads_share_a_client(client: resprobe.Client, test_images: npt.NDArray[np.uint8]) -> None:
    whole = client.classify(test_images, model="digits", blocks=True, top_k=10)
    begin = threading.Barrier(THREADS, timeout=60)

    def ask(thread: int) -> None:
        begin.wait()
        rows = np.arange(thread, len(test_images), THREADS)
        for turn, part in enumerate(np.array_split(rows, 9)):
            if turn % 3 == 2:
                (result,) = client.stream([test_images[part]], model="digits", blocks=True, top_k=10)
            else:
                result = client.classify(test_images[part], model="digits", blocks=True, top_k=10)
            np.testing.assert_array_equal(result.classes[:, 0], whole.classes[part, 0])
            np.testing.assert_allclose(result.blocks.ratio, whole.blocks.ratio[part], rtol=1e-3)

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(ask, thread) for thread in range(THREADS)]:
            done.result(60)


def test_a_client_that_one_thread_closes_ends_the_calls_of_the_others(address: str) -> None:
    client, ready = resprobe.Client(address), threading.Event()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            while True:
                client.models()
                ready.set()
        except Exception as error:
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert ready.wait(60)
    client.close()
    thread.join(60)
    assert [type(error) for error in errors] == [resprobe.InvalidRequest]
    assert "client" in str(errors[0])
