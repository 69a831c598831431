"""Metrics of a server, read over HTTP as Prometheus reads them."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """Metrics of one scrape."""

    def __init__(self, address: str) -> None:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self._samples[name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        wanted = labels.items()
        return sum(value for (one, found), value in self._samples.items() if one == name and wanted <= found)
