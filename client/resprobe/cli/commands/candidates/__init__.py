"""Commands about candidates: new versions that run beside the one that serves."""
