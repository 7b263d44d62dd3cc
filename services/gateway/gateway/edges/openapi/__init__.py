"""The OpenAPI document and the page that shows it, from the contracts and what stands beside the handlers."""
