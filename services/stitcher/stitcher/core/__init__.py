"""What the stitcher decides: cuts, thumbnails, and what is known of a media file."""
