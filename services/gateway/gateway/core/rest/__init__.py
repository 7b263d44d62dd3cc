"""What holds for every REST route."""
