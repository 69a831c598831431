"""Names that the exporter writes, the server reads and users' scripts rely on: each stands here and only here."""

# Files of a version, NAME/VERSION/ in the model repository.
LEAN, PROBE, LESION, LESION_PROBE = "model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx"
INSPECT = "inspect.onnx"
EXITS = tuple(f"exit.{place}.onnx" for place in range(4))  # parts of a net that is cut for early exits, in their order
DESCRIPTION, WEIGHTS = "model.json", "weights.bin"

# Inputs of the graphs: uint8 [n, height, width, channels], and float32 [n, blocks].
IMAGE, BLOCK_SCALE = "image", "block_scale"

# Outputs of the graphs: float [n, classes], and float32 [n, blocks, statistics].
LOGITS, BLOCKS = "logits", "blocks"

# Statistics of a block, in the order of the last axis of BLOCKS: ‖F(x)‖, ‖s(x)‖, ⟨F(x), s(x)⟩, and the mean of F(x).
BRANCH_L2, SHORTCUT_L2, DOT, BRANCH_MEAN = "branch_l2", "shortcut_l2", "dot", "branch_mean"
STATISTICS = (BRANCH_L2, SHORTCUT_L2, DOT, BRANCH_MEAN)

# Outputs of INSPECT alone, float32. With P positions (height × width) and C channels of all blocks, one block after the
# other, MAPS is [n, 2, P] and CHANNELS [n, 2, C]: norms of F(x), then of s(x). READOUTS is [n, readouts, classes], and
# CAM [n, classes, height, width] of the last block; a net may lack both.
MAPS, CHANNELS, READOUTS, CAM = "maps", "channels", "readouts", "cam"

# The first of EXITS takes IMAGE, the others STATE, which is NEXT_STATE of the part before. All return LOGITS, read off
# the last block of the part, and all but the last one NEXT_STATE. Run as one graph, they take EXIT_THRESHOLD,
# float32 [n], beside the images, and return EXIT_BLOCK, int64 [n], beside the logits: the place of the block after
# which an image left the net.
STATE, NEXT_STATE = "state", "next_state"
EXIT_THRESHOLD, EXIT_BLOCK = "exit_threshold", "exit_block"

# Optimizers of ONNX Runtime that the exporter's checks and the server switch off. Pad_Fusion of 1.31 lets a MaxPool
# ignore the zeros that its input was padded with, which changes the result where all values are negative.
DISABLED_OPTIMIZERS = ("Pad_Fusion",)
