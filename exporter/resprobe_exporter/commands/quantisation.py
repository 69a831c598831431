"""What `exporter inspect` says of a quantised version."""

from typing import Any

from google.protobuf import json_format

from resprobe_exporter.versions import metadata


def lines(model: metadata.Model) -> list[str]:
    """Describes how a version was quantised and what that cost, in a few lines."""
    known = model.quantization
    source = f"{known.source_name}/{known.source_version} ({known.source_weights_sha256[:12]})"
    how = f" by {known.method} for {known.target}" if known.method else ""
    found = [f"{model.precision}, made of {source}{how}"]
    if known.HasField("calibration"):
        images = known.calibration
        found.append(
            f"calibrated on {images.image_count:,} of {images.drawn_from:,} training images of {images.dataset}, "
            f"seed {images.seed}"
        )
    if known.float_blocks:
        found.append(f"in float32: {', '.join(known.float_blocks)}")
    if known.HasField("before"):
        before, after = known.before, known.after
        found.append(
            f"on the same {after.image_count:,} test images: accuracy {before.accuracy:.4f} → {after.accuracy:.4f} "
            f"(95 % interval of the change {known.accuracy_change_lower:+.4f} to {known.accuracy_change_upper:+.4f}), "
            f"loss {before.loss:.4f} → {after.loss:.4f}; they agree on {known.agreement:.2%}"
        )
    found.append(
        f"{known.bytes_before:,} → {known.bytes_after:,} bytes; {known.speedup:.2f} × as many images a second as in "
        "float32 where it was made (CPU, one thread)"
    )
    return found


def as_json(model: metadata.Model) -> dict[str, Any]:
    """Returns the same for programs."""
    return json_format.MessageToDict(
        model.quantization, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
