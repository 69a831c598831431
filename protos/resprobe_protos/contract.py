"""Names that the exporter writes, the server reads and users' scripts rely on: each stands here and only here."""

# Files of a version, NAME/VERSION/ in the model repository.
LEAN, PROBE, LESION, LESION_PROBE = "model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx"
INSPECT = "inspect.onnx"
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

# Optimizers of ONNX Runtime that the exporter's checks and the server switch off. Pad_Fusion of 1.31 lets a MaxPool
# ignore the zeros that its input was padded with, which changes the result where all values are negative.
DISABLED_OPTIMIZERS = ("Pad_Fusion",)
