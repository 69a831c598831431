"""The wire: .proto files and the stubs that `protos/generate.py` writes from them."""
