"""The stitcher: joins clips and music into one finished cut, and makes thumbnails."""
