"""`resprobe page`."""

import socket
from dataclasses import dataclass
from pathlib import Path

from resprobe import datasets
from resprobe.cli.options import Connected, console
from resprobe.datasets import Name
from resprobe.errors import Error, InvalidRequest, MissingPackage


@dataclass(frozen=True)
class Page(Connected):
    """Serve a page that shows what each block does with a picture, live.

    The page asks the server as this command would, with the token that the command has; browsers get neither. It
    fetches nothing from any other host. Ctrl-C ends it.

    Examples:
      resprobe page
      resprobe page --address gpu-host:50051 --ca ca.pem --token-file token --listen 127.0.0.1:9000
      resprobe page --dataset cifar10 --data ~/cifar
    """

    listen: str = "127.0.0.1:8080"
    """HOST:PORT on which the page listens for browsers. With port 0, a free one is chosen."""
    allow_remote: bool = False
    """Let browsers on other machines use the page. All who reach it ask with this command's token, and in plaintext
    unless a proxy in front of it encrypts."""
    host_name: tuple[str, ...] = ()
    """Names under which browsers may reach the page, beside localhost. With --allow-remote, IP addresses and this
    machine's name are added."""
    dataset: Name | None = None
    """Data set whose test images are offered as examples. Default: digits, if they are installed and a model was
    measured on them."""
    data: Path | None = None
    """Directory with the files of --dataset. Not needed for digits."""

    def run(self) -> None:
        """Serves the page until it is ended."""
        from resprobe.page import app, examples, guard, serving

        dataset = self._dataset()
        chosen = () if dataset is None else examples.choose(dataset)
        page = app.Page(self.connection.async_client, self.connection.address, chosen)
        names = [*guard.LOOPBACK, *self.host_name, *(_own_names() if self.allow_remote else ())]
        with serving.listen(self.listen, self.allow_remote) as listening:
            where = serving.url(listening)
            application = guard.Guard(app.create(page), names, addresses=self.allow_remote)
            serving.run(application, listening, lambda: self._say(where))

    def _say(self, where: str) -> None:
        if self.json:
            self.show({"url": where})
        else:
            console.print(f"{where} shows {self.connection.address} until Ctrl-C")
        console.file.flush()

    def _dataset(self) -> datasets.Dataset | None:
        """Reads the data set of the examples; that of the default is left out where it cannot be read."""
        if self.dataset is not None:
            return datasets.load(self.dataset, self.data, "test")
        if self.data is not None:
            raise InvalidRequest("--data without --dataset: expected both or neither")
        try:
            with self.client() as client:
                models = client.models(timeout=2)
            return datasets.load("digits") if any(model.dataset == "digits" for model in models) else None
        except MissingPackage:
            return None
        except InvalidRequest:
            raise
        except Error:  # the page says what is wrong with the server, and when it is back
            return None


def _own_names() -> tuple[str, ...]:
    return socket.gethostname(), socket.getfqdn()
