"""What a file of media is: formats, limits, opening pictures, checking films and sound."""
