"""What catalog drives: the database, the generator."""
