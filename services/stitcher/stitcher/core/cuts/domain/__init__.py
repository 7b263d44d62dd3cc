"""Pure decisions about a cut: values in, values and FFmpeg arguments out."""
