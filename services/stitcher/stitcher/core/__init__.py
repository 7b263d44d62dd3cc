"""What the stitcher decides: pure, without a driver."""
