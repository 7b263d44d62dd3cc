"""The stitcher: clips, music and a plan of frames become one finished cut."""
