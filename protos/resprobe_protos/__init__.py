"""The wire: .proto files, the stubs that `protos/generate.py` writes from them, and in contract.py all other names."""
