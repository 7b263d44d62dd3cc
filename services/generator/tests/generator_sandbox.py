"""The token that the tests' sandbox demands."""

TOKEN = "r8_of_this_test"
AUTH = {"authorization": f"Bearer {TOKEN}"}
