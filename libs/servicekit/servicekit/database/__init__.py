"""Opening SQLite or PostgreSQL through SQLAlchemy, and telling errors that pass from those that stay."""
