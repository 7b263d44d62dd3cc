"""The models of the catalog, and the check of an input against a schema. Nothing here waits or draws lots."""
