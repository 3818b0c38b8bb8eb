"""Bodies of requests and responses, their examples, and the OpenAPI document."""
