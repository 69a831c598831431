"""The Open Inference Protocol v2 with Triton's extensions: inference.GRPCInferenceService.

In: ModelInferRequest and the messages about models. Out: their responses, with Triton's names and statuses.
"""
