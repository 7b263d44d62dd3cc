"""What the stitcher calls: FFmpeg, PyAV, Pillow, the disk."""
