"""Client of resprobe servers: the classes of an image, and what each residual block did to get there.

import resprobe

with resprobe.Client("localhost:50051") as client:
    result = client.classify("cat.jpg", model="resnet56", blocks=True)
    print(result.labels, result.blocks.ratio)

Names are imported when they are first used, so that a command starts at once and Ctrl-C ends it while the rest is
imported. _public.py lists them; type checkers and `dir` read them there.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # defined here, because importing typing would take longer than the rest of this file
    from resprobe._public import *  # noqa: F403
    from resprobe._public import __all__ as __all__

    __version__: str
else:

    def __dir__() -> list[str]:
        """Returns the names that the package offers, and no modules that happen to be imported."""
        from resprobe._public import __all__

        return sorted(__all__)

    def __getattr__(name: str) -> object:
        """Imports a module of this package, or all public names, when a name is first used."""
        from importlib import import_module

        if name == "__version__":
            from importlib.metadata import version

            return version("resprobe")
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
        public = import_module(f"{__name__}._public")
        globals().update({one: getattr(public, one) for one in ("__all__", *public.__all__)})
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]
